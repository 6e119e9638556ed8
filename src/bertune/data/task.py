"""The task to learn: its columns, labels and metrics."""

import math
from dataclasses import dataclass, replace

from bertune.data.labels import LabelSet
from bertune.data.several_labels import SeveralLabels
from bertune.data.soft_labels import SoftColumns
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.errors import ConfigError

CLASSIFICATION_METRICS = ("accuracy", "f1", "f1_macro", "matthews")
MULTI_LABEL_METRICS = ("f1_micro", "f1_macro", "subset_accuracy", "hamming_loss")
REGRESSION_METRICS = ("pearson", "spearman")
METRICS_OF_KIND: dict[TaskKind, tuple[str, ...]] = {
    TaskKind.CLASSIFICATION: CLASSIFICATION_METRICS,
    TaskKind.MULTI_LABEL: MULTI_LABEL_METRICS,
    TaskKind.REGRESSION: REGRESSION_METRICS,
}


@dataclass(frozen=True)
class Columns:
    """Columns of a table that hold the texts and the label.

    A number counts columns from 0. A string of digits that is no column name is taken as a number.

    Args:
        text_a: the text, or the first text of a pair.
        text_b: the second text of a pair; None for single texts.
        label: the label or the target, or all labels of a row; None where nothing is to be read.
        several: how labels are written where a row may have several of them; None for one label a row.
        group: what rows that belong together share, such as the author of a text; may be one of the others.
        soft: columns of probabilities, each with its label; the label of a row is the most probable one where `label`
            is None.

    Example:
        >>> columns = bertune.Columns("question1", "question2", "label")
        >>> columns.is_pair
        True
    """

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None
    several: SeveralLabels | None = None
    group: str | int | None = None
    soft: SoftColumns = ()

    def __post_init__(self) -> None:
        flags = () if self.several is None else self.several.columns
        if flags and self.label is not None:
            raise ConfigError(f"labels stand in the column {self.label} or in the columns {flags}, not in both")
        soft = (column for column, _ in self.soft)
        named = [column for column in (self.text_a, self.text_b, self.label, *flags, *soft) if column is not None]
        if len({str(column) for column in named}) != len(named):
            raise ConfigError(f"each column can be used once, got {', '.join(str(column) for column in named)}")

    @classmethod
    def of_kind(
        cls,
        kind: TaskKind | TaskKindName,
        text_a: str | int,
        text_b: str | int | None,
        label: str | int | None,
        *,
        separator: str | None = None,
        allow_none: bool = False,
    ) -> "Columns":
        """Makes the columns of a kind of task.

        Args:
            kind: of the task.
            text_a: as above.
            text_b: as above.
            label: as above; for multi-label without a separator, several names with commas between them are columns of
                0 and 1.
            separator: see `SeveralLabels`.
            allow_none: see `SeveralLabels`.

        Raises:
            ConfigError: `allow_none` for columns of 0 and 1.
        """
        if not TaskKind.of(kind).has_label_sets or label is None:
            return cls(text_a, text_b, label)
        names = label.split(",") if isinstance(label, str) and separator is None else []
        if len(names) < 2:
            return cls(text_a, text_b, label, SeveralLabels((), separator, allow_none))
        if allow_none:
            raise ConfigError("rows of zeros are used as they are, so --allow-no-label has no effect")
        return cls(text_a, text_b, None, SeveralLabels(tuple(name.strip() for name in names)))

    @property
    def is_pair(self) -> bool:
        """Tells whether an example has two texts."""
        return self.text_b is not None


@dataclass(frozen=True)
class Task:
    """Definition of a task: its columns, kind, labels and metrics.

    Args:
        name: a short name; GLUE tasks have the names of `nyu-mll/glue`.
        kind: what is predicted: one of several labels, any of several labels, or a number.
        columns: where texts and label are found.
        labels: the labels in the order of their ids; None for regression, and before training data was seen.
        metrics: names of metrics; the first one chooses the best epoch.
        target_range: lowest and highest target of a regression.

    Example:
        >>> task = bertune.Task.for_columns(bertune.Columns("question1", "question2", "label"))
        >>> task.with_labels(bertune.LabelSet(("different", "duplicate"))).metrics
        ('accuracy', 'f1')
    """

    name: str
    kind: TaskKind
    columns: Columns
    labels: LabelSet | None
    metrics: tuple[str, ...]
    target_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", TaskKind.of(self.kind))
        if not self.kind.has_label_sets and self.columns.several is not None:
            raise ConfigError(f"task '{self.name}': only a multi-label task has several labels a row")
        if self.target_range is not None:
            check_range(self.kind, self.target_range, name="the target range")
        if not self.kind.has_labels and self.labels is not None:
            raise ConfigError(f"task '{self.name}': a regression task has no label words")
        known = METRICS_OF_KIND[self.kind]
        if not self.metrics or any(metric not in known for metric in self.metrics):
            raise ConfigError(
                f"task '{self.name}': metrics of a {self.kind} task are {', '.join(known)}; got {list(self.metrics)}"
            )

    @classmethod
    def for_columns(
        cls,
        columns: Columns,
        *,
        kind: TaskKind | TaskKindName = TaskKind.CLASSIFICATION,
        labels: LabelSet | None = None,
        target_range: tuple[float, float] | None = None,
    ) -> "Task":
        """Makes a task for a table of the user's own.

        Two labels are judged by accuracy and F1 of the second label, more by accuracy and macro F1, numbers by Pearson
        and Spearman correlation, several labels a row by F1, subset accuracy and Hamming loss. While the labels
        are not known, only accuracy is certain: see `with_labels`.
        """
        kind = TaskKind.of(kind)
        return cls("custom", kind, columns, labels, usual_metrics(kind, labels), target_range)

    def with_labels(self, labels: LabelSet) -> "Task":
        """Returns this task with the labels found in the training data, and the metrics usual for that many."""
        return replace(self, labels=labels, metrics=usual_metrics(self.kind, labels))


def check_range(kind: TaskKind, target_range: tuple[float, float], *, name: str) -> None:
    """Refuses a range of targets that a task cannot have.

    Args:
        kind: of the task.
        target_range: lowest and highest target.
        name: what to call the range.

    Raises:
        ConfigError: the task has no values, the lowest is not below the highest, or one is not finite.
    """
    if kind.has_labels or not -math.inf < target_range[0] < target_range[1] < math.inf:
        raise ConfigError(f"{name} {list(target_range)} does not fit a {kind}")


def usual_metrics(kind: TaskKind, labels: LabelSet | None = None) -> tuple[str, ...]:
    """Returns the metrics by which a kind of task is judged; with the labels of a classification, F1 as well."""
    if not kind.has_one_label:
        return METRICS_OF_KIND[kind]
    if labels is None:
        return ("accuracy",)
    return ("accuracy", "f1") if len(labels) == 2 else ("accuracy", "f1_macro")
