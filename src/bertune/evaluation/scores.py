"""Scores that are honest: every number with its interval, beside what always answering the same would get."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bertune.errors import ConfigError, DataError
from bertune.evaluation import scores_text
from bertune.evaluation.bootstrap import class_intervals, value_intervals
from bertune.evaluation.metrics import (
    METRICS,
    FloatArray,
    IntArray,
    as_classes,
    as_values,
    compute_metrics,
    confusion_matrix,
    count_classes,
    f1_by_class,
    require_classes,
    require_metrics,
    require_same_rows,
)
from bertune.text.task import TaskKind

# Predicted values that vary this much less than the targets say the same for every row.
_COLLAPSED_SPREAD = 0.01


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A metric's value, its 95 % bootstrap interval, and the baseline's value on the same rows.

    All are as the metric gives them (fractions, correlations). `against_baseline` says on which side of the interval
    the baseline lies: "better" and "worse" exclude it, "unclear" does not.
    """

    value: float
    low: float
    high: float
    baseline: float
    against_baseline: Literal["better", "unclear", "worse"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always gives the same answer.

    Args:
        kind: "majority" answers the most frequent class, "mean" the mean value.
        answer: the label's name, or the value.
        source: where frequency or mean were taken from: "training data", or "these rows" where that is not known, which
            flatters the baseline.
        loss: its mean squared error for values; None for classes, where it gives no probabilities.
    """

    kind: Literal["majority", "mean"]
    answer: str | float
    source: Literal["training data", "these rows"]
    loss: float | None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label fares: precision, recall and F1 (0.0 where undefined), and how many rows truly have it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """What a model's answers are worth on some rows; made by `score`.

    Args:
        task_kind: "classification" or "regression".
        rows: how many were scored.
        metrics: each metric by name, in the order asked for; the first one gives the verdict.
        mean_loss: mean cross entropy in nats (no label smoothing), or mean squared error.
        baseline: what every metric is held against.
        is_majority: all predictions are one class (or, for values, vary less than 1 % of what the targets do): the run
            has collapsed, whatever its metrics say.
        label_names: in the order of the class indices; empty for regression.
        confusion: rows by true label, then by predicted label; empty for regression.
        labels: each label's own scores; empty for regression.
        bootstrap_samples: how many sets of rows the intervals come from.
        seed: of the bootstrap.
    """

    task_kind: TaskKind
    rows: int
    metrics: dict[str, MetricScore]
    mean_loss: float
    baseline: Baseline
    is_majority: bool
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[LabelScore, ...]
    bootstrap_samples: int
    seed: int

    @property
    def verdict(self) -> str:
        """One sentence on the first metric: its value and interval, the baseline, and which of them wins."""
        return scores_text.verdict(self)

    @property
    def values(self) -> dict[str, float]:
        """Each metric's value by name, in the order asked for."""
        return {name: metric.value for name, metric in self.metrics.items()}

    @property
    def chosen_value(self) -> float:
        """The first metric as a number that is higher when better: what the best epoch is chosen by."""
        name, first = next(iter(self.metrics.items()))
        return first.value if METRICS[name].higher_is_better else -first.value

    def value(self, metric: str) -> float:
        """Returns a metric's value.

        Raises:
            ConfigError: the metric was not computed.
        """
        if metric not in self.metrics:
            raise ConfigError(f"no score for metric {metric!r}", hint=f"computed were: {', '.join(self.metrics)}")
        return self.metrics[metric].value

    def to_dict(self) -> dict[str, Any]:
        """Returns everything, the verdict too, in types that JSON knows; no number is nan or infinite."""
        content = asdict(self)
        content["label_names"] = list(self.label_names)
        content["confusion"] = [list(row) for row in self.confusion]
        content["labels"] = list(content["labels"])
        return {"verdict": self.verdict, **content}

    def lines(self) -> list[str]:
        """Returns plain text for a terminal: verdict, metrics, baseline, confusion matrix, scores of each label."""
        return scores_text.lines(self)


def score(
    logits_or_values: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    task_kind: TaskKind,
    metrics: Sequence[str],
    label_names: Sequence[str] | None = None,
    train_targets: npt.ArrayLike | None = None,
    bootstrap_samples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Scores a model's answers.

    Args:
        logits_or_values: logits, (rows, classes); for regression values, (rows,) or (rows, 1).
        targets: class indices or values, (rows,).
        task_kind: "classification" or "regression".
        metrics: names of `METRICS` for this kind; the first one gives the verdict.
        label_names: in the order of the class indices; their numbers by default.
        train_targets: what the baseline learns from, any number of rows; without it, `targets` themselves.
        bootstrap_samples: how many sets of rows to draw for the intervals, at least 1.
        seed: of the bootstrap; equal arguments give equal scores.

    Raises:
        ConfigError: metrics or label names that do not fit the task, or no samples.
        DataError: arrays that do not fit each other, a target outside the classes, or numbers that are not finite.
    """
    if require_metrics(metrics) != task_kind:
        raise ConfigError(f"{', '.join(metrics)} cannot judge a {task_kind} task")
    if bootstrap_samples < 1:
        raise ConfigError(f"bootstrap_samples must be at least 1, not {bootstrap_samples}")
    if task_kind == "regression":
        values, truth = as_values(logits_or_values, "predictions"), as_values(targets, "targets")
        require_same_rows(values, truth)
        train_values = None if train_targets is None else as_values(train_targets, "training targets")
        return _score_values(values, truth, train_values, metrics, bootstrap_samples, seed)
    logits = _as_logits(logits_or_values)
    names = tuple(label_names) if label_names is not None else tuple(str(index) for index in range(logits.shape[1]))
    if len(names) != logits.shape[1]:
        raise ConfigError(f"{len(names)} label names do not fit logits for {logits.shape[1]} classes")
    require_classes(metrics, len(names))
    classes = _as_targets(targets, "targets", len(names))
    require_same_rows(logits, classes)
    train = None if train_targets is None else _as_targets(train_targets, "training targets", len(names))
    return _score_classes(logits, classes, train, metrics, names, bootstrap_samples, seed)


def _score_classes(
    logits: FloatArray,
    targets: IntArray,
    train: IntArray | None,
    metrics: Sequence[str],
    names: tuple[str, ...],
    samples: int,
    seed: int,
) -> Scores:
    predictions = logits.argmax(axis=1)
    confusion = confusion_matrix(predictions, targets, len(names))
    known = targets if train is None or not len(train) else train
    majority = int(np.bincount(known).argmax())
    return Scores(
        task_kind="classification",
        rows=len(targets),
        metrics=_metric_scores(
            compute_metrics(metrics, predictions, targets),
            class_intervals(metrics, confusion, samples=samples, seed=seed),
            compute_metrics(metrics, np.full_like(targets, majority), targets),
        ),
        mean_loss=_cross_entropy(logits, targets),
        baseline=Baseline("majority", names[majority], "these rows" if known is targets else "training data", None),
        is_majority=bool((predictions == predictions[0]).all() and (targets != targets[0]).any()),
        label_names=names,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        labels=_label_scores(confusion, names),
        bootstrap_samples=samples,
        seed=seed,
    )


def _score_values(
    values: FloatArray, targets: FloatArray, train: FloatArray | None, metrics: Sequence[str], samples: int, seed: int
) -> Scores:
    known = targets if train is None or not len(train) else train
    mean = float(known.mean())
    return Scores(
        task_kind="regression",
        rows=len(targets),
        metrics=_metric_scores(
            compute_metrics(metrics, values, targets),
            value_intervals(metrics, values, targets, samples=samples, seed=seed),
            compute_metrics(metrics, np.full_like(targets, mean), targets),
        ),
        mean_loss=float(np.mean((values - targets) ** 2)),
        baseline=Baseline(
            "mean", mean, "these rows" if known is targets else "training data", float(np.mean((mean - targets) ** 2))
        ),
        is_majority=bool(targets.std() > 0 and values.std() <= _COLLAPSED_SPREAD * targets.std()),
        label_names=(),
        confusion=(),
        labels=(),
        bootstrap_samples=samples,
        seed=seed,
    )


def _metric_scores(
    values: dict[str, float], intervals: dict[str, tuple[float, float]], baselines: dict[str, float]
) -> dict[str, MetricScore]:
    scores: dict[str, MetricScore] = {}
    for name, value in values.items():
        (low, high), baseline = intervals[name], baselines[name]
        above, below = low > baseline, high < baseline
        if not METRICS[name].higher_is_better:
            above, below = below, above
        against: Literal["better", "unclear", "worse"] = "better" if above else "worse" if below else "unclear"
        scores[name] = MetricScore(value, low, high, baseline, against)
    return scores


def _label_scores(confusion: IntArray, names: tuple[str, ...]) -> tuple[LabelScore, ...]:
    counts = count_classes(confusion)
    precision = counts.correct / np.maximum(counts.predicted, 1)
    recall = counts.correct / np.maximum(counts.target, 1)
    columns = (precision.tolist(), recall.tolist(), f1_by_class(counts).tolist(), counts.target.astype(int).tolist())
    return tuple(LabelScore(*row) for row in zip(names, *columns, strict=True))


def _cross_entropy(logits: FloatArray, targets: IntArray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_total - shifted[np.arange(len(targets)), targets]))


def _as_logits(values: npt.ArrayLike) -> FloatArray:
    logits = np.asarray(values, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise DataError(f"logits must be (rows, classes) with two classes or more, not {logits.shape}")
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if wrong.size:
        raise DataError(f"logits of {wrong.size} rows are not finite numbers, the first in row {wrong[0]}")
    return logits


def _as_targets(targets: npt.ArrayLike, name: str, num_classes: int) -> IntArray:
    classes = as_classes(targets, name)
    if classes.size and classes.max() >= num_classes:
        raise DataError(f"{name}: row {int(classes.argmax())} has class {classes.max()} of {num_classes} (from 0)")
    return classes
