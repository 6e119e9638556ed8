"""Intervals by the bootstrap: what the metrics would be on other rows drawn from the same source.

Rows are drawn anew with replacement, as many as there are, again and again; the middle 95 % of a metric's values are
its interval (Efron's percentile method). It answers for the choice of the rows alone, not for another seed of training.

For classes, a drawn set of rows matters only by its confusion matrix, so the matrix is drawn itself, from the
multinomial distribution that drawing rows gives it. With several labels a row the cells of that matrix are the
combinations of labels that occur. For values, each set is written as how often each row was drawn.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.class_metrics import ClassCounts
from bertune.evaluation.label_metrics import LabelCounts, label_counts, per_row
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.value_metrics import WeightedRows
from bertune.text.task import TaskKind

LEVEL_PERCENT = 95.0
# Numbers worked on at a time: few enough to stay in the processor's cache, which makes it three times faster.
_CHUNK = 100_000

Interval = tuple[float, float]


def class_intervals(names: Sequence[str], confusion: IntArray, *, samples: int, seed: int) -> dict[str, Interval]:
    """Draws confusion matrices and returns each classification metric's 95 % interval.

    Args:
        names: classification metrics.
        confusion: true by predicted class, (classes, classes).
        samples: how many sets of rows are drawn.
        seed: the same seed gives the same interval.
    """
    drawn = _drawn_counts(confusion, samples, seed)
    return _intervals(names, (_measure(names, "classification", counts) for counts in drawn))


def label_intervals(
    names: Sequence[str], predictions: IntArray, targets: IntArray, *, samples: int, seed: int
) -> dict[str, Interval]:
    """Draws rows and returns each multi-label metric's 95 % interval.

    Args:
        names: multi-label metrics.
        predictions: 0 and 1, (rows, labels).
        targets: 0 and 1, (rows, labels).
        samples: how many sets of rows are drawn.
        seed: the same seed gives the same interval.
    """
    drawn = _drawn_label_counts(predictions, targets, samples, seed)
    return _intervals(names, (_measure(names, "multi-label", counts) for counts in drawn))


def value_intervals(
    names: Sequence[str], predictions: FloatArray, targets: FloatArray, *, samples: int, seed: int
) -> dict[str, Interval]:
    """Draws rows and returns each regression metric's 95 % interval.

    Args:
        names: regression metrics.
        predictions: values, (rows,).
        targets: values, (rows,).
        samples: how many sets of rows are drawn.
        seed: the same seed gives the same interval.
    """
    weights = _drawn_weights(len(targets), samples, seed)
    rows = (WeightedRows(predictions, targets, drawn) for drawn in weights)
    return _intervals(names, (_measure(names, "regression", drawn) for drawn in rows))


def _drawn_counts(confusion: IntArray, samples: int, seed: int) -> Iterator[ClassCounts]:
    # Most cells of a large matrix are empty and stay so.
    true, predicted = np.nonzero(confusion)
    cells = confusion[true, predicted]
    rows, num_classes = int(cells.sum()), len(confusion)
    of_true, of_predicted = np.eye(num_classes)[true], np.eye(num_classes)[predicted]
    of_correct = of_true * (true == predicted)[:, None]
    generator = np.random.default_rng(seed)
    for size in _chunks(samples, max(len(cells), num_classes)):
        drawn = generator.multinomial(rows, cells / rows, size=size).astype(np.float64)
        yield ClassCounts(drawn @ of_correct, drawn @ of_true, drawn @ of_predicted)


def _drawn_label_counts(predictions: IntArray, targets: IntArray, samples: int, seed: int) -> Iterator[LabelCounts]:
    # Rows with the same labels, there and given, are one cell.
    keys = np.packbits(np.hstack([predictions, targets]).astype(bool), axis=1)
    _, first, rows_of_cell = np.unique(keys, axis=0, return_index=True, return_counts=True)
    cells = per_row(predictions[first], targets[first]).astype(np.float64)
    rows = len(targets)
    generator = np.random.default_rng(seed)
    for size in _chunks(samples, max(len(cells), cells.shape[1])):
        drawn = generator.multinomial(rows, rows_of_cell / rows, size=size)
        yield label_counts(drawn.astype(np.float64) @ cells)


def _drawn_weights(rows: int, samples: int, seed: int) -> Iterator[FloatArray]:
    generator = np.random.default_rng(seed)
    for size in _chunks(samples, rows):
        drawn = generator.integers(0, rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _chunks(samples: int, width: int) -> Iterator[int]:
    most = max(1, _CHUNK // width)
    for start in range(0, samples, most):
        yield min(most, samples - start)


def _measure(names: Sequence[str], kind: TaskKind, drawn: ClassCounts | LabelCounts | WeightedRows) -> FloatArray:
    return np.stack([METRICS[name].measures[kind](drawn) for name in names])


def _intervals(names: Sequence[str], chunks: Iterator[FloatArray]) -> dict[str, Interval]:
    outside = (100.0 - LEVEL_PERCENT) / 2
    low, high = np.percentile(np.concatenate(list(chunks), axis=1), [outside, 100.0 - outside], axis=1)
    return {name: (float(low[index]), float(high[index])) for index, name in enumerate(names)}
