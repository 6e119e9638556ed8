"""Between what a training loss lies: what a constant answer costs, and what a perfect one does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.data.task_kind import TaskKind


@dataclass(frozen=True)
class LossBounds:
    """Two losses of the objective that a run trains, with its class weights and label smoothing.

    Args:
        chance: of the best constant answer: without weights and smoothing the entropy of the labels in nats, for values
            their variance.
        floor: of perfect answers: 0 without label smoothing.
    """

    chance: float
    floor: float

    def share_of(self, loss: float) -> float:
        """Returns where a loss lies between the floor, 0, and chance, 1."""
        return (loss - self.floor) / (self.chance - self.floor) if self.chance > self.floor else 0.0


def loss_bounds(
    targets: NDArray[Any],
    *,
    kind: TaskKind,
    num_labels: int,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
) -> LossBounds:
    """Computes the bounds of `bertune.nn.losses.loss_of` over all training rows.

    Args:
        targets: class ids or values, (rows,); for multi-label 0 and 1, (rows, labels).
        kind: of the task.
        num_labels: outputs of the classifier.
        label_smoothing: share of each target that is spread evenly.
        class_weights: (labels,), as `loss_of` takes them; None for none.
    """
    if not kind.has_labels:
        return LossBounds(float(np.var(targets.astype(np.float64))), 0.0)
    weights = np.ones(num_labels) if class_weights is None else np.asarray(class_weights, dtype=np.float64)
    if kind.has_label_sets:
        having = targets.mean(axis=0)
        # (has it or not, label, what is predicted): how much each log-probability counts.
        wanted = np.stack(
            [
                np.stack([weights * (1 - label_smoothing / 2), np.full(num_labels, label_smoothing / 2)], axis=-1),
                np.stack([weights * label_smoothing / 2, np.full(num_labels, 1 - label_smoothing / 2)], axis=-1),
            ]
        )
        shares = np.stack([having, 1 - having])
        chance = _least_cost((shares[..., None] * wanted).sum(axis=0)).mean()
        floor = (shares * _least_cost(wanted)).sum(axis=0).mean()
        return LossBounds(float(chance), float(floor))
    shares = np.bincount(targets, minlength=num_labels) / len(targets)
    wanted = (1 - label_smoothing) * np.diag(weights) + label_smoothing / num_labels * weights
    total = shares @ weights
    return LossBounds(float(_least_cost(shares @ wanted) / total), float((shares * _least_cost(wanted)).sum() / total))


def _least_cost(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the least of -sum(counts * log q) over probabilities q, along the last axis: q is their shares."""
    shares = counts / counts.sum(axis=-1, keepdims=True)
    logarithms = np.log(np.where(shares > 0, shares, 1.0))
    costs: NDArray[np.float64] = -(counts * logarithms).sum(axis=-1)
    return costs


def soft_label_bounds(
    probabilities: NDArray[np.float32],
    *,
    label_smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
) -> LossBounds:
    """Computes the bounds of `bertune.nn.soft_losses.soft_label_loss` over all training rows.

    Args:
        probabilities: (rows, labels).
        label_smoothing: share of each distribution that is spread evenly.
        class_weights: (labels,); None for none.

    Returns:
        The best constant answer's loss; and the loss of answers that are the soft labels, as far as smoothing and
        weights let them be the best: without either the mean entropy.
    """
    given = probabilities.astype(np.float64)
    weights = np.ones(given.shape[1]) if class_weights is None else class_weights.astype(np.float64)
    wanted = weights * (given * (1 - label_smoothing) + label_smoothing / given.shape[1])
    total = float((given @ weights).sum())
    return LossBounds(_least(wanted.sum(axis=0, keepdims=True)) / total, _least(wanted) / total)


def _least(wanted: NDArray[np.float64]) -> float:
    """Returns the least sum of -wanted * log answer: of answers in proportion to what is wanted."""
    answers = wanted / wanted.sum(axis=1, keepdims=True)
    return float(-(wanted * np.log(np.where(wanted > 0, answers, 1.0))).sum())
