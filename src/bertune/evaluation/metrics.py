"""The GLUE metrics, each one formula for a whole set of rows and for thousands of resamples of it.

Classification metrics are computed from class counts, regression metrics from weighted rows, always along the last
axis, so that a bootstrap is one array expression. They equal scikit-learn's and SciPy's to 1e-12; those two are not
imported, as loading them takes longer than scoring.

**Undefined cases give 0.0**, without a warning: no positive row in targets and predictions (f1), one class only
(matthews), constant predictions or constant targets (pearson, spearman). Each says "no better than chance", which is
what a run that always predicts the same has earned, and it can be compared and written to JSON, as nan cannot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertune.errors import ConfigError, DataError
from bertune.text.task import TaskKind

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class ClassCounts(NamedTuple):
    """How often each class occurs, along the last axis; leading axes are resamples."""

    correct: FloatArray
    target: FloatArray
    predicted: FloatArray


class WeightedRows(NamedTuple):
    """Values and how often each row counts: predictions and targets (rows,), weights (..., rows)."""

    predictions: FloatArray
    targets: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that says how well predictions meet targets.

    Args:
        name: as in `METRICS`.
        task_kind: "classification" counts classes, "regression" compares values.
        measure: from `ClassCounts` or `WeightedRows` to the metric, one value for each resample.
        higher_is_better: the direction, for choosing the best epoch.
        as_percentage: whether people read it as a percentage; values are fractions all the same.
        only_binary: whether it is defined for two classes alone.
    """

    name: str
    task_kind: TaskKind
    measure: Callable[[Any], FloatArray]
    higher_is_better: bool = True
    as_percentage: bool = False
    only_binary: bool = False


def accuracy(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns the share of rows whose class is right, 0 to 1. Arrays of class indices, (rows,)."""
    return compute_metrics(["accuracy"], predictions, targets)["accuracy"]


def f1(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns the harmonic mean of precision and recall of class 1, 0 to 1. Arrays of 0 and 1, (rows,)."""
    return compute_metrics(["f1"], predictions, targets)["f1"]


def f1_macro(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns the plain mean of the F1 of every class in targets or predictions, 0 to 1. Class indices, (rows,)."""
    return compute_metrics(["f1_macro"], predictions, targets)["f1_macro"]


def matthews(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns Matthews' correlation, -1 to 1, for any number of classes. Arrays of class indices, (rows,)."""
    return compute_metrics(["matthews"], predictions, targets)["matthews"]


def pearson(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns the linear correlation, -1 to 1. Arrays of values, (rows,)."""
    return compute_metrics(["pearson"], predictions, targets)["pearson"]


def spearman(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Returns the correlation of ranks, -1 to 1; equal values share their mean rank. Arrays of values, (rows,)."""
    return compute_metrics(["spearman"], predictions, targets)["spearman"]


def compute_metrics(names: Sequence[str], predictions: npt.ArrayLike, targets: npt.ArrayLike) -> dict[str, float]:
    """Computes metrics of one kind for the same rows.

    Args:
        names: keys of `METRICS`, all for classification or all for regression.
        predictions: class indices (integers from 0) or values, (rows,).
        targets: the same for the truth, (rows,).

    Returns:
        Each name with its value, in the order of the names.

    Raises:
        ConfigError: an unknown name, mixed kinds, or "f1" where there are more than two classes.
        DataError: no rows, arrays of different lengths, classes that are no indices, or values that are not finite.
    """
    kind = require_metrics(names)
    if kind == "regression":
        values, truth = as_values(predictions, "predictions"), as_values(targets, "targets")
        require_same_rows(values, truth)
        rows: ClassCounts | WeightedRows = WeightedRows(values, truth, np.ones(len(truth)))
    else:
        classes, true_classes = as_classes(predictions, "predictions"), as_classes(targets, "targets")
        require_same_rows(classes, true_classes)
        num_classes = max(2, int(max(classes.max(), true_classes.max())) + 1)
        require_classes(names, num_classes)
        rows = count_classes(confusion_matrix(classes, true_classes, num_classes))
    return {name: float(METRICS[name].measure(rows)) for name in names}


def confusion_matrix(predictions: IntArray, targets: IntArray, num_classes: int) -> IntArray:
    """Counts rows by true class (first axis) and predicted class (second axis), (num_classes, num_classes)."""
    cells = np.bincount(targets * num_classes + predictions, minlength=num_classes * num_classes)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def count_classes(confusion: IntArray) -> ClassCounts:
    """Sums a confusion matrix up to the counts that the metrics need."""
    table = confusion.astype(np.float64)
    return ClassCounts(np.diagonal(table).copy(), table.sum(axis=1), table.sum(axis=0))


def f1_by_class(counts: ClassCounts) -> FloatArray:
    """Returns every class's F1, (..., classes); 0.0 for a class that is neither there nor predicted."""
    return _divide(2 * counts.correct, counts.target + counts.predicted)


def require_metrics(names: Sequence[str]) -> TaskKind:
    """Returns the kind that all these metrics share.

    Raises:
        ConfigError: no name, an unknown one, or mixed kinds.
    """
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"unknown metric {name!r}", hint=f"choose from: {', '.join(METRICS)}")
    kinds = {METRICS[name].task_kind for name in names}
    if len(kinds) != 1:
        raise ConfigError(f"metrics of one kind are needed, classification or regression, not {list(names)}")
    return kinds.pop()


def require_classes(names: Sequence[str], num_classes: int) -> None:
    """Refuses metrics for two classes where there are more.

    Raises:
        ConfigError: a metric that is not defined for so many classes.
    """
    for name in names:
        if METRICS[name].only_binary and num_classes > 2:
            raise ConfigError(f"{name} is for two classes, and here are {num_classes}", hint="use f1_macro")


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


def _accuracy(counts: ClassCounts) -> FloatArray:
    return _divide(counts.correct.sum(axis=-1), counts.target.sum(axis=-1))


def _f1(counts: ClassCounts) -> FloatArray:
    positive: FloatArray = f1_by_class(counts)[..., 1]
    return positive


def _f1_macro(counts: ClassCounts) -> FloatArray:
    present = (counts.target + counts.predicted) > 0
    return _divide(f1_by_class(counts).sum(axis=-1), present.sum(axis=-1, dtype=np.float64))


def _matthews(counts: ClassCounts) -> FloatArray:
    # Gorodkin's form for any number of classes, as in scikit-learn.
    rows, correct = counts.target.sum(axis=-1), counts.correct.sum(axis=-1)
    together = correct * rows - (counts.target * counts.predicted).sum(axis=-1)
    of_targets = rows**2 - (counts.target**2).sum(axis=-1)
    of_predictions = rows**2 - (counts.predicted**2).sum(axis=-1)
    return _divide(together, np.sqrt(of_targets * of_predictions))


def _pearson(rows: WeightedRows) -> FloatArray:
    return _correlation(rows.predictions, rows.targets, rows.weights)


def _spearman(rows: WeightedRows) -> FloatArray:
    return _correlation(
        _mean_ranks(rows.predictions, rows.weights), _mean_ranks(rows.targets, rows.weights), rows.weights
    )


def _correlation(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Correlates values, (rows,) or (..., rows), by weights (..., rows)."""
    product = _standardised(first, weights) * _standardised(second, weights)
    correlation: FloatArray = np.clip(_weighted_mean(product, weights)[..., 0], -1.0, 1.0)
    return correlation


def _standardised(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns values with mean 0 and spread 1, or all 0 where they are constant."""
    largest = np.abs(values).max()
    values = values / largest if largest else values  # so that squares neither overflow nor vanish
    mean = _weighted_mean(values, weights)
    centred = values - mean
    spread = np.sqrt(_weighted_mean(centred**2, weights))
    # Constant values differ from their rounded mean by a little, which means nothing.
    return _divide(centred, np.where(spread > 1e-13 * np.abs(mean), spread, 0.0))


def _weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    mean: FloatArray = (weights * values).sum(axis=-1, keepdims=True) / weights.sum(axis=-1, keepdims=True)
    return mean


def _mean_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns the rank of each row, (..., rows), where a row of weight w stands for w equal rows."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    of_value = np.add.reduceat(weights[..., order], starts, axis=-1)
    middle = np.cumsum(of_value, axis=-1) - (of_value - 1) / 2
    ranks: FloatArray = np.empty(weights.shape)
    ranks[..., order] = np.repeat(middle, np.diff(np.append(starts, len(values))), axis=-1)
    return ranks


def _divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divides, with 0.0 where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.zeros(shape), where=np.asarray(denominator) != 0)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "classification", _accuracy, as_percentage=True),
        Metric("f1", "classification", _f1, as_percentage=True, only_binary=True),
        Metric("f1_macro", "classification", _f1_macro, as_percentage=True),
        Metric("matthews", "classification", _matthews),
        Metric("pearson", "regression", _pearson),
        Metric("spearman", "regression", _spearman),
    )
}
"""Every metric by name. GLUE: accuracy, f1 (MRPC, QQP), matthews (CoLA), pearson and spearman (STS-B)."""
