"""Where a training step goes: its matrix products and each compiled kernel, on MRPC, on one processor.

    python -m benchmarks.step_profile --model tiny --out benchmarks/results/NAME

Trains two epochs of the speed benchmark's workload and times the second, so that every shape has been seen. To read the
clock around each call costs a few microseconds a call; the time without it is that of `benchmarks.speed`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, versions
from benchmarks.speed.shapes import SHAPES
from benchmarks.speed.systems import ROOT
from benchmarks.speed.workload import read_workload
from bertune import TrainingConfig, encode_examples, fit, load
from bertune.batches.dataset import Dataset
from bertune.kernels.adamw_step import KernelStep
from bertune.kernels.calls import Calls
from bertune.training.callback import Callback

PRODUCTS = "matrix products"


class Profile(Callback):
    """Observes `fit`, and adds up what the second epoch's calls take."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.steps = 0
        self.precision = ""
        self.began = self.ended = 0.0

    def on_start(self, *about: Any) -> None:
        self.precision = about[-1]

    def on_step(self, result: Any) -> None:
        if result.epoch == 2:
            self.steps += 1
            self.ended = time.perf_counter()

    def on_epoch(self, result: Any) -> None:
        if result.epoch == 1:
            self.seconds.clear()
            self.calls.clear()
            self.began = time.perf_counter()

    def take(self, name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        self.seconds[name] += time.perf_counter() - began
        self.calls[name] += 1
        return result

    def rows(self) -> list[dict[str, Any]]:
        """A row for each kind of call, the rest (Python, head, loss) last; milliseconds and calls a step."""
        whole = self.ended - self.began
        rows: list[dict[str, Any]] = [
            {"what": name, "ms": 1e3 * seconds / self.steps, "calls": self.calls[name] / self.steps}
            for name, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])
        ]
        rest = whole - sum(self.seconds.values())
        return [*rows, {"what": "all else: Python, head, loss", "ms": 1e3 * rest / self.steps, "calls": None}]


def watch(profile: Profile) -> None:
    """Puts a clock around each call of both passes, and around the optimizer's step."""

    def run(calls: Calls) -> None:
        for call in calls._calls:
            profile.take(name_of(call), call)

    step = KernelStep.step
    Calls.run = run  # type: ignore[method-assign, assignment]
    KernelStep.step = lambda self: profile.take("optimizer, as a whole", lambda: step(self))  # type: ignore[method-assign]


def name_of(call: Callable[[], Any]) -> str:
    if not isinstance(call, partial):
        return "zeros"
    name = str(getattr(call.func, "__name__", call.func))
    return PRODUCTS if name in ("mm", "addmm") else name


def table(result: dict[str, Any]) -> str:
    whole = sum(row["ms"] for row in result["rows"])
    lines = [f"# A training step, {result['model']}", "", "| what | ms a step | share | calls |", "|---|---|---|---|"]
    for row in result["rows"]:
        calls = "" if row["calls"] is None else f"{row['calls']:.0f}"
        lines.append(f"| {row['what']} | {row['ms']:.2f} | {row['ms'] / whole:.0%} | {calls} |")
    facts = ", ".join(f"{key} {value}" for key, value in (result["machine"] | result["versions"]).items())
    lines += [f"| together | {whole:.2f} | | |", "", f"{result['steps']} steps, {result['precision']}; {facts}."]
    return "\n".join([*lines, "", f"Command: `{result['command']}`.", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SHAPES, default="minilm")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    profile = Profile()
    watch(profile)
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, "-m", "benchmarks.speed.make_workload", folder, "--model", options.model]
        subprocess.run([*make, "--epochs", "2"], cwd=ROOT, check=True)
        workload = read_workload(Path(folder))
        model, texts = load(workload.model), workload.train
        encoded = encode_examples(texts.first, texts.second, model.tokenizer, workload.settings["max_length"])
    names = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "max_gradient_norm", "seed")
    config = TrainingConfig(recipe="lesson", **{name: workload.settings[name] for name in names})
    fit(model.classifier, Dataset(encoded, np.array(texts.labels, np.int64)), config=config, callbacks=[profile])
    if not profile.seconds:
        raise SystemExit(f"nothing to time: {profile.precision}")
    result = {
        "model": options.model,
        "command": f"python -m benchmarks.step_profile --model {options.model}",
        "steps": profile.steps,
        "precision": profile.precision,
        "rows": profile.rows(),
        "machine": machine(),
        "versions": versions("bertune", "torch"),
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(table(result), encoding="utf-8")
    print(table(result))


if __name__ == "__main__":
    main()
