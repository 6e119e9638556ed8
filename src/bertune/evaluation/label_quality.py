"""How well the label of each row agrees with out-of-fold answers and with its neighbours; the least may be wrong."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS: Final = 10
MOST_COMPARED: Final = 20_000
"""Neighbours are looked for among so many rows at most, evenly spaced: the time grows with their number."""

_BLOCK = 1_024
# Of a label that no neighbour has, or that the model rules out; 0 would leave the other opinion nothing to say.
_LEAST_SHARE, _LEAST_PROBABILITY = 0.05, 1e-6
# The exponents of both opinions together. At 1 a row with one other probable label seems more doubtful than one with
# several, at which planted errors of many classes were found less often.
_SHARPNESS = 0.5
_LARGEST_EXPONENT = 3.0


def label_quality(
    probabilities: NDArray[np.float64], targets: NDArray[Any], neighbours: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Returns how much speaks for each row's label, 0 to 1, lower where it is more doubtful.

    Without neighbours it is the probability of the label. With them it is that of a logarithmic opinion pool: the
    weighted geometric mean of both opinions, softened. Each opinion has the share of the exponent with which the pool
    predicts the given labels best, so that neighbours count little where the model knows better.

    Args:
        probabilities: (rows, labels), by models that did not learn from the row.
        targets: (rows,) ids of the given labels.
        neighbours: (rows, labels) as `neighbour_shares` gives them; None leaves them out.
    """
    rows = np.arange(len(targets))
    if neighbours is None:
        own: NDArray[np.float64] = probabilities[rows, targets]
        return own
    opinions = np.log([np.maximum(probabilities, _LEAST_PROBABILITY), np.maximum(neighbours, _LEAST_SHARE)])
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_COMPARED)).round().astype(np.int64))
    exponents = _best_exponents(opinions[:, some], targets[some])
    shares = exponents / exponents.sum() if exponents.sum() > 0 else np.array([1.0, 0.0])
    pooled: NDArray[np.float64] = _pooled(opinions, _SHARPNESS * shares)[rows, targets]
    return pooled


def _pooled(opinions: NDArray[np.float64], exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns (rows, labels) probabilities from (opinions, rows, labels) logarithms."""
    logits = np.tensordot(exponents, opinions, axes=1)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return found


def _best_exponents(opinions: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Returns one exponent an opinion, 0 or more, by which the pool has the least log loss."""
    from scipy.optimize import minimize  # scoring is imported by much that needs none of it

    rows = np.arange(len(targets))

    def loss(exponents: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = _pooled(opinions, exponents)
        own = opinions[:, rows, targets]
        expected = (opinions * pooled).sum(axis=2)
        return -float(np.log(pooled[rows, targets]).mean()), (expected - own).mean(axis=1)

    ends = [(0.0, _LARGEST_EXPONENT)] * len(opinions)
    found = minimize(loss, np.full(len(opinions), 0.5), jac=True, bounds=ends, method="L-BFGS-B")
    return np.asarray(found.x)


def neighbour_shares(features: NDArray[Any], targets: NDArray[Any], labels: int) -> NDArray[np.float64]:
    """Returns which share of each row's nearest other rows has each label, (rows, labels).

    Args:
        features: (rows, size), of an encoder that learned from none of the labels; nearness is their cosine.
        targets: (rows,) ids of the labels.
        labels: how many there are.
    """
    found = np.zeros((len(targets), labels))
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    chosen = np.unique(np.linspace(0, len(unit) - 1, min(len(unit), MOST_COMPARED)).round().astype(np.int64))
    count = min(NEIGHBOURS, len(chosen) - 1)
    if count < 1:
        return found
    among, words = unit[chosen], targets[chosen]
    for begin in range(0, len(unit), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(unit)))
        nearness = unit[rows] @ among.T
        nearness[rows[:, None] == chosen] = -np.inf
        nearest = np.argpartition(-nearness, count - 1, axis=1)[:, :count]
        np.add.at(found, (rows[:, None], words[nearest]), 1 / count)
    return found
