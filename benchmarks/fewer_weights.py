"""Time, memory and accuracy of training fewer weights, beside training all of them, on MRPC.

    python -m benchmarks.fewer_weights --data DIR --rows 1000 --seeds 3 --out NAME

Each run is a process of its own, of one thread; the settings take turns, seed by seed. Times are processor seconds, so
that other work on the machine hardly counts; memory is the peak of the process above what it held before training.
Writes NAME.json and NAME.md; runs that are in NAME.json already are
not made again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.intervals import paired
from benchmarks.machine import machine, versions
from bertune.batches.dataset import Dataset
from bertune.cli.terminal import keep_quiet
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.history import EpochResult
from bertune.training.loop import FitOptions, fit_objective
from bertune.training.objective import Objective
from bertune.training.prepare import prepare
from bertune.training.run_settings import RunSettings
from bertune.training.step import StepResult

# Of recipe `auto` for an encoder of this size.
RATE = 1e-4
SETTINGS: dict[str, dict[str, Any]] = {
    "full": {},
    "freeze 4": {"freeze": 4},
    "freeze 4, 3 x the rate": {"freeze": 4, "learning_rate": 3 * RATE},
    "lora 8, 3 x the rate": {"lora": 8, "learning_rate": 3 * RATE},
}


class Clock(Callback):
    """Processor seconds of the steps of each epoch, with what they wait for and without evaluations."""

    def __init__(self) -> None:
        self.epochs: list[float] = []

    def on_start(self, *_: Any) -> None:
        self._begun = self._now = time.process_time()

    def on_step(self, _result: StepResult) -> None:
        self._now = time.process_time()

    def on_epoch(self, _result: EpochResult) -> None:
        self.epochs.append(self._now - self._begun)
        self._begun = time.process_time()


def measured(name: str, data: str, rows: int, epochs: int, seed: int) -> dict[str, Any]:
    """Trains once in this process, and scores the last epoch's model."""
    torch.set_num_threads(1)
    config = TrainingConfig(seed=seed, epochs=epochs, **SETTINGS[name])
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(data=data, out=Path(folder) / "run", task="mrpc", skip_probe=True)
        run = prepare(settings, config, say=keep_quiet)
    chosen = np.sort(np.random.default_rng(0).permutation(len(run.train))[:rows])
    assert run.train.targets is not None
    train = Dataset(run.train.encoded.take(chosen), run.train.targets[chosen])
    clock, before = Clock(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    objective, options = Objective.of(run.signature), FitOptions(callbacks=(clock,), verbose=False)
    history = fit_objective(run.classifier, train, None, objective, config, options)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert run.validation is not None
    scores, _ = objective.score(run.classifier, run.validation, train.targets)
    return {
        "engine": history.engine,
        "accuracy": scores.values["accuracy"],
        "epochs": clock.epochs,
        "memory_mib": memory,
    }


def in_process(name: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.fewer_weights", "--data", options.data, "--rows", str(options.rows)]
    command += ["--epochs", str(options.epochs)]
    done = subprocess.run(
        [*command, "--only", name, "--seed", str(seed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def page(result: dict[str, Any]) -> str:
    about, runs = result["machine"], {name: found for name, found in result["runs"].items() if found}
    full = {seed: run["accuracy"] for seed, run in runs["full"].items()}
    seeds = f"{len(full)} seed{'s' if len(full) > 1 else ''}"
    seconds = {name: [statistics.median(part) for part in _epoch_parts(found.values())] for name, found in runs.items()}
    lines = [
        "# Training fewer weights: MRPC, MiniLM",
        "",
        f"`{result['command']}`, on {about['cpu']}, {about['cores']} cores, one thread; {result['rows']:,} training "
        f"rows, {seeds}, {len(next(iter(runs['full'].values()))['epochs'])} epochs, "
        f"{next(iter(runs['full'].values()))['engine']}. Processor seconds of the steps of an epoch, medians; the "
        "first one has the pass through the frozen layers. Memory: growth of the peak during training.",
        "",
        "| setting | first epoch | later epochs | of full: first | of full: later | memory | accuracy "
        "| difference from full, points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in runs.items():
        first, later = seconds[name]
        of_first, of_later = (ours / theirs for ours, theirs in zip(seconds[name], seconds["full"], strict=True))
        accuracies = {seed: run["accuracy"] for seed, run in found.items()}
        difference = paired(accuracies, full)
        told = "" if name == "full" or difference is None else _interval(difference)
        memory = statistics.median(run["memory_mib"] for run in found.values())
        lines.append(
            f"| {name} | {first:.2f} s | {later:.2f} s | {of_first:.2f} | {of_later:.2f} | {memory:.0f} MiB "
            f"| {statistics.mean(accuracies.values()):.1%} | {told} |"
        )
    return "\n".join(lines) + "\n"


def _epoch_parts(runs: Any) -> tuple[list[float], list[float]]:
    runs = list(runs)
    return [run["epochs"][0] for run in runs], [value for run in runs for value in run["epochs"][1:]]


def _interval(mean: Any) -> str:
    if mean.low is None:
        return f"{100 * mean.mean:+.1f} ({mean.count} seed{'s' if mean.count > 1 else ''}: no interval)"
    return f"{100 * mean.mean:+.1f} [{100 * mean.low:+.1f}, {100 * mean.high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the folder MRPC of GLUE")
    parser.add_argument("--rows", type=int, default=1000, help="training rows, chosen once")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(measured(options.only, options.data, options.rows, options.epochs, options.seed)))
        return
    runs: dict[str, dict[str, Any]] = {name: {} for name in options.settings}
    kept = None if options.out is None else options.out.with_suffix(".json")
    if kept is not None and kept.is_file():
        runs |= json.loads(kept.read_text())["runs"]
    for seed in range(1, options.seeds + 1):
        for name in options.settings:
            if str(seed) not in runs[name]:
                runs[name][str(seed)] = in_process(name, options, seed)
                print(seed, name, runs[name][str(seed)], flush=True)
                _write(options, runs)
    if kept is not None:
        print(page(json.loads(kept.read_text())))


def _write(options: argparse.Namespace, runs: dict[str, dict[str, Any]]) -> None:
    """Writes what is known, after each run: whoever stops it has a result of fewer, and can go on."""
    result = {
        "command": f"python -m benchmarks.fewer_weights --data MRPC --rows {options.rows} "
        f"--epochs {options.epochs} --seeds {options.seeds}",
        "rows": options.rows,
        "machine": machine(),
        "versions": versions("bertune", "torch", "numpy"),
        "runs": runs,
    }
    if options.out is not None:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(page(result))


if __name__ == "__main__":
    main()
