"""L2-penalized regressions on features of rows, dense or sparse: what simple baselines are fitted by."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.data.task_kind import TaskKind
from bertune.evaluation.answer_kinds import ANSWERS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

_FOLDS: Final = 3
_ITERATIONS: Final = 60
# Beyond so many products a pass, cross-validation would take longer than reading the rows.
_MOST_TO_VALIDATE: Final = 20_000_000
# A class without rows would drift away.
_OF_INTERCEPT: Final = 1e-6


def wanted_of(targets: NDArray[Any], kind: TaskKind, num_labels: int) -> Floats:
    """Returns (rows, outputs): 1 for each label of a row, or the values."""
    if kind.has_one_label:
        rows: Floats = np.eye(num_labels)[targets]
        return rows
    return targets.astype(np.float64).reshape(len(targets), num_labels)


def choose_penalty(
    features: "Floats | csr_array", wanted: Floats, targets: NDArray[Any], kind: TaskKind, penalties: Sequence[float]
) -> float:
    """Returns the penalty with the lowest loss on rows that were left out in turn, by threefold cross-validation.

    Args:
        features: (rows, features).
        wanted: (rows, outputs), from `wanted_of`.
        targets: of the rows; each fold has its share of every class.
        kind: of the task.
        penalties: to choose from; where there is too much to try, the middle one is taken.
    """
    penalties = sorted(penalties, reverse=True)
    numbers = features.size * wanted.shape[1]  # of a sparse array, those that are stored
    if numbers > _MOST_TO_VALIDATE and (kind.has_labels or not isinstance(features, np.ndarray)):
        return penalties[len(penalties) // 2]
    fold = np.empty(len(targets), np.int64)
    order = np.arange(len(targets)) if kind.has_label_sets else np.argsort(targets, kind="stable")
    fold[order] = np.arange(len(targets)) % _FOLDS
    losses = dict.fromkeys(penalties, 0.0)
    for number in range(_FOLDS):
        fitted, left = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        start = None
        for penalty in penalties:  # each from the weights of the one before
            start = fit(features[fitted], wanted[fitted], penalty, kind, start)
            losses[penalty] += _loss(outputs(features[left], start), wanted[left], kind)[0] * len(left)
    return min(losses, key=lambda penalty: losses[penalty])


def fit(
    features: "Floats | csr_array", wanted: Floats, penalty: float, kind: TaskKind, start: Floats | None = None
) -> Floats:
    """Returns the weights that minimize the mean loss of the rows plus half the penalty times the squared weights.

    Multinomial logistic regression for classes, one of each label for multi-label, ridge regression for values.

    Args:
        features: (rows, features).
        wanted: (rows, outputs), from `wanted_of`.
        penalty: of the squared weights; the intercept is free.
        kind: of the task.
        start: weights to begin from; zeros by default.

    Returns:
        (features + 1, outputs); the last row is the intercept.
    """
    size = (features.shape[1] + 1, wanted.shape[1])
    held = np.full((size[0], 1), penalty)
    held[-1] = _OF_INTERCEPT
    if not kind.has_labels and isinstance(features, np.ndarray):
        # The same minimum as below, in closed form: the loss there is half the squared error.
        given = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        covariance = given.T @ given / len(given) + np.diag(held[:, 0])
        return np.asarray(np.linalg.solve(covariance, given.T @ wanted / len(given)), dtype=np.float64)
    from scipy.optimize import minimize  # takes a third of a second

    def cost(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(size)
        loss, slope = _loss(outputs(features, weights), wanted, kind)
        gradient = np.concatenate([features.T @ slope, slope.sum(axis=0, keepdims=True)]) + held * weights
        return loss + float((held * weights**2).sum()) / 2, gradient.ravel()

    begin = np.zeros(size) if start is None else start
    found = minimize(cost, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    best: Floats = found.x.reshape(size)
    return best


def outputs(features: "Floats | csr_array", weights: Floats) -> Floats:
    """Returns (rows, outputs): the logits, or the values."""
    found: Floats = features @ weights[:-1] + weights[-1]
    return found


def decide(logits: Floats, kind: TaskKind, target_range: tuple[float, float] | None) -> NDArray[Any]:
    """Returns the answers of `outputs`, in the form of targets; values are clipped to their range."""
    given = ANSWERS[kind].likeliest(logits)
    return given if target_range is None else np.clip(given, *target_range)


def _loss(logits: Floats, wanted: Floats, kind: TaskKind) -> tuple[float, Floats]:
    """Returns the mean loss of the rows and its slope by the logits."""
    rows = len(logits)
    if not kind.has_labels:
        return float(((logits - wanted) ** 2).sum()) / (2 * rows), (logits - wanted) / rows
    if kind.has_label_sets:
        shares = 0.5 * (1 + np.tanh(logits / 2))
        return float((np.logaddexp(0, logits) - logits * wanted).sum()) / rows, (shares - wanted) / rows
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float((wanted * (total - shifted)).sum()) / rows, (np.exp(shifted - total) - wanted) / rows
