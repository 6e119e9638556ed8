"""The history of a run: its steps, its evaluations and its epochs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bertune.evaluation.scores import Scores
from bertune.training.step import StepResult
from bertune.wording.counts import counted
from bertune.wording.markup import table
from bertune.wording.metric_text import epoch_text, loss_text, metric_name, metric_text


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run: at the end of an epoch, or within one as `evaluate_every` says.

    Args:
        step: optimizer steps that are behind it.
        epoch: passes over the training data that are behind it: a whole number at an epoch's end, such as 1.5 within.
        train_loss: mean over the examples since the evaluation before, each before the update it belongs to; where no
            step was applied since, over those of the epoch.
        train_seconds: of the steps since then, without evaluation.
        examples_per_second: trained since then.
        scores: on the validation data; None without any.
        is_best: whether it is the best so far: by the chosen metric, on an equal one by the lower loss.
        logits: (rows, labels) on the validation data: a callback is told those of every evaluation, a history has
            those of the best so far.
    """

    step: int
    epoch: float
    train_loss: float
    train_seconds: float
    examples_per_second: float
    scores: Scores | None
    is_best: bool
    logits: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @property
    def is_within_epoch(self) -> bool:
        """Whether steps of its epoch were left to be taken."""
        return self.epoch != int(self.epoch)

    def brief(self) -> "Evaluation":
        """Returns it without logits, confusion matrix and scores of single labels, if it is within an epoch."""
        scores = self.scores
        if not self.is_within_epoch or scores is None or not (scores.confusion or scores.labels):
            return self
        return replace(self, scores=replace(scores, confusion=(), labels=()), logits=None)


@dataclass(frozen=True)
class EpochResult:
    """What one epoch was.

    Args:
        epoch: from 1.
        train_loss: mean over the epoch's examples, each before the update it belongs to.
        train_seconds: of the epoch's steps, without evaluation.
        examples_per_second: trained.
        scores: of the evaluation at its end on the validation data; None without any.
        is_best: whether that is the best evaluation so far: by the chosen metric, on an equal one by the lower loss.
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
    """History of a training run, by steps, epochs and evaluations; made by `fit`.

    A notebook shows it as a table of the evaluations.

    Args:
        steps: one result for each optimizer step.
        epochs: one result for each epoch; where patience ends a run within an epoch, that one is the last.
        stopped_early: whether patience ended the run before its last epoch.
        engine: precision and engine that computed it, such as `bf16, compiled kernels`.
        evaluations: one for the end of each epoch, and those within epochs. Of the latter there may be thousands: only
            the last and the best so far have logits, confusion matrix and scores of single labels.
    """

    steps: list[StepResult] = field(default_factory=list)
    epochs: list[EpochResult] = field(default_factory=list)
    stopped_early: bool = False
    engine: str = ""
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def best(self) -> Evaluation:
        """The evaluation with the best metric; the last one where there was no validation."""
        return next((each for each in reversed(self.evaluations) if each.is_best), self.evaluations[-1])

    def add(self, evaluation: Evaluation) -> None:
        """Adds an evaluation; those that are neither the best any longer nor the last are kept in brief."""
        best = evaluation if evaluation.is_best or not self.evaluations else self.best
        self.evaluations[:] = [each if each is best else each.brief() for each in self.evaluations]
        self.evaluations.append(evaluation)

    def in_order(self) -> Iterator[Evaluation | EpochResult]:
        """Gives evaluations and epochs as they were told: each epoch comes after the last evaluation in it."""
        left = list(self.evaluations)
        for epoch in self.epochs:
            while left and left[0].epoch <= epoch.epoch:
                yield left.pop(0)
            yield epoch
        yield from left

    def is_out_of_patience(self, patience: int) -> bool:
        """Whether so many evaluations one after another were not better than one before them.

        Args:
            patience: how many; 0 is without end.
        """
        since_best = next((number for number, each in enumerate(reversed(self.evaluations)) if each.is_best), 0)
        return bool(patience) and since_best >= patience

    @property
    def evaluates_within_epochs(self) -> bool:
        """Whether there were evaluations beside those at the ends of epochs."""
        return any(each.is_within_epoch for each in self.evaluations)

    def summary(self) -> str:
        """Returns one line, for instance `3 epochs, 345 steps; best: epoch 2, accuracy 83.1 %`."""
        parts = [counted(len(self.epochs), "epoch"), counted(len(self.steps), "step")]
        if self.evaluates_within_epochs:
            parts.append(counted(len(self.evaluations), "evaluation"))
        if self.stopped_early:
            parts.append("stopped early")
        if not self.evaluations:
            return ", ".join(parts)
        scores = self.best.scores
        if scores is None:
            return f"{', '.join(parts)}; training loss {loss_text(self.best.train_loss)}"
        name, value = next(iter(scores.values.items()))
        metric = f"{metric_name(name, scores.label_names)} {metric_text(name, value)}"
        return f"{', '.join(parts)}; best: epoch {epoch_text(self.best.epoch)}, {metric}"

    def __repr__(self) -> str:
        return f"History({self.summary()})"

    def _repr_html_(self) -> str:
        return table(evaluation_rows(self.evaluations), caption=self.summary())


def evaluation_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Returns a table of evaluations: headings, then a row for each with its loss, its metrics and whether it is best.

    Where some are within epochs, their steps are told as well.

    Args:
        evaluations: of one run.
    """
    scores = next((each.scores for each in evaluations if each.scores is not None), None)
    names = () if scores is None else tuple(scores.metrics)
    labels = () if scores is None else scores.label_names
    best = next((each.step for each in reversed(evaluations) if each.is_best), None) if names else None
    tells_steps = any(each.is_within_epoch for each in evaluations)
    heading = ("epoch", *(["step"] if tells_steps else []), "training loss")
    rows = [(*heading, *(metric_name(name, labels) for name in names), "")]
    for each in evaluations:
        values = {} if each.scores is None else each.scores.values
        metrics = (metric_text(name, values[name]) if name in values else "" for name in names)
        place = (epoch_text(each.epoch), *([f"{each.step:,}"] if tells_steps else []))
        rows.append((*place, loss_text(each.train_loss), *metrics, "best" if each.step == best else ""))
    return rows
