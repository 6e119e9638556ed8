"""What counts as equal between the logits of a model and of its export; imports no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertune.data.task_kind import TaskKind
from bertune.errors import BertuneError

# Values of a regression may be of any size, and fp32 has seven digits: large ones may differ by this share.
_RELATIVE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Difference:
    """Measures how far an export's predictions are from the model's.

    Args:
        largest: difference of a logit.
        tied_rows: rows where another label came first, among labels that the model itself has within twice the
            tolerance of each other.
    """

    largest: float
    tied_rows: int


def compare(
    expected: NDArray[np.float32], answered: NDArray[np.float32], *, tolerance: float, kind: TaskKind
) -> Difference:
    """Compares the logits of a model and of its export.

    Every logit must lie within the tolerance, and every predicted label must be the model's. A row whose best labels
    lie within twice the tolerance of each other in the model itself is a tie: the tolerance alone can turn it, so any
    of those labels will do there, and the row is counted. The value of a regression may differ by 1e-5 of its size
    where that is more than the tolerance.

    Args:
        expected: (rows, outputs), the model's.
        answered: (rows, outputs), the export's.
        tolerance: largest difference of a logit.
        kind: of the task; a regression has no labels.

    Raises:
        BertuneError: they are not equal; says how far off, and in which row.
    """
    if answered.shape != expected.shape:
        raise _disagreement(f"it answers with an array of shape {answered.shape}, not {expected.shape}")
    differences = np.abs(answered.astype(np.float64) - expected)
    allowed = np.full(differences.shape, tolerance)
    if not kind.has_labels:
        allowed = np.maximum(allowed, _RELATIVE_TOLERANCE * np.abs(expected))
    # Written so that a difference that is not a number counts as too large.
    wrong = ~(differences <= allowed)
    if wrong.any():
        row, output = np.unravel_index(
            int(np.argmax(np.where(wrong, np.nan_to_num(differences, nan=np.inf), -1))), wrong.shape
        )
        raise _disagreement(
            f"logits differ by up to {differences[row, output]:.3g}, at most {tolerance:.0e} is allowed "
            f"({int(wrong.any(axis=1).sum()):,} of {len(expected):,} rows; row {row}: "
            f"{answered[row, output]:.6g} instead of {expected[row, output]:.6g})"
        )
    if kind.has_label_sets:
        # A label that one gives and the other does not lies within the tolerance of its threshold: a tie.
        tied = int(((expected >= 0) != (answered >= 0)).any(axis=1).sum())
    else:
        tied = _tied_rows(expected, answered, tolerance) if kind.has_labels else 0
    return Difference(float(differences.max(initial=0.0)), tied)


def _tied_rows(expected: NDArray[np.float32], answered: NDArray[np.float32], tolerance: float) -> int:
    """Counts the rows where another label is predicted.

    Raises:
        BertuneError: one of them is no tie.
    """
    best, given = expected.argmax(axis=1), answered.argmax(axis=1)
    (other,) = np.nonzero(best != given)
    behind = expected[other, best[other]].astype(np.float64) - expected[other, given[other]]
    if (behind > 2 * tolerance).any():
        row = other[int(behind.argmax())]
        raise _disagreement(f"it predicts label {given[row]} instead of {best[row]} in row {row}")
    return len(other)


def _disagreement(what: str) -> BertuneError:
    return BertuneError(
        f"the export does not equal the model: {what}",
        hint="nothing was kept; the fault is in bertune or in the runtime's version: please report it",
    )
