"""From which probability on a label is given: chosen on validation rows for a metric, kept only if it holds elsewhere.

A threshold chosen for the best metric on some rows looks good on them by construction. What it is worth is measured on
rows that it was not chosen on: each half of the rows with the threshold chosen on the other half, over ten random
halvings. Only if that is better than 0.5 on the same rows on average, and in at least eight of the ten, is it kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.errors import ConfigError
from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.class_metrics import ClassCounts
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.temperature import halves
from bertune.text.task import TaskKind

DEFAULT_THRESHOLD = 0.5
# One halving says little on few rows; ten give a steady mean. A gain that hangs on the halving is no gain.
HALVINGS = 10
FEWEST_BETTER = 8


@dataclass(frozen=True)
class LabelThreshold:
    """What became of one label's threshold.

    Args:
        label: which label is given from the threshold on.
        chosen: the threshold that is best on all rows.
        default_score: the metric with 0.5.
        held_out_score: the metric with thresholds chosen on other rows, mean of the halvings.
        better_halvings: in how many of the halvings that is above the default.
    """

    label: str
    chosen: float
    default_score: float
    held_out_score: float
    better_halvings: int

    @property
    def is_kept(self) -> bool:
        """Whether choosing beat 0.5 on rows that were not chosen on."""
        return self.held_out_score > self.default_score and self.better_halvings >= FEWEST_BETTER


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
        """What the contract stores: a number a label, or nothing where all stay at 0.5."""
        if not any(label.is_kept for label in self.labels):
            return ()
        return tuple(label.chosen if label.is_kept else DEFAULT_THRESHOLD for label in self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON-ready values."""
        labels = [asdict(label) | {"kept": label.is_kept} for label in self.labels]
        return {"metric": self.metric, "values": list(self.values), "halvings": HALVINGS, "labels": labels}


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
    own = require_threshold("classification" if targets.ndim == 1 else "multi-label", labels, metric)
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
    if kind == "multi-label":
        return "f1" if metric.startswith("f1") else "accuracy"
    if len(labels) != 2:
        raise ConfigError(
            f"a threshold decides between two labels, not {len(labels)}", hint="leave --threshold auto out"
        )
    if metric not in METRICS or "classification" not in METRICS[metric].measures:
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
    return METRICS[metric].measures["classification"](ClassCounts(correct, target, predicted))


def _choose(
    name: str, probabilities: FloatArray, truth: npt.NDArray[np.bool_], metric: str, seed: int
) -> LabelThreshold:
    held_out = []
    for number in range(HALVINGS):
        answers = np.empty(len(truth), dtype=bool)
        for fitted, measured in halves(len(truth), seed=seed + number):
            threshold = best_threshold(probabilities[fitted], truth[fitted], metric)
            answers[measured] = probabilities[measured] >= threshold
        held_out.append(_score(answers, truth, metric))
    default = _score(probabilities >= DEFAULT_THRESHOLD, truth, metric)
    better = sum(value > default for value in held_out)
    return LabelThreshold(name, best_threshold(probabilities, truth, metric), default, float(np.mean(held_out)), better)


def _score(answers: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], metric: str) -> float:
    order = np.argsort(answers, kind="stable")
    return float(_measure(truth[order].astype(np.float64), np.array([int((~answers).sum())]), metric)[0])
