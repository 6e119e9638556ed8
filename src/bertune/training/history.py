"""The history of a run: its steps, its epochs, and who watches them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bertune.evaluation.scores import Scores
from bertune.training.step import StepResult
from bertune.wording.counts import counted
from bertune.wording.markup import table
from bertune.wording.metric_text import loss_text, metric_name, metric_text


@dataclass(frozen=True)
class EpochResult:
    """What one epoch was.

    Args:
        epoch: from 1.
        train_loss: mean over the epoch's examples, each before the update it belongs to.
        train_seconds: of the epoch's steps, without evaluation.
        examples_per_second: trained.
        scores: on the validation data; None without any.
        is_best: whether it is the best epoch so far: by the chosen metric, on an equal one by the lower loss.
        logits: (rows, labels) on the validation data, where it is the best so far.
    """

    epoch: int
    train_loss: float
    train_seconds: float
    examples_per_second: float
    scores: Scores | None
    is_best: bool
    logits: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)


@dataclass(repr=False)
class History:
    """Per-step and per-epoch history of a training run; made by `fit`.

    A notebook shows it as a table of the epochs.

    Args:
        steps: one result for each optimizer step.
        epochs: one result for each epoch.
        stopped_early: whether patience ended the run before its last epoch.
        engine: precision and engine that computed it, such as `bf16, compiled kernels`.
    """

    steps: list[StepResult] = field(default_factory=list)
    epochs: list[EpochResult] = field(default_factory=list)
    stopped_early: bool = False
    engine: str = ""

    @property
    def best(self) -> EpochResult:
        """The epoch with the best metric; the last one where there was no validation."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.is_best), self.epochs[-1])

    def summary(self) -> str:
        """Returns one line, for instance `3 epochs, 345 steps; best: epoch 2, accuracy 83.1 %`."""
        parts = [counted(len(self.epochs), "epoch"), counted(len(self.steps), "step")]
        if self.stopped_early:
            parts.append("stopped early")
        if not self.epochs:
            return ", ".join(parts)
        scores = self.best.scores
        if scores is None:
            return f"{', '.join(parts)}; training loss {loss_text(self.best.train_loss)}"
        name, value = next(iter(scores.values.items()))
        metric = f"{metric_name(name, scores.label_names)} {metric_text(name, value)}"
        return f"{', '.join(parts)}; best: epoch {self.best.epoch}, {metric}"

    def __repr__(self) -> str:
        return f"History({self.summary()})"

    def _repr_html_(self) -> str:
        return table(epoch_rows(self.epochs), caption=self.summary())


def epoch_rows(epochs: Sequence[EpochResult]) -> list[tuple[str, ...]]:
    """Returns a table of epochs: headings, then a row for each with its loss, its metrics and whether it is the best.

    Args:
        epochs: of one run.
    """
    scores = next((epoch.scores for epoch in epochs if epoch.scores is not None), None)
    names = () if scores is None else tuple(scores.metrics)
    labels = () if scores is None else scores.label_names
    best = next((epoch.epoch for epoch in reversed(epochs) if epoch.is_best), None) if names else None
    rows = [("epoch", "training loss", *(metric_name(name, labels) for name in names), "")]
    for epoch in epochs:
        values = {} if epoch.scores is None else epoch.scores.values
        metrics = (metric_text(name, values[name]) if name in values else "" for name in names)
        rows.append((str(epoch.epoch), loss_text(epoch.train_loss), *metrics, "best" if epoch.epoch == best else ""))
    return rows
