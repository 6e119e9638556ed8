"""Paired seeds: bf16 by compiled kernels beside fp32 by torch's operators on MRPC, or bertune beside the Trainer.

    python -m benchmarks.paired_seeds --data DIR --seeds 10 --out benchmarks/results/NAME
    python -m benchmarks.paired_seeds --against transformers --task mrpc --data DIR --rows 300 600 1000 3668 \
        --seeds 10 --out benchmarks/results/NAME

The first shows whether speed costs accuracy, the second whether bertune learns as the Trainer does with the same
numbers given (see `beside_trainer`; it needs `.venv-transformers`).

In the first, both runs of a seed have the same first weights, order of examples and settings, each in a process of its
own. On AMD's processors the plain side's float32 products are oneDNN's, which are as exact. DIR holds the original GLUE
files. Writes NAME.json and NAME.md after each run; started again, it does what is missing. `--only fast` and `--only
plain` do one side: the plain one takes an hour, in which the code of the other may change. `--against transformers` has
`--only bertune` and `--only trainer`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from scipy import stats

from benchmarks.beside_trainer import compare
from benchmarks.machine import machine
from bertune.fetch.resolve import DEFAULT_MODEL
from bertune.system.feature_switches import VARIABLE

FAST: Final = "bf16, compiled kernels"
PLAIN: Final = "fp32, torch operators"
SYSTEMS: Final = {
    FAST: ({}, "bf16"),
    PLAIN: ({VARIABLE: "kernels"}, "fp32"),
}
MEASURES: Final = ("validation, best epoch", "validation, last epoch", "test, best epoch")


def train(system: str, data: str, seed: int, settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Trains one seed from the command line and scores the validation rows of each epoch, and the test rows."""
    variables, precision = SYSTEMS[system]
    environment = os.environ | variables | {"OMP_NUM_THREADS": str(threads)}
    bertune = [sys.executable, "-m", "bertune"]
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        to_train = [
            "train",
            "--recipe",
            "lesson",
            "--task",
            "mrpc",
            "--data",
            data,
            "--seed",
            str(seed),
            "--precision",
            precision,
        ]
        subprocess.run([*bertune, *to_train, "--out", run, *flags], env=environment, check=True, capture_output=True)
        journal = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
        to_score = ["evaluate", run, "--data", data, "--split", "test", "--json"]
        scored = subprocess.run([*bertune, *to_score], env=environment, check=True, capture_output=True, text=True)
    epochs = [line for line in journal if line["event"] == "epoch"]
    accuracies = [line["validation"]["metrics"]["accuracy"]["value"] for line in epochs]
    return {
        "how": next(line["precision"] for line in journal if line["event"] == "start"),
        "accuracy_by_epoch": accuracies,
        "validation, best epoch": max(accuracies),
        "validation, last epoch": accuracies[-1],
        "test, best epoch": json.loads(scored.stdout)["scores"]["metrics"]["accuracy"]["value"],
        "train_seconds": sum(line["train_seconds"] for line in epochs),
    }


def summarize(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mean of each measure over the seeds that both have, and of the differences, with the 95 % interval of t."""
    seeds = [seed for seed in runs[FAST] if seed in runs[PLAIN]]
    summary: dict[str, Any] = {"seeds": len(seeds)}
    for measure in MEASURES if seeds else ():
        differences = [runs[FAST][seed][measure] - runs[PLAIN][seed][measure] for seed in seeds]
        mean = statistics.mean(differences)
        half = 0.0
        if len(seeds) > 1:
            half = float(stats.t.ppf(0.975, len(seeds) - 1)) * statistics.stdev(differences) / len(seeds) ** 0.5
        means = {system: statistics.mean(runs[system][seed][measure] for seed in seeds) for system in SYSTEMS}
        summary[measure] = {"means": means, "difference": mean, "low": mean - half, "high": mean + half}
    return summary


def table(results: dict[str, Any]) -> str:
    lines = [f"| MRPC accuracy | {FAST} | {PLAIN} | difference | 95 % interval |", "|---|---|---|---|---|"]
    for measure in MEASURES:
        values = results["summary"].get(measure)
        if values is None:
            continue
        lines.append(
            f"| {measure} | {values['means'][FAST]:.2%} | {values['means'][PLAIN]:.2%} | "
            f"{100 * values['difference']:+.2f} points | {100 * values['low']:+.2f} to {100 * values['high']:+.2f} |"
        )
    facts = ", ".join(f"{key} {value}" for key, value in (results["settings"] | results["machine"]).items())
    return "\n".join([f"# MRPC, {results['summary']['seeds']} paired seeds", "", *lines, "", f"{facts}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--against", choices=["itself", "transformers"], default="itself")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=["fast", "plain", "bertune", "trainer"], help="one side alone")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each run")
    parser.add_argument("--out", type=Path, required=True)
    peer = parser.add_argument_group("against transformers")
    peer.add_argument("--task", choices=["mrpc", "sst2"], default="mrpc")
    peer.add_argument("--rows", type=int, nargs="+", default=[300, 600, 1000, 3668], help="training rows")
    peer.add_argument("--epochs", type=int, default=3)
    peer.add_argument("--batch-size", type=int, default=32)
    peer.add_argument("--encoder", default=DEFAULT_MODEL)
    peer.add_argument("--without-dropout", action="store_true", help="whose draws are each system's own")
    peer.add_argument("--jobs", type=int, default=1, help="seeds trained at a time")
    options = parser.parse_args()
    sides = {"itself": ("fast", "plain"), "transformers": ("bertune", "trainer")}[options.against]
    if options.only not in (None, *sides):
        parser.error(f"--only {options.only}: against {options.against} there are {' and '.join(sides)}")
    if options.against == "transformers":
        sys.exit(1 if compare(options) else 0)
    compare_precisions(options)


def compare_precisions(options: argparse.Namespace) -> None:
    """Runs what is missing of bf16 beside fp32."""
    settings = {"epochs": 3, "batch_size": 32, "learning_rate": options.learning_rate}
    file = options.out.with_suffix(".json")
    results: dict[str, Any] = {"settings": settings, "machine": machine(), "runs": {system: {} for system in SYSTEMS}}
    if file.is_file():
        results = json.loads(file.read_text())
        if results["settings"] != settings:
            raise SystemExit(f"{file} was made with other settings: {results['settings']}")
    wanted = {"fast": [FAST], "plain": [PLAIN], None: list(SYSTEMS)}[options.only]
    for seed in range(1, options.seeds + 1):
        for system in wanted:
            if str(seed) in results["runs"][system]:
                continue
            run = train(system, options.data, seed, settings, options.threads)
            results["runs"][system][str(seed)] = run
            results["summary"] = summarize(results["runs"])
            file.write_text(json.dumps(results, indent=2) + "\n")
            options.out.with_suffix(".md").write_text(table(results))
            print(seed, system, run["accuracy_by_epoch"], f"{run['train_seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
