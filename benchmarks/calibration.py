"""The calibration error of a run's validation rows before and after a temperature fitted on other rows.

    python -m benchmarks.calibration RUN [RUN …] [--data DIR] [--splits 20] --out benchmarks/results/NAME

Takes the logits that each run kept of its validation rows, or with --data lets its model answer labelled rows (of a
folder the validation split). The rows are split into halves at random, again and again: each half is measured with the
temperature fitted on the other half. Writes NAME.json and NAME.md.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, versions
from bertune.cli.compare import predicted_by
from bertune.cli.options import ComputeOptions, DataOptions
from bertune.cli.terminal import keep_quiet
from bertune.evaluation.calibration import held_out_quality
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.saved_calibration import BINS
from bertune.evaluation.temperature import fit_temperature, log_loss, probabilities_at
from bertune.reports.compared_runs import ComparedRun, read_compared_run, targets_of


def measure(run: ComparedRun, splits: int) -> dict[str, Any]:
    targets = targets_of(run.rows, run.signature)
    plain = probabilities_at(run.logits, 1.0, multi_label=targets.ndim == 2)
    before = calibration_error(plain, targets)
    held_out = [held_out_quality(run.logits, targets, seed=seed) for seed in range(splits)]
    after = [quality.error for quality in held_out]
    return {
        "run": Path(run.name).name,
        "rows": len(targets),
        "temperature_of_all_rows": fit_temperature(run.logits, targets).value,
        "error_before": before,
        "error_after": after,
        "mean_error_after": statistics.mean(after),
        "log_loss_before": log_loss(run.logits, targets),
        "mean_log_loss_after": statistics.mean(quality.log_loss for quality in held_out),
        "factor": before / statistics.mean(after),
        "expected_of_chance": expected_of_chance(run, targets),
    }


def expected_of_chance(run: ComparedRun, targets: np.ndarray, draws: int = 200) -> float:
    """The error that perfectly calibrated probabilities would show on so few rows, by the luck of the draw alone."""
    fitted = fit_temperature(run.logits, targets).value
    shares = probabilities_at(run.logits, fitted, multi_label=targets.ndim == 2)
    source = np.random.default_rng(0)
    errors = []
    for _ in range(draws):
        if targets.ndim == 2:
            drawn = (source.random(shares.shape) < shares).astype(np.int64)
        else:
            drawn = np.minimum(
                (shares.cumsum(axis=1) < source.random((len(shares), 1))).sum(axis=1), shares.shape[1] - 1
            )
        errors.append(calibration_error(shares, drawn))
    return statistics.mean(errors)


def as_markdown(results: list[dict[str, Any]], splits: int, command: str, about: dict[str, Any]) -> str:
    lines = [
        "# Calibration error before and after a temperature",
        "",
        f"Expected calibration error, {BINS} bins, of all validation rows. After: each row by a temperature fitted on "
        f"the half without it, mean of {splits} random halvings (standard deviation in brackets). By luck: what "
        "perfectly calibrated probabilities would show on as many rows.",
        "",
        "| run | rows | temperature | before | after | factor | by luck | log loss before | after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        spread = statistics.stdev(each["error_after"]) if splits > 1 else 0.0
        lines.append(
            f"| {each['run']} | {each['rows']} | {each['temperature_of_all_rows']:.2f} "
            f"| {each['error_before']:.2%} | {each['mean_error_after']:.2%} ({spread:.2%}) | {each['factor']:.2f} "
            f"| {each['expected_of_chance']:.2%} | {each['log_loss_before']:.4f} | {each['mean_log_loss_after']:.4f} |"
        )
    return "\n".join(
        [*lines, "", f"`{command}`", "", ", ".join(f"{name} {value}" for name, value in about.items()), ""]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--data")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    results = []
    for path in options.runs:
        if options.data is None:
            run = read_compared_run(path)
        else:
            data = DataOptions(data=options.data)
            run = predicted_by(path, data, label=None, compute=ComputeOptions(), tell=keep_quiet, quiet=True)
        results.append(measure(run, options.splits))
    command = "python -m benchmarks.calibration " + " ".join(each["run"] for each in results)
    command += f" --splits {options.splits}" + ("" if options.data is None else " --data DIR")
    about = machine() | versions("bertune", "numpy")
    text = as_markdown(results, options.splits, command, about)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "machine": about, "splits": options.splits, "bins": BINS, "runs": results}
    options.out.with_name(options.out.name + ".json").write_text(json.dumps(content, indent=2) + "\n")
    options.out.with_name(options.out.name + ".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
