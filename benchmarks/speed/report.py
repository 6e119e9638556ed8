"""A result as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from benchmarks.speed.summary import (
    OURS,
    figures,
    gain_of_settings,
    gain_of_tricks,
    gemm_rate,
    probability_differences,
    ratio_between,
)

TITLES = {"train": "Training", "predict": "Predicting"}
MIN_ROUNDS = 5
# tf-models-official and KerasHub compute GELU's tanh approximation.
LOSS_TOLERANCE = 1e-3
MODELS = {
    "minilm": "MiniLM-L6",
    "tiny": "the shape of BERT-tiny",
    "base": "the shape of BERT-base",
    "roberta": "the shape of roberta-base",
    "distilbert": "the shape of distilbert-base",
    "xlm-roberta": "the shape of xlm-roberta-base",
    "deberta-v3-small": "the shape of deberta-v3-small",
    "modernbert": "the shape of ModernBERT-base",
    "modernbert-long": "the shape of ModernBERT-base, 2,048 tokens",
}


def report(result: Mapping[str, Any]) -> str:
    """Returns the text of a result file."""
    if result["what"] == "startup":
        return "\n".join([f"# {title_of(result)}", "", *startup_table(result), "", *conditions(result), ""])
    if result["what"] == "whole":
        return "\n".join([f"# {title_of(result)}", "", *whole_table(result), "", *conditions(result), ""])
    return "\n".join([f"# {title_of(result)}", "", *tables(result), "", *conditions(result), ""])


def title_of(result: Mapping[str, Any]) -> str:
    if result["what"] == "startup":
        return "Start-up"
    model = f"{MODELS[result['workload']['model']]} on {result['workload']['data']}"
    if result["what"] == "whole":
        return f"Three whole epochs, {model}"
    return f"{TITLES[result['what']]} {model}"


def tables(result: Mapping[str, Any]) -> list[str]:
    """Returns the main table, then the gains of tricks, then what was not measured."""
    measured = [entry for entry in result["systems"] if entry["rounds"]]
    lines = training_table(measured, result) if result["what"] == "train" else prediction_table(measured, result)
    gains = gain_of_tricks(result)
    if gains:
        lines += ["", "| without | gain of having it |", "|---|---|"]
        lines += [f"| {name} | {gain.text()} |" for name, gain in gains.items()]
    settings = gain_of_settings(result)
    if settings:
        lines += ["", "| with | gain of it |", "|---|---|"]
        lines += [f"| {name.replace('@', ', ')} | {gain.text()} |" for name, gain in settings.items()]
    ways = {entry["name"]: entry["rounds"][0].get("computed_in") for entry in measured}
    if any(ways.values()):
        lines += ["", "Computed in: " + "; ".join(f"{name}: {way}" for name, way in ways.items() if way) + "."]
    losses = [loss for entry in measured if (loss := entry["about"].get("first_batch_loss")) is not None]
    if losses:
        spread = max(losses) - min(losses)
        verdict = "the same weights and data" if spread <= LOSS_TOLERANCE else "NOT THE SAME WEIGHTS OR DATA"
        lines += ["", f"Losses of the first batch, dropout off, lie within {spread:.1e} of each other: {verdict}."]
    failed = [entry for entry in result["systems"] if entry["failure"]]
    if failed:
        lines += ["", "Not measured, or not to the end:", ""]
        lines += [f"- {entry['title']}: {entry['failure']}" for entry in failed]
    return lines


def training_table(measured: list[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    lines = [
        "| system | examples/s (range) | tokens/s | 3 epochs, from the rate | bertune is faster by (95 %) "
        "| peak memory | start-up | model / executed FLOPs of GEMM | first loss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in measured:
        values = figures(entry, result)
        lines.append(
            f"| {entry['title']} | {values['examples_per_second']:.1f} ({values['lowest']:.1f} to "
            f"{values['highest']:.1f}) | {values['tokens_per_second']:,.0f} | {values['three_epochs_seconds']:,.0f} s "
            f"| {_factor(result, entry)} | {values['peak_mib']:,.0f} MiB | {values['start_seconds']:.1f} s "
            f"| {_shares(values)} | {values['first_batch_loss']:.6f} |"
        )
    return lines


def prediction_table(measured: list[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    differences = probability_differences(result)
    lines = [
        "| system | pairs/s (range) | tokens/s | bertune is faster by (95 %) | peak memory | start-up "
        "| model / executed FLOPs of GEMM | largest difference of a probability |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in measured:
        values = figures(entry, result)
        difference = f"{differences[entry['name']]:.1e}" if entry["name"] in differences else "-"
        lines.append(
            f"| {entry['title']} | {values['examples_per_second']:.1f} ({values['lowest']:.1f} to "
            f"{values['highest']:.1f}) | {values['tokens_per_second']:,.0f} | {_factor(result, entry)} "
            f"| {values['peak_mib']:,.0f} MiB | {values['start_seconds']:.1f} s | {_shares(values)} | {difference} |"
        )
    return lines


def short_training_table(measured: list[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    """Returns the columns of `training_table` that most readers came for."""
    lines = [
        "| system | examples/s (range) | bertune is faster by (95 %) | 3 epochs, from the rate | peak memory |",
        "|---|---|---|---|---|",
    ]
    for entry in measured:
        values = figures(entry, result)
        lines.append(
            f"| {entry['title']} | {values['examples_per_second']:.1f} ({values['lowest']:.1f} to "
            f"{values['highest']:.1f}) | {_factor(result, entry)} | {values['three_epochs_seconds']:,.0f} s "
            f"| {values['peak_mib']:,.0f} MiB |"
        )
    return lines


def short_prediction_table(measured: list[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    """Returns the columns of `prediction_table` that most readers came for."""
    differences = probability_differences(result)
    lines = [
        "| system | pairs/s (range) | bertune is faster by (95 %) | peak memory "
        "| largest difference of a probability |",
        "|---|---|---|---|---|",
    ]
    for entry in measured:
        values = figures(entry, result)
        difference = f"{differences[entry['name']]:.1e}" if entry["name"] in differences else "-"
        lines.append(
            f"| {entry['title']} | {values['examples_per_second']:.1f} ({values['lowest']:.1f} to "
            f"{values['highest']:.1f}) | {_factor(result, entry)} | {values['peak_mib']:,.0f} MiB | {difference} |"
        )
    return lines


def startup_table(result: Mapping[str, Any]) -> list[str]:
    lines = ["| command | median | fastest | runs |", "|---|---|---|---|"]
    for entry in result["commands"]:
        seconds = sorted(entry["seconds"])
        median = seconds[len(seconds) // 2]
        lines.append(f"| {entry['title']} | {median:.3f} s | {seconds[0]:.3f} s | {len(seconds)} |")
    return lines


def whole_table(result: Mapping[str, Any]) -> list[str]:
    lines = ["| system | process, start to end | its 3 epochs | peak memory |", "|---|---|---|---|"]
    for entry in result["systems"]:
        if entry["failure"]:
            lines.append(f"| {entry['title']} | not measured: {entry['failure']} | | |")
            continue
        epochs = "-" if entry["seconds"] is None else f"{entry['seconds']:.1f} s"
        lines.append(
            f"| {entry['title']} | {entry['process_seconds']:.1f} s | {epochs} "
            f"| {entry['peak_rss_bytes'] / 2**20:,.0f} MiB |"
        )
    return lines


def conditions(result: Mapping[str, Any]) -> list[str]:
    """Returns paragraphs on workload, protocol, machine and versions."""
    lines = []
    if "workload" in result:
        workload = result["workload"]
        names = ("batch_size", "max_length", "learning_rate", "weight_decay", "max_gradient_norm", "dropout", "seed")
        settings = ", ".join(f"{name} {workload[name]}" for name in names)
        lines += [f"Workload: {workload['examples']:,} training pairs, {workload['tokens']:,} tokens; {settings}.", ""]
    if result["what"] == "whole":
        lines += [f"Protocol: one process each, one after the other, once; threads each: {result['threads']}.", ""]
    if "rounds" in result:
        amount = f"{result['steps']} steps" if result["what"] == "train" else f"{result['examples']} pairs"
        lines += [
            f"Protocol: {result['rounds']} rounds of {amount} in turns after one that is thrown away, "
            f"threads each: {result['threads']}; load average {' '.join(f'{load:.1f}' for load in result['loads'])}.",
            "",
        ]
        if result["rounds"] < MIN_ROUNDS:
            lines += [f"A trial: fewer than {MIN_ROUNDS} rounds.", ""]
    if "gemm" in result and result["gemm"]["rounds"]:
        parts = [
            f"{name} {rate / 1e9:,.0f} GFLOP/s"
            for name in ("bf16", "fp32")
            if (rate := gemm_rate(result, name)) is not None
        ]
        shape = " x ".join(str(size) for size in result["gemm"]["about"]["shape"])
        lines += [f"Matrix product {shape}, measured in the same turns: {', '.join(parts)}.", ""]
    about = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    versions = ", ".join(f"{name} {number}" for name, number in sorted(result["versions"].items()))
    lines += [f"Machine: {about}.", "", f"Versions: {versions}. Measured on {result['date']}.", ""]
    lines += [f"Command: `{result['command']}`."]
    return lines


def _factor(result: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    names = [one["name"] for one in result["systems"]]
    ours = OURS if OURS in names else names[0]  # an ablation of another precision has that first
    if entry["name"] == ours:
        return "-"
    ratio = ratio_between(result, ours, entry["name"])
    return "-" if ratio is None else ratio.text()


def _shares(values: Mapping[str, Any]) -> str:
    shares = [f"{values[name]:.0%}" for name in ("model_share", "executed_share") if name in values]
    return " / ".join(shares) or "-"
