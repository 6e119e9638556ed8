"""How well the label of each row agrees with out-of-fold answers and with its neighbours; the least may be wrong."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS: Final = 10
MOST_COMPARED: Final = 20_000
"""Neighbours are looked for among so many rows at most, evenly spaced: the time grows with their number."""

_BLOCK = 1_024
# Of a row whose neighbours all have other labels; 0 would hide what the model says.
_LEAST_AGREEMENT = 0.05


def label_quality(
    probabilities: NDArray[np.float64], targets: NDArray[Any], agreement: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Returns how much speaks for each row's label, lower where it is more doubtful.

    Args:
        probabilities: (rows, labels), by models that did not learn from the row.
        targets: (rows,) ids of the given labels.
        agreement: (rows,) as `neighbour_agreement` gives it; None leaves it out.
    """
    own: NDArray[np.float64] = probabilities[np.arange(len(targets)), targets]
    return own if agreement is None else own * np.maximum(agreement, _LEAST_AGREEMENT)


def neighbour_agreement(features: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the share of each row's neighbours that have its label, weighted by how near they are, 0 to 1.

    Args:
        features: (rows, size), of an encoder that learned from none of the labels.
        targets: (rows,) ids of the labels.
    """
    found = np.zeros(len(targets))
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    chosen = np.unique(np.linspace(0, len(unit) - 1, min(len(unit), MOST_COMPARED)).round().astype(np.int64))
    count = min(NEIGHBOURS, len(chosen) - 1)
    if count < 1:
        return found
    among, labels = unit[chosen], targets[chosen]
    for begin in range(0, len(unit), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(unit)))
        nearness = unit[rows] @ among.T
        nearness[rows[:, None] == chosen] = -np.inf
        nearest = np.argpartition(-nearness, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(nearness, nearest, axis=1), 1e-6)
        same = labels[nearest] == targets[rows, None]
        found[rows] = (weights * same).sum(axis=1) / weights.sum(axis=1)
    return found
