"""One row of the comparison: what was compared, how far apart it is, and whether that is near enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        compared: what with what.
        values: how many numbers (or strings, or files) were compared.
        passed: whether the difference is within the tolerance.
        largest: the largest absolute difference; for things that are equal or not, how many differ.
        relative: the same over the largest value of the original's; None where that says nothing.
        tolerance: the largest difference that passes, 0 for equal.
        note: what a reader must know beside the numbers.
    """

    compared: str
    values: int
    passed: bool
    largest: float
    relative: float | None
    tolerance: float
    note: str = ""


def arrays_row(
    compared: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float, note: str = ""
) -> Row:
    """Compares arrays of the same names; tolerance 0 asks for equality."""
    if set(ours) != set(theirs) or not ours:
        return Row(compared, 0, False, float("inf"), None, tolerance, f"names differ: {set(ours) ^ set(theirs)}")
    values, largest, scale = 0, 0.0, 0.0
    for name in theirs:
        actual, expected = np.asarray(ours[name]), np.asarray(theirs[name])
        if actual.shape != expected.shape:
            return Row(compared, values, False, float("inf"), None, tolerance, f"{name}: shapes differ")
        values += expected.size
        if expected.size:
            # NaN stays NaN in max(), so that it fails; a difference in float32 would round.
            difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
            largest = float(np.maximum(largest, difference))
            scale = max(scale, float(np.abs(expected).max()))
    relative = largest / scale if tolerance and scale else None
    return Row(compared, values, largest <= tolerance, largest, relative, tolerance, note)


def equal_row(compared: str, ours: Sequence[Any], theirs: Sequence[Any], note: str = "") -> Row:
    """Compares lists entry by entry."""
    if len(ours) != len(theirs):
        return Row(compared, 0, False, float("inf"), None, 0, f"{len(ours)} of ours, {len(theirs)} of theirs")
    wrong = [place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
    if wrong:
        first = wrong[0]
        note = f"first at {first}: ours {ours[first]!r:.200}, theirs {theirs[first]!r:.200}"
    return Row(compared, len(theirs), bool(len(theirs)) and not wrong, len(wrong), None, 0, note)
