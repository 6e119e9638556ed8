"""From which probability on a label is given: chosen on validation rows for a metric, kept only if it holds elsewhere.

A threshold chosen for the best metric on some rows looks good on them by construction. What it is worth is measured on
rows that it was not chosen on: each half of the rows with the threshold chosen on the other half, mean of ten random
halvings. It is kept if that is better than 0.5 on the same rows by more than one standard error of the difference. The
halvings share their rows, so that ten of them are no more evidence than one: the standard error is that of one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.class_metrics import ClassCounts
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.saved_calibration import SavedThreshold, SavedThresholds
from bertune.evaluation.temperature import halves

DEFAULT_THRESHOLD = 0.5
# The gain of one halving hangs on the halving; that of ten gives a steady mean.
HALVINGS = 10
# Means of ten equal scores may differ in their last bits.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class LabelThreshold:
    """What became of one label's threshold.

    Args:
        label: which label is given from the threshold on.
        chosen: the threshold that is best on all rows.
        default_score: the metric with 0.5.
        held_out_score: the metric with thresholds chosen on other rows, mean of the halvings.
        standard_error: of the difference between the two, by the jackknife over rows: of one halving, root of the mean
            square of all.
    """

    label: str
    chosen: float
    default_score: float
    held_out_score: float
    standard_error: float

    @property
    def gain(self) -> float:
        """By how much choosing beat 0.5 on rows that were not chosen on."""
        return self.held_out_score - self.default_score

    @property
    def is_kept(self) -> bool:
        """Whether it is another threshold, and the gain more than luck would often give, and than rounding is."""
        return self.chosen != DEFAULT_THRESHOLD and self.gain > self.standard_error + _ROUNDING


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a model, and why they are what they are.

    Args:
        metric: what they were chosen for: of a label's own yes and no, for multi-label.
        labels: the second of two labels, or every label of multi-label.
    """

    metric: str
    labels: tuple[LabelThreshold, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """What the signature stores: a number a label, or nothing where all stay at 0.5."""
        if not any(label.is_kept for label in self.labels):
            return ()
        return tuple(label.chosen if label.is_kept else DEFAULT_THRESHOLD for label in self.labels)

    def saved(self) -> SavedThresholds:
        """Returns everything as files hold it."""
        labels = tuple(SavedThreshold(**asdict(label), kept=label.is_kept) for label in self.labels)
        return SavedThresholds(self.metric, self.values, HALVINGS, labels)


def choose_thresholds(
    probabilities: FloatArray, targets: npt.NDArray[Any], labels: tuple[str, ...], *, metric: str, seed: int = 0
) -> Thresholds:
    """Chooses a threshold for the second of two labels, or for each label of multi-label.

    Args:
        probabilities: (rows, labels).
        targets: class ids, (rows,), or for multi-label which labels each row has, (rows, labels).
        labels: names.
        metric: of classification; for multi-label each label is a yes or no of its own, so any F1 means the label's F1,
            and anything else its accuracy.
        seed: of the halvings.

    Raises:
        ConfigError: classes that are not two, or no metric of classification.
    """
    kind = TaskKind.CLASSIFICATION if targets.ndim == 1 else TaskKind.MULTI_LABEL
    own = require_threshold(kind, labels, metric)
    if targets.ndim == 1:
        columns = [(labels[1], probabilities[:, 1], targets == 1)]
    else:
        columns = [(name, probabilities[:, n], targets[:, n] == 1) for n, name in enumerate(labels)]
    return Thresholds(own, tuple(_choose(name, column, truth, own, seed) for name, column, truth in columns))


def require_threshold(kind: TaskKind, labels: Sequence[str], metric: str) -> str:
    """Returns the metric of classification that a threshold is chosen for, where one can be chosen.

    Raises:
        ConfigError: classes that are not two, or no metric of classification.
    """
    if kind.has_label_sets:
        return "f1" if metric.startswith("f1") else "accuracy"
    if len(labels) != 2:
        raise ConfigError(
            f"a threshold decides between two labels, not {len(labels)}", hint="leave --threshold auto out"
        )
    if metric not in METRICS or TaskKind.CLASSIFICATION not in METRICS[metric].measures:
        raise ConfigError(f"a threshold cannot be chosen for {metric!r}", hint="use --threshold-for f1")
    return metric


def best_threshold(probabilities: FloatArray, truth: npt.NDArray[np.bool_], metric: str) -> float:
    """Returns the threshold with the best metric on some rows; of equally good ones that nearest to 0.5.

    Args:
        probabilities: of the label, (rows,).
        truth: whether each row has it, (rows,).
        metric: of classification.
    """
    order = np.argsort(probabilities)
    ordered, has_label = probabilities[order], truth[order].astype(np.float64)
    between = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    candidates = np.append((ordered[between - 1] + ordered[between]) / 2, DEFAULT_THRESHOLD)
    inside = (candidates > 0) & (candidates < 1)
    candidates = candidates[inside]
    # Rows before a candidate are answered no, those from it on yes.
    no_rows = np.append(between, np.searchsorted(ordered, DEFAULT_THRESHOLD))[inside]
    values = _measure(has_label, no_rows, metric)
    best = np.flatnonzero(values == values.max())
    return float(candidates[best[np.abs(candidates[best] - DEFAULT_THRESHOLD).argmin()]])


def _measure(has_label: FloatArray, no_rows: npt.NDArray[np.int64], metric: str) -> FloatArray:
    """The metric for each number of rows, from the first on, that are answered no."""
    missed = np.concatenate(([0.0], np.cumsum(has_label)))[no_rows]
    rows, with_label = float(len(has_label)), float(has_label.sum())
    given = rows - no_rows
    correct = np.stack([no_rows - missed, with_label - missed], axis=-1)
    predicted = np.stack([no_rows.astype(np.float64), given], axis=-1)
    target = np.broadcast_to(np.array([rows - with_label, with_label]), predicted.shape)
    # All metrics of classification are higher when better.
    return METRICS[metric].measures[TaskKind.CLASSIFICATION](ClassCounts(correct, target, predicted))


def _choose(
    name: str, probabilities: FloatArray, truth: npt.NDArray[np.bool_], metric: str, seed: int
) -> LabelThreshold:
    default, default_without = _score(probabilities >= DEFAULT_THRESHOLD, truth, metric)
    held_out, variances = [], []
    for number in range(HALVINGS):
        answers = np.empty(len(truth), dtype=bool)
        for fitted, measured in halves(len(truth), seed=seed + number):
            threshold = best_threshold(probabilities[fitted], truth[fitted], metric)
            answers[measured] = probabilities[measured] >= threshold
        score, score_without = _score(answers, truth, metric)
        held_out.append(score)
        # The jackknife's variance, by the difference between the two on all rows but one.
        variances.append((len(truth) - 1) * float(np.var(score_without - default_without)))
    chosen = best_threshold(probabilities, truth, metric)
    return LabelThreshold(name, chosen, default, float(np.mean(held_out)), float(np.sqrt(np.mean(variances))))


def _score(answers: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], metric: str) -> tuple[float, FloatArray]:
    """Returns the metric of all rows, and of each row that of all rows but this one, (rows,)."""
    places = 2 * truth.astype(np.int64) + answers
    cells = np.bincount(places, minlength=4)
    # All rows first, then without one of each kind; the kinds that are not there are not asked for.
    counts = np.maximum(cells - np.eye(5, 4, k=-1), 0).reshape(5, 2, 2)
    measured = METRICS[metric].measures[TaskKind.CLASSIFICATION](
        ClassCounts(correct=counts[:, [0, 1], [0, 1]], target=counts.sum(axis=2), predicted=counts.sum(axis=1))
    )
    return float(measured[0]), measured[1:][places]
