"""Loss, learning rate and metrics over a run, from its journal."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bertune.reports.run_metrics import Curve, EpochPoint, EvaluationPoint, StepCurves
from bertune.training.saved_run import EpochEntry, EvaluationEntry, JournalEntry, StartEntry, StepEntry

_MOST_POINTS: Final = 240


def curve_numbers(name: str, journal: Sequence[JournalEntry]) -> Curve:
    """Returns the curves of one run.

    Args:
        name: of the run among others.
        journal: of the run. Steps are put together so that at most 240 points are left, each the mean of its steps.
    """
    steps = [entry for entry in journal if isinstance(entry, StepEntry)]
    epochs = [entry for entry in journal if isinstance(entry, EpochEntry)]
    evaluations = [entry for entry in journal if isinstance(entry, EvaluationEntry)]
    start = next((entry for entry in journal if isinstance(entry, StartEntry)), None)
    return Curve(
        name=name,
        precision=None if start is None else start.precision,
        total_steps=len(steps),
        seconds=sum(epoch.train_seconds for epoch in epochs),
        examples_per_second=_speed(epochs),
        steps=StepCurves(
            step=_thinned([step.step for step in steps]),
            loss=_thinned([step.loss for step in steps]),
            learning_rate=_thinned([step.learning_rate for step in steps]),
            gradient_norm=_thinned([step.gradient_norm for step in steps]),
        ),
        epochs=tuple(_epoch(epoch, steps) for epoch in epochs),
        evaluations=tuple(map(_evaluation, evaluations)) or None,
    )


def _epoch(epoch: EpochEntry, steps: Sequence[StepEntry]) -> EpochPoint:
    scores = epoch.validation
    return EpochPoint(
        epoch=epoch.epoch,
        train_loss=epoch.train_loss,
        is_best=epoch.is_best,
        last_step=max((step.step for step in steps if step.epoch == epoch.epoch), default=None),
        validation_loss=None if scores is None else scores.mean_loss,
        metrics=None if scores is None else {name: metric.value for name, metric in scores.metrics.items()},
        baseline=None if scores is None else {name: metric.baseline for name, metric in scores.metrics.items()},
    )


def _evaluation(entry: EvaluationEntry) -> EvaluationPoint:
    scores = entry.validation
    return EvaluationPoint(
        step=entry.step,
        epoch=entry.epoch,
        train_loss=entry.train_loss,
        is_best=entry.is_best,
        validation_loss=scores.mean_loss,
        metrics={name: metric.value for name, metric in scores.metrics.items()},
        baseline={name: metric.baseline for name, metric in scores.metrics.items()},
    )


def _speed(epochs: Sequence[EpochEntry]) -> float | None:
    seconds = sum(epoch.train_seconds for epoch in epochs)
    examples = sum(epoch.train_seconds * epoch.examples_per_second for epoch in epochs)
    return examples / seconds if seconds else None


def _thinned(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) <= _MOST_POINTS:
        return tuple(values)
    return tuple(float(np.mean(part)) for part in np.array_split(np.array(values), _MOST_POINTS))
