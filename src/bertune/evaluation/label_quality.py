"""How well the label of each row agrees with out-of-fold answers; the least may be mislabelled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_quality(probabilities: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Returns how probable each row's label is beside the most probable other one, lower where it is more doubtful.

    Args:
        probabilities: (rows, labels), by models that did not learn from the row.
        targets: (rows,) ids of the given labels.
    """
    rows = np.arange(len(targets))
    own = probabilities[rows, targets]
    others = probabilities.copy()
    others[rows, targets] = -np.inf
    found: NDArray[np.float64] = own - others.max(axis=1)
    return found
