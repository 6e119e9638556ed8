"""Loss, learning rate and metrics over a run, from its journal."""

from typing import Any, Final

import numpy as np

from bertune.reports.run_files import Rows

_MOST_POINTS: Final = 240


def curve_numbers(name: str, journal: Rows) -> dict[str, Any]:
    """Returns the curves of one run.

    Args:
        name: of the run among others.
        journal: of the run. Steps are put together so that at most 240 points are left, each the mean of its steps.
    """
    steps = [entry for entry in journal if entry["event"] == "step"]
    epochs = [entry for entry in journal if entry["event"] == "epoch"]
    start = next((entry for entry in journal if entry["event"] == "start"), None)
    names = ("step", "loss", "learning_rate", "gradient_norm")
    return {
        "name": name,
        "precision": None if start is None else start["precision"],
        "total_steps": len(steps),
        "seconds": sum(epoch["train_seconds"] for epoch in epochs),
        "examples_per_second": _speed(epochs),
        "steps": {each: _thinned([step[each] for step in steps]) for each in names},
        "epochs": [_epoch(epoch, steps) for epoch in epochs],
    }


def _epoch(epoch: dict[str, Any], steps: Rows) -> dict[str, Any]:
    scores = epoch["validation"]
    values = {"epoch": epoch["epoch"], "train_loss": epoch["train_loss"], "is_best": epoch["is_best"]}
    # The step after which the epoch was over: where its scores stand on the axis of the steps.
    values["last_step"] = max((step["step"] for step in steps if step["epoch"] == epoch["epoch"]), default=None)
    if scores is not None:
        values["validation_loss"] = scores["mean_loss"]
        values["metrics"] = {name: metric["value"] for name, metric in scores["metrics"].items()}
        values["baseline"] = {name: metric["baseline"] for name, metric in scores["metrics"].items()}
    return values


def _speed(epochs: Rows) -> float | None:
    seconds = sum(epoch["train_seconds"] for epoch in epochs)
    examples = sum(epoch["train_seconds"] * epoch["examples_per_second"] for epoch in epochs)
    return examples / seconds if seconds else None


def _thinned(values: list[float]) -> list[float]:
    if len(values) <= _MOST_POINTS:
        return values
    return [float(np.mean(part)) for part in np.array_split(np.array(values), _MOST_POINTS)]
