"""The metrics by name, each one formula for a whole set of rows and for thousands of resamples of it.

Metrics of classes are computed from class counts, of several labels a row from label counts, of values from weighted
rows, always along the last axis, so that a bootstrap is one array expression. They equal scikit-learn's and SciPy's to
1e-12; those two are not imported, as loading them takes longer than scoring.

**Undefined cases give 0.0**, without a warning: no positive row in targets and predictions (f1), one class only
(matthews), constant predictions or constant targets (pearson, spearman). Each says "no better than chance", which is
what a run that always predicts the same has earned, and it can be compared and written to JSON, as nan cannot.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation import class_metrics, label_metrics, value_metrics
from bertune.evaluation.arrays import FloatArray, as_classes, as_label_rows, as_values, require_same_rows
from bertune.wording.nearest import nearest

Measure = Callable[[Any], FloatArray]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that says how well predictions meet targets.

    Args:
        name: as in `METRICS`.
        measures: for each kind of task it judges, the way from `ClassCounts`, `LabelCounts` or `WeightedRows` to the
            metric, one value for each resample.
        higher_is_better: the direction, for choosing the best epoch.
        only_binary: whether it is defined for two classes alone.
    """

    name: str
    measures: Mapping[TaskKind, Measure]
    higher_is_better: bool = True
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
        names: keys of `METRICS`, all for one kind of task.
        predictions: class indices (integers from 0), (rows,); rows of 0 and 1, (rows, labels); or values, (rows,).
        targets: the same for the truth.

    Returns:
        Each name with its value, in the order of the names.

    Raises:
        ConfigError: an unknown name, mixed kinds, or "f1" where there are more than two classes.
        DataError: no rows, arrays that do not fit each other, classes that are no indices, or values that are not
            finite.
    """
    kind = _kind_of(names, targets)
    if not kind.has_labels:
        values, truth = as_values(predictions, "predictions"), as_values(targets, "targets")
        require_same_rows(values, truth)
        rows: Any = value_metrics.WeightedRows(values, truth, np.ones(len(truth)))
    elif kind.has_label_sets:
        given, labels = as_label_rows(predictions, "predictions"), as_label_rows(targets, "targets")
        require_same_rows(given, labels)
        rows = label_metrics.label_counts(label_metrics.per_row(given, labels).sum(axis=0).astype(np.float64))
    else:
        classes, true_classes = as_classes(predictions, "predictions"), as_classes(targets, "targets")
        require_same_rows(classes, true_classes)
        num_classes = max(2, int(max(classes.max(), true_classes.max())) + 1)
        require_classes(names, num_classes)
        rows = class_metrics.count_classes(class_metrics.confusion_matrix(classes, true_classes, num_classes))
    return {name: float(METRICS[name].measures[kind](rows)) for name in names}


def _kind_of(names: Sequence[str], targets: npt.ArrayLike) -> TaskKind:
    """Tells the kind by the metrics, and for those of two kinds by the targets: several labels a row have two axes."""
    _require_known(names)
    several = np.ndim(targets) == 2
    for kind in (kind for kind in TaskKind if kind.has_label_sets == several):
        if names and all(kind in METRICS[name].measures for name in names):
            return kind
    raise ConfigError(f"metrics of one kind, that of the targets, are needed, not {list(names)}")


def require_metrics(names: Sequence[str], kind: TaskKind) -> None:
    """Refuses metrics that cannot judge a kind of task.

    Raises:
        ConfigError: no name, an unknown one, or one for another kind.
    """
    _require_known(names)
    if not names or any(kind not in METRICS[name].measures for name in names):
        raise ConfigError(
            f"{', '.join(names) or 'no metric'} cannot judge a {kind} task",
            hint=f"choose from: {', '.join(name for name, metric in METRICS.items() if kind in metric.measures)}",
        )


# What other tools call them; F1 averaged by how frequent labels are is not among them, since it hides rare ones.
_CALLED = {
    "acc": "accuracy",
    "mcc": "matthews",
    "matthews_correlation": "matthews",
    "macro_f1": "f1_macro",
    "micro_f1": "f1_micro",
    "weighted_f1": "f1_macro",
    "f1_weighted": "f1_macro",
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "exact_match": "subset_accuracy",
}


def metric_meant(name: str, known: Collection[str]) -> str | None:
    """Finds the metric that another tool calls so, or that is spelt nearly so; None where there is none.

    Args:
        name: as given.
        known: those that can be meant.
    """
    called = _CALLED.get(name.lower().replace("-", "_"))
    return called if called in known else nearest(name, known)


def _require_known(names: Sequence[str]) -> None:
    for name in names:
        if name not in METRICS:
            meant = metric_meant(name, METRICS)
            guess = "" if meant is None else f"did you mean '{meant}'? "
            raise ConfigError(f"unknown metric {name!r}", hint=f"{guess}choose from: {', '.join(METRICS)}")


def require_classes(names: Sequence[str], num_classes: int) -> None:
    """Refuses metrics for two classes where there are more.

    Raises:
        ConfigError: a metric that is not defined for so many classes.
    """
    for name in names:
        if METRICS[name].only_binary and num_classes > 2:
            raise ConfigError(f"{name} is for two classes, and here are {num_classes}", hint="use f1_macro")


_CLASSES, _LABEL_SETS, _VALUES = TaskKind.CLASSIFICATION, TaskKind.MULTI_LABEL, TaskKind.REGRESSION

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", {_CLASSES: class_metrics.accuracy}),
        Metric("f1", {_CLASSES: class_metrics.f1}, only_binary=True),
        Metric("f1_macro", {_CLASSES: class_metrics.f1_macro, _LABEL_SETS: label_metrics.f1_macro}),
        Metric("matthews", {_CLASSES: class_metrics.matthews}),
        Metric("f1_micro", {_LABEL_SETS: label_metrics.f1_micro}),
        Metric("subset_accuracy", {_LABEL_SETS: label_metrics.subset_accuracy}),
        Metric("hamming_loss", {_LABEL_SETS: label_metrics.hamming_loss}, higher_is_better=False),
        Metric("pearson", {_VALUES: value_metrics.pearson}),
        Metric("spearman", {_VALUES: value_metrics.spearman}),
    )
}
"""Every metric by name. GLUE: accuracy, f1 (MRPC, QQP), matthews (CoLA), pearson and spearman (STS-B)."""
