"""Metrics of several labels a row, from how often each label is there and is given."""

from typing import NamedTuple

import numpy as np

from bertune.evaluation.arrays import FloatArray, IntArray, divide


class LabelCounts(NamedTuple):
    """How often each label is right, there and given, (..., labels); leading axes are resamples.

    `exact` counts the rows whose labels are all as they should be and `rows` all rows, both (...).
    """

    correct: FloatArray
    target: FloatArray
    predicted: FloatArray
    exact: FloatArray
    rows: FloatArray


def per_row(predictions: IntArray, targets: IntArray) -> IntArray:
    """Returns what each row adds to the counts, (rows, 3 * labels + 2); `label_counts` makes counts of their sums."""
    exact = (predictions == targets).all(axis=1)
    return np.column_stack([predictions * targets, targets, predictions, exact, np.ones(len(targets), np.int64)])


def label_counts(sums: FloatArray) -> LabelCounts:
    """Takes sums over rows of `per_row`, (..., 3 * labels + 2), apart."""
    labels = (sums.shape[-1] - 2) // 3
    correct, target, predicted, _ = np.split(sums, [labels, 2 * labels, 3 * labels], axis=-1)
    return LabelCounts(correct, target, predicted, sums[..., -2], sums[..., -1])


def f1_by_label(counts: LabelCounts) -> FloatArray:
    """Returns every label's F1, (..., labels); 0.0 for a label that is neither there nor given."""
    return divide(2 * counts.correct, counts.target + counts.predicted)


def f1_micro(counts: LabelCounts) -> FloatArray:
    """F1 over all decisions, every row and label alike."""
    return divide(2 * counts.correct.sum(axis=-1), (counts.target + counts.predicted).sum(axis=-1))


def f1_macro(counts: LabelCounts) -> FloatArray:
    """The plain mean of the labels' F1; as in scikit-learn a label that never occurs counts with 0.0."""
    mean: FloatArray = f1_by_label(counts).mean(axis=-1)
    return mean


def subset_accuracy(counts: LabelCounts) -> FloatArray:
    """Share of the rows whose labels are all as they should be."""
    return divide(counts.exact, counts.rows)


def hamming_loss(counts: LabelCounts) -> FloatArray:
    """Share of the decisions, of every row and label, that are wrong."""
    wrong = (counts.target + counts.predicted - 2 * counts.correct).sum(axis=-1)
    return divide(wrong, counts.rows * counts.target.shape[-1])
