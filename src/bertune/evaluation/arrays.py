"""Arrays of answers and targets: checked where they come in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def require_same_rows(predictions: npt.NDArray[Any], targets: npt.NDArray[Any]) -> None:
    """Refuses arrays without rows or of different lengths.

    Raises:
        DataError: either.
    """
    if len(predictions) != len(targets):
        raise DataError(f"{len(predictions)} predictions do not fit {len(targets)} targets")
    if not len(targets):
        raise DataError("there is no row to score")


def as_classes(values: npt.ArrayLike, name: str) -> IntArray:
    """Returns class indices as a one-dimensional integer array.

    Raises:
        DataError: another shape, something that is no integer, or a negative index.
    """
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise DataError(f"{name} must be class indices in one dimension, not {array.dtype} of shape {array.shape}")
    classes = array.astype(np.int64)
    if classes.size and classes.min() < 0:
        raise DataError(f"{name} must be class indices from 0; row {int(classes.argmin())} has {classes.min()}")
    return classes


def as_label_rows(values: npt.ArrayLike, name: str) -> IntArray:
    """Returns which labels each row has, (rows, labels) of 0 and 1, as an integer array.

    Raises:
        DataError: another shape, or something that is neither 0 nor 1 (nor a truth value).
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise DataError(f"{name} must be rows of 0 and 1, one for each label, not {array.dtype} of shape {array.shape}")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        raise DataError(f"{name} must be 0 or 1; row {wrong[0][0]} has {array[tuple(wrong[0])]}")
    return array.astype(np.int64)


def as_values(values: npt.ArrayLike, name: str) -> FloatArray:
    """Returns values as a one-dimensional float64 array; (rows, 1) is taken as (rows,).

    Raises:
        DataError: another shape, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{name} must be one value a row, not of shape {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise DataError(f"{name} hold {wrong.size} values that are not finite numbers, the first in row {wrong[0]}")
    return array


def require_finite_logits(logits: npt.NDArray[Any], where: Callable[[int], str] = "row {}".format) -> None:
    """Refuses logits of which no answer can be made.

    Args:
        logits: (rows, labels).
        where: names a row.

    Raises:
        DataError: there is one that is not finite.
    """
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if wrong.size:
        raise DataError(
            f"logits of {wrong.size:,} of {len(logits):,} rows are not finite numbers, the first in {where(wrong[0])}",
            hint="the weights of this model cannot be used: train it again, with a lower --learning-rate",
        )


def divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divides, with 0.0 where the denominator is 0; shapes are broadcast."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.zeros(shape), where=np.asarray(denominator) != 0)
