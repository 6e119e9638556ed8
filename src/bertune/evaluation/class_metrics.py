"""Metrics of one label a row, from how often each class occurs."""

from typing import NamedTuple

import numpy as np

from bertune.evaluation.arrays import FloatArray, IntArray, divide


class ClassCounts(NamedTuple):
    """How often each class occurs, along the last axis; leading axes are resamples."""

    correct: FloatArray
    target: FloatArray
    predicted: FloatArray


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
    return divide(2 * counts.correct, counts.target + counts.predicted)


def accuracy(counts: ClassCounts) -> FloatArray:
    """Share of the rows whose class is right."""
    return divide(counts.correct.sum(axis=-1), counts.target.sum(axis=-1))


def f1(counts: ClassCounts) -> FloatArray:
    """F1 of class 1."""
    positive: FloatArray = f1_by_class(counts)[..., 1]
    return positive


def f1_macro(counts: ClassCounts) -> FloatArray:
    """The plain mean of the F1 of every class in targets or predictions."""
    present = (counts.target + counts.predicted) > 0
    return divide(f1_by_class(counts).sum(axis=-1), present.sum(axis=-1, dtype=np.float64))


def matthews(counts: ClassCounts) -> FloatArray:
    """Matthews' correlation, for any number of classes."""
    # Gorodkin's form for any number of classes, as in scikit-learn.
    rows, correct = counts.target.sum(axis=-1), counts.correct.sum(axis=-1)
    together = correct * rows - (counts.target * counts.predicted).sum(axis=-1)
    of_targets = rows**2 - (counts.target**2).sum(axis=-1)
    of_predictions = rows**2 - (counts.predicted**2).sum(axis=-1)
    return divide(together, np.sqrt(of_targets * of_predictions))
