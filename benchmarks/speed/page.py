"""Writes docs/benchmarks.md from the newest result files: `python -m benchmarks.speed.page`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.report import (
    MIN_ROUNDS,
    short_prediction_table,
    short_training_table,
    startup_table,
    title_of,
    whole_table,
)
from benchmarks.speed.summary import OURS, by_name, figures, gain_of_settings, gain_of_tricks, ratio_between
from benchmarks.speed.systems import ROOT
from benchmarks.speed.targets import TARGETS, Reached, Target

Results = Mapping[str, tuple[Path, Mapping[str, Any]]]

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

INTRODUCTION = """# Benchmarks

How fast bertune trains and predicts, compared with other systems. `python -m benchmarks.speed.page` writes this page
from the files in [benchmarks/results](../benchmarks/results); its numbers are not edited by hand. How good the models
are: [accuracy](accuracy.md).
"""

TARGETS_TEXT = """## Targets

The missed ones first. Each figure links to its result file, which has every column, the workload, the machine, all
versions and the command.
"""

METHOD = """## How it is measured

- All systems get the same initial weights (one folder, head included), examples, order, batch size, hyperparameters
  and dropout. Every result file of training has the loss of the first batch with dropout off, which must be one number.
- Each system is a process of its own, in its own environment, stopped while it is not its turn. Turns are interleaved:
  A B C A B C …, at least five rounds after one that is thrown away. Whole runs of three epochs are the exception: one
  run each, one after the other.
- A ratio is that of the medians of examples a second; its interval is a 95 % bootstrap over rounds.
- Tokens are real ones: padding is not counted as work. *Model FLOPs* are those of all layers for all real tokens, three
  times in training; *executed FLOPs* leave out what bertune does not compute: the last layer of all tokens but [CLS],
  since 2026-11-27 their keys and values included.
  Both are shares of what torch's matrix product reaches at the workload's shape in the same turns.
- The last 20 of the MRPC training pairs are left out, so that every batch is full.

What is particular about some systems:

- The tutorial (tf-models-official, "the lesson" in the tables) and KerasHub compute GELU's tanh approximation, the
  others erf.
- The tutorial pads to the longest training example (103 tokens), KerasHub and `pad_to_max_length` to 128.
- Grouping by length makes different batches by nature. They are those of transformers' sampler, visited in an order
  that gives each round the same mix of lengths.
- ONNX Runtime predicts batches sorted by length, its fastest way; its start-up and memory include the export.
- Encoders of families other than BERT have random weights and WordPiece's ids, whatever their own tokenizer is.
- Peak memory is that of the whole process, imports and loading included.

Why the Xeon gains more: on the EPYC matrix products are four fifths of a step, and its bf16 product is only twice as
fast as its fp32 product; that of the Xeon, with AMX, is about seven times as fast as the EPYC's.
"""

LIMITS_TEXT = """### What the matrix products allow

Training in bf16 beside the Trainer in bf16. The second column is the share of the measured product rate that bertune's
own operations reach; the last is what the ratio would be if its products took no longer than measured alone and all
else took no time. A target above that cannot be reached with these products.
"""

PARTS_TEXT = """## What each part is worth

The same system with and without a part of it, or with and without an environment variable, in the same turns. `NOTHING`
changes nothing: its rows show the noise. A ratio within that range is no gain shown. What follows from it:
[what was tried](decisions/tried.md).

<details markdown="1">
<summary>All ablations and settings</summary>
"""

COMMANDS = """## Commands

    make bench                                   environments, all of the following but whole runs, this page
    python -m benchmarks.speed --model minilm    training; also --model tiny, --model base
    python -m benchmarks.speed --model roberta   other families: distilbert, xlm-roberta, deberta-v3-small, …
    python -m benchmarks.speed --systems bertune --tag ablation --without kernels,kept-memory,…
    python -m benchmarks.speed --model tiny --systems bertune --tag ablation --without kernels
    python -m benchmarks.speed --systems bertune --tag settings --without kernels --settings OMP_WAIT_POLICY=ACTIVE …
    python -m benchmarks.speed --systems bertune-fp32 --tag ablation,fp32 --without fp32-products
    python -m benchmarks.speed --what predict
    python -m benchmarks.speed --what predict --systems bertune --tag ablation --without kernels
    python -m benchmarks.speed --what startup
    python -m benchmarks.speed --what whole      three epochs to the end, nothing extrapolated
    python -m benchmarks.speed.page              this page

The ablations up to 2026-11-27 disabled parts that have no switch any more (see
[what was tried](decisions/tried.md)): those commands run on the commits of that time.
"""

_MISSED = "**no**"


def newest_results(folder: Path) -> dict[str, Results]:
    """Returns the newest speed results of each hardware by their names, with their files."""
    found: dict[str, dict[str, tuple[str, Path]]] = {}
    for path in sorted(folder.glob("speed-*.json")):
        name, hardware, date = path.stem.split("_")
        of_hardware = found.setdefault(hardware, {})
        if name not in of_hardware or date >= of_hardware[name][0]:
            of_hardware[name] = (date, path)
    newest_first = sorted(found, key=lambda hardware: max(date for date, _ in found[hardware].values()), reverse=True)
    return {
        hardware: {
            name: (path, json.loads(path.read_text("utf-8"))) for name, (_, path) in sorted(found[hardware].items())
        }
        for hardware in newest_first
    }


def page(results: Mapping[str, Results], others: Mapping[str, list[Path]]) -> str:
    """Returns the text of the page.

    Args:
        results: by hardware and name, with their files.
        others: result files that other benchmarks wrote, by what they are about.
    """
    lines = [INTRODUCTION, TARGETS_TEXT, *figures_table(results), "", LIMITS_TEXT, *limits_table(results), ""]
    for hardware, of_hardware in results.items():
        lines += [f"## On {hardware}", ""]
        for name, (path, result) in sorted(of_hardware.items(), key=lambda item: _place(item[0])):
            if not _tag(name, result):
                lines += [f"### {title_of(result)}", "", *_body(result), "", f"{_source(path, result)}.", ""]
    lines += [PARTS_TEXT, *parts_table(results), "", "</details>", "", METHOD]
    for title, files in others.items():
        lines += [f"## {title}", ""]
        lines += [f"- [{file.stem}]({_link(file)})" for file in files] or ["Not measured yet."]
        lines.append("")
    return "\n".join([*lines, COMMANDS])


def figures_table(results: Mapping[str, Results]) -> list[str]:
    lines = [
        "| " + " | ".join(["what, on 2 cores", "at least (at most)", *results]) + " |",
        "|---|---|" + "---|" * len(results),
    ]
    rows = [(target, [_figure(target, of_hardware) for of_hardware in results.values()]) for target in TARGETS]
    for target, cells in sorted(rows, key=lambda row: not any(_MISSED in cell for cell in row[1])):
        lines.append(f"| {target.title} | {target.goal} | " + " | ".join(cells) + " |")
    return lines


def limits_table(results: Mapping[str, Results]) -> list[str]:
    """Returns how near training in bf16 is to the rate of the products, and the ratio that this rate allows."""
    lines = [
        "| on | workload | of the product rate | faster by | at most, by products alone |",
        "|---|---|---|---|---|",
    ]
    for hardware, of_hardware in results.items():
        for name, (path, result) in of_hardware.items():
            if result["what"] != "train" or _tag(name, result) or not counts(result):
                continue
            ratio = ratio_between(result, OURS, "transformers-bf16")
            shares = figures(by_name(result)[OURS], result)
            share = shares.get("executed_share", shares.get("model_share"))
            if ratio is not None and share is not None:
                lines.append(
                    f"| {hardware} | [{title_of(result)}]({_page(path)}) | {share:.0%} | {ratio.value:.2f}x "
                    f"| {ratio.value / share:.2f}x |"
                )
    return lines


def parts_table(results: Mapping[str, Results]) -> list[str]:
    """Returns the gain of each part and setting, from the results in which it was taken away or set."""
    lines = ["| on | workload | with and without | gain of having it | |", "|---|---|---|---|---|"]
    for hardware, of_hardware in results.items():
        for name, (path, result) in of_hardware.items():
            if result["what"] not in ("train", "predict"):
                continue
            gains = gain_of_tricks(result) | {
                name.replace("@", ", "): gain for name, gain in gain_of_settings(result).items()
            }
            for part, gain in gains.items():
                what = f"{title_of(result)}{_tag(name, result)}"
                lines.append(f"| {hardware} | {what} | {part} | {gain.text()} | [{result['date']}]({_page(path)}) |")
    return lines


def _figure(target: Target, results: Results) -> str:
    reached: Reached | None = None
    if target.source in results and counts(results[target.source][1]):
        reached = target.read(results[target.source][1])
    if reached is None:
        return "not measured"
    verdict = "yes" if reached.is_enough else _MISSED
    return f"[{reached.text}]({_page(results[target.source][0])}): {verdict}"


def counts(result: Mapping[str, Any]) -> bool:
    """Tells whether a result may count for a figure: trials and other data may not."""
    if not result.get("workload", {}).get("data", "MRPC").removeprefix("sentences of ").startswith("MRPC"):
        return False
    return bool(result.get("rounds", MIN_ROUNDS) >= MIN_ROUNDS)


def _body(result: Mapping[str, Any]) -> list[str]:
    if result["what"] == "startup":
        return startup_table(result)
    if result["what"] == "whole":
        return whole_table(result)
    measured = [entry for entry in result["systems"] if entry["rounds"]]
    short = short_training_table if result["what"] == "train" else short_prediction_table
    failed = [f"Not measured: {entry['title']}: {entry['failure']}" for entry in result["systems"] if entry["failure"]]
    return [*short(measured, result), *(line for text in failed for line in ("", text))]


def _source(path: Path, result: Mapping[str, Any]) -> str:
    return (
        f"Measured on {result['date']}: [all columns, machine and versions]({_page(path)}), [all rounds]({_link(path)})"
    )


def _place(name: str) -> int:
    """Where a result stands on the page: training first, the encoder of the demo before other shapes."""
    order = ("train-minilm", "train-base", "train-tiny", "whole", "predict")
    return next((place for place, kind in enumerate(order) if kind in name), len(order))


def _tag(name: str, result: Mapping[str, Any]) -> str:
    plain = f"speed-{result['what']}" + (f"-{result['model']}" if "model" in result else "")
    rest = name.removeprefix(plain).strip("-")
    return f" ({rest})" if rest else ""


def _page(path: Path) -> str:
    return _link(path.with_suffix(".md"))


def _link(path: Path) -> str:
    return f"../benchmarks/results/{path.name}"


def other_results(folder: Path) -> dict[str, list[Path]]:
    """Returns the results of other benchmarks, which have pages of their own."""
    return {
        "One GPU": sorted(folder.glob("gpu*.md")),
        "Accuracy": [*sorted(folder.glob("mrpc-accuracy*.md")), *sorted(folder.glob("paired-seeds*.md"))],
    }


def main() -> None:
    PAGE.write_text(page(newest_results(RESULTS), other_results(RESULTS)), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
