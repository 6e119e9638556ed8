"""The recipes over seeds on MRPC: what `bertune train --seeds` says, and what each seed's model scores on test.

    python -m benchmarks.seeds --data DIR --seeds 5
    python -m benchmarks.seeds --data DIR --seeds 5 --systems lesson "stable --epochs 3" stable

Each system is `bertune train --recipe` with these words after it. DIR holds the original MRPC files. A seed that is
done stays in the work folder: run again, it goes on after the last one. Test is scored after everything was chosen, and
nothing is chosen by it. Writes benchmarks/results/seeds-mrpc_HARDWARE_DATE.json and .md after each system.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import hardware_name, machine, versions
from bertune.experiments.summary import spread_of

METRIC: Final = "accuracy"
SYSTEMS: Final = ("lesson", "stable --epochs 3", "stable")
RESULTS: Final = Path(__file__).parent / "results"


def bertune(*arguments: str, threads: int) -> dict[str, Any]:
    """Runs a command in a process of its own and returns its JSON document."""
    command = [sys.executable, "-m", "bertune", *arguments, "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def measure(system: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Trains the seeds of a system, or goes on with them; then scores each seed's model on test."""
    study = work / re.sub(r"[^a-z0-9.]+", "-", system)
    seeds = ["--seed", "1", "--seeds", str(options.seeds), "--parallel-seeds", "1"]
    words = [*system.split(), *seeds, "--out", str(study)]
    told = bertune("train", "--task", "mrpc", "--data", options.data, "--recipe", *words, threads=options.threads)
    runs = []
    for result in told["results"]:
        test = None
        if result["status"] == "finished":
            folder = str(study / result["folder"])
            scored = bertune("evaluate", folder, "--data", options.data, "--split", "test", threads=options.threads)
            test = scored["scores"]["metrics"][METRIC]["value"]
        runs.append(result | {"test": test, "train_seconds": train_seconds(study / result["folder"])})
    return {"runs": runs, "summary": told["summary"], "test": spread([run["test"] for run in runs])}


def train_seconds(run: Path) -> float:
    """What the steps of a run took, without evaluations."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return float(sum(line["train_seconds"] for line in lines if line["event"] == "epoch"))


def spread(values: list[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = spread_of(known)
    return {"mean": found.mean, "std": found.std, "low": found.low, "high": found.high, "minimum": found.minimum}


def row(system: str, measured: dict[str, Any]) -> str:
    validation, test = measured["summary"]["metrics"][METRIC], measured["test"]
    seconds = sum(run["train_seconds"] for run in measured["runs"]) / len(measured["runs"])
    collapsed = len(measured["summary"]["collapsed"])
    return (
        f"| {system} | {shown(validation)} | {validation['minimum']:.2%} | {shown(test)} | {test['minimum']:.2%} | "
        f"{collapsed} | {len(measured['summary']['diverged'])} | {seconds:.0f} s |"
    )


def shown(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['mean']:.2%}"
    return f"{found['mean']:.2%} ({found['low']:.2%} to {found['high']:.2%}), std {found['std']:.2%}"


def page(results: dict[str, Any]) -> str:
    lines = [
        f"# MRPC over {results['seeds']} seeds, by recipe",
        "",
        "| recipe | validation accuracy, best epoch: mean (95 % interval) | lowest | "
        "test accuracy of the same models | lowest | collapsed | diverged | training, a seed |",
        "|---|---|---|---|---|---|---|---|",
        *(row(system, measured) for system, measured in results["systems"].items() if measured["summary"]["metrics"]),
        "",
        "The interval is Student's t over the seeds. Nothing was chosen by test; it was scored after everything else.",
        "",
        ", ".join(f"{name} {value}" for name, value in results["machine"].items()) + ".",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=Path, default=Path("runs/seeds-mrpc"))
    options = parser.parse_args()
    about = machine() | {"threads": options.threads} | versions("bertune", "torch", "tokenizers")
    results: dict[str, Any] = {"seeds": options.seeds, "machine": about, "systems": {}}
    file = RESULTS / f"seeds-mrpc_{hardware_name()}_{datetime.date.today()}.json"
    for system in options.systems:
        results["systems"][system] = measure(system, options.work, options)
        file.write_text(json.dumps(results, indent=2) + "\n")
        file.with_suffix(".md").write_text(page(results))
        print(row(system, results["systems"][system]), flush=True)


if __name__ == "__main__":
    main()
