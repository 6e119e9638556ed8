"""Standard errors by the bootstrap: how much the metrics vary over other rows drawn from the same source.

Rows are resampled with replacement many times; the metrics' standard deviation over these sets of rows is their
standard error. It answers for the choice of the rows alone, not for another seed of training.

Where every row is right, so is every drawn set: the plain bootstrap finds no error at all. So metrics of classes and
labels are measured on the rows and z² = 3.84 pseudo-rows, half of them right and half wrong, as the Agresti-Coull
interval does it for shares (`intervals`); for a share, middle and error are that interval's. The pseudo-rows that are
right are spread over the classes as the rows are, those that are wrong too, each confused with any other class that
occurs. With several labels a row, the labels of a pseudo-row are those of the rows on average, and of a wrong one each
label in turn is wrong.

The constant answer of a baseline is measured on the same drawn rows, and what counts is the error of the difference:
what easy and hard sets of rows do to both is not in it.

For classes, a drawn set of rows matters only by its confusion matrix, so the matrix is drawn itself, from the
multinomial distribution that drawing rows gives it. With several labels a row the cells of that matrix are the
combinations of labels that occur. For values, each set is written as how often each row was drawn.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bertune.data.task_kind import TaskKind
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.class_metrics import ClassCounts
from bertune.evaluation.intervals import PERFECT, PSEUDO_ROWS, Estimate
from bertune.evaluation.label_metrics import LabelCounts, label_counts, per_row
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.score_parts import Drawing
from bertune.evaluation.value_metrics import WeightedRows

# Numbers worked on at a time: few enough to stay in the processor's cache, which makes it three times faster.
_CHUNK = 100_000


class Estimates(NamedTuple):
    """A metric of the model, and its difference from that of each constant answer, with pseudo-rows."""

    own: Estimate
    differences: tuple[Estimate, ...]


def class_estimates(names: Sequence[str], confusion: IntArray, constant: int, drawing: Drawing) -> dict[str, Estimates]:
    """Estimates classification metrics, and their differences from a constant answer.

    Args:
        names: classification metrics.
        confusion: true by predicted class, (classes, classes).
        constant: the class that the baseline always answers.
        drawing: of the sets of rows.
    """
    if not names:
        return {}
    weights, of_true, of_predicted, of_correct = _class_cells(confusion)
    always = np.eye(len(confusion))[constant]
    measured = []
    for drawn in _drawn(weights, int(confusion.sum()), drawing, width=len(confusion)):
        target = drawn @ of_true
        given = ClassCounts(drawn @ of_correct, target, drawn @ of_predicted)
        answered = ClassCounts(target * always, target, target.sum(axis=-1, keepdims=True) * always)
        measured.append(_measured(names, TaskKind.CLASSIFICATION, [given, answered]))
    return _estimates(names, measured)


def label_estimates(
    names: Sequence[str],
    predictions: IntArray,
    targets: IntArray,
    constants: Sequence[IntArray],
    drawing: Drawing,
) -> dict[str, Estimates]:
    """Estimates multi-label metrics, and their differences from constant answers.

    Args:
        names: multi-label metrics.
        predictions: 0 and 1, (rows, labels).
        targets: 0 and 1, (rows, labels).
        constants: answers that a baseline gives every row, (labels,) each.
        drawing: of the sets of rows.
    """
    if not names:
        return {}
    weights, cells, is_constant = _label_cells(predictions, targets, constants)
    measured = []
    for drawn in _drawn(weights, len(targets), drawing, width=cells.shape[1]):
        given = label_counts(drawn @ cells)
        exact = drawn @ is_constant
        answered = [
            LabelCounts(given.target * answer, given.target, given.rows[..., None] * answer, exact[..., at], given.rows)
            for at, answer in enumerate(constants)
        ]
        measured.append(_measured(names, TaskKind.MULTI_LABEL, [given, *answered]))
    return _estimates(names, measured)


def correlation_errors(
    names: Sequence[str], predictions: FloatArray, targets: FloatArray, drawing: Drawing
) -> dict[str, float]:
    """Returns the standard error of each correlation's inverse hyperbolic tangent, Fisher's z.

    Args:
        names: regression metrics.
        predictions: values, (rows,).
        targets: values, (rows,).
        drawing: of the sets of rows.
    """
    weights = _drawn_weights(len(targets), drawing)
    measured = np.concatenate(
        [_measured(names, TaskKind.REGRESSION, [WeightedRows(predictions, targets, drawn)])[0] for drawn in weights],
        axis=1,
    )
    errors = np.arctanh(np.clip(measured, -PERFECT, PERFECT)).std(axis=1)
    return dict(zip(names, errors.tolist(), strict=True))


def _class_cells(confusion: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cells with rows in them, then pseudo-rows.

    Returns:
        Weights, (cells,), and of each cell its true class, its predicted class, and its class where both are the same,
        (cells, classes) each.
    """
    # Most cells of a large matrix are empty and stay so.
    true, predicted = np.nonzero(confusion)
    counts, classes = confusion[true, predicted], np.eye(len(confusion))
    share = (confusion.sum(axis=0) + confusion.sum(axis=1)) / (2 * counts.sum())
    occurring = np.flatnonzero(share)
    others = np.tile((share > 0) if len(occurring) > 1 else np.ones(len(share)), (len(occurring), 1)).astype(np.float64)
    others[np.arange(len(occurring)), occurring] = 0.0
    others /= others.sum(axis=1, keepdims=True)
    weights = np.concatenate([counts, [PSEUDO_ROWS / 2], PSEUDO_ROWS / 2 * share[occurring]])
    of_correct = classes[true] * (true == predicted)[:, None]
    return (
        weights,
        np.vstack([classes[true], share, classes[occurring]]),
        np.vstack([classes[predicted], share, others]),
        np.vstack([of_correct, share, np.zeros_like(others)]),
    )


def _label_cells(
    predictions: IntArray, targets: IntArray, constants: Sequence[IntArray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cells with rows in them, then pseudo-rows.

    Returns:
        Weights, (cells,); what a row of each cell adds to the counts, as `per_row` has it, (cells, 3 * labels + 2); and
        whether it has exactly the labels of each constant answer, (cells, constants).
    """
    # Rows with the same labels, there and given, are one cell.
    keys = np.packbits(np.hstack([predictions, targets]).astype(bool), axis=1)
    _, first, rows_of_cell = np.unique(keys, axis=0, return_index=True, return_counts=True)
    labels, mean = targets.shape[1], targets.mean(axis=0)
    wrong = np.eye(labels, dtype=bool)
    correct, given = np.where(wrong, 0.0, mean), np.where(wrong, 1 - mean, mean)
    pseudo = np.vstack(
        [
            np.concatenate([mean, mean, mean, [1.0, 1.0]]),
            np.hstack([correct, np.tile(mean, (labels, 1)), given, np.zeros((labels, 1)), np.ones((labels, 1))]),
        ]
    )
    same = np.column_stack([(targets == answer).all(axis=1) for answer in constants]).astype(np.float64)
    weights = np.concatenate([rows_of_cell, [PSEUDO_ROWS / 2], np.full(labels, PSEUDO_ROWS / 2 / labels)])
    return (
        weights,
        np.vstack([per_row(predictions[first], targets[first]), pseudo]),
        np.vstack([same[first], np.tile(same.mean(axis=0), (labels + 1, 1))]),
    )


def _drawn(weights: FloatArray, rows: int, drawing: Drawing, *, width: int) -> Iterator[FloatArray]:
    """The weights themselves, (1, cells), then how often each cell is drawn, (draws, cells), some draws at a time."""
    yield weights[None]
    generator, shares = np.random.default_rng(drawing.seed), weights / weights.sum()
    for size in _chunks(drawing.samples, max(len(weights), width)):
        yield generator.multinomial(rows + round(PSEUDO_ROWS), shares, size=size).astype(np.float64)


def _drawn_weights(rows: int, drawing: Drawing) -> Iterator[FloatArray]:
    generator = np.random.default_rng(drawing.seed)
    for size in _chunks(drawing.samples, rows):
        drawn = generator.integers(0, rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _chunks(samples: int, width: int) -> Iterator[int]:
    most = max(1, _CHUNK // width)
    for start in range(0, samples, most):
        yield min(most, samples - start)


def _measured(
    names: Sequence[str], kind: TaskKind, answers: Sequence[ClassCounts | LabelCounts | WeightedRows]
) -> FloatArray:
    """(answers, metrics, draws)."""
    return np.stack([[METRICS[name].measures[kind](rows) for name in names] for rows in answers])


def _estimates(names: Sequence[str], measured: Sequence[FloatArray]) -> dict[str, Estimates]:
    """Takes the model's metrics, then those of the constant answers; the first draw is the weights themselves."""
    values = np.concatenate(measured, axis=2)
    both = np.concatenate([values[:1], values[:1] - values[1:]])
    middles, errors = both[..., 0].tolist(), both[..., 1:].std(axis=2).tolist()
    found = {}
    for at, name in enumerate(names):
        own, *others = (Estimate(middle[at], error[at]) for middle, error in zip(middles, errors, strict=True))
        found[name] = Estimates(own, tuple(others))
    return found
