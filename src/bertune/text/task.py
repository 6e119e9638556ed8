"""What is learned: which columns hold it, its labels and the metrics that judge it."""

from dataclasses import dataclass, replace
from typing import Literal

from bertune.errors import ConfigError
from bertune.text.labels import LabelSet

TaskKind = Literal["classification", "multi-label", "regression"]

CLASSIFICATION_METRICS = ("accuracy", "f1", "f1_macro", "matthews")
REGRESSION_METRICS = ("pearson", "spearman")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold the texts and the label.

    A number counts columns from 0. A string of digits that is no column name is taken as a number.

    Args:
        text_a: the text, or the first text of a pair.
        text_b: the second text of a pair; None for single texts.
        label: the label or the target; None where nothing is to be read.
    """

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None

    def __post_init__(self) -> None:
        named = [column for column in (self.text_a, self.text_b, self.label) if column is not None]
        if len({str(column) for column in named}) != len(named):
            raise ConfigError(f"each column can be used once, got {', '.join(str(column) for column in named)}")

    @property
    def is_pair(self) -> bool:
        """Whether an example has two texts."""
        return self.text_b is not None


@dataclass(frozen=True)
class Task:
    """A classification or regression task.

    Args:
        name: a short name; GLUE tasks have the names of `nyu-mll/glue`.
        kind: what is predicted: one of several labels, or a number.
        columns: where texts and label are found.
        labels: the labels in the order of their ids; None for regression, and before training data was seen.
        metrics: names of metrics; the first one chooses the best epoch.
    """

    name: str
    kind: TaskKind
    columns: Columns
    labels: LabelSet | None
    metrics: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.kind not in ("classification", "regression"):
            raise ConfigError(f"task kind must be 'classification' or 'regression', got {self.kind!r}")
        if self.kind == "regression" and self.labels is not None:
            raise ConfigError(f"task '{self.name}': a regression task has no label words")
        known = CLASSIFICATION_METRICS if self.kind == "classification" else REGRESSION_METRICS
        if not self.metrics or any(metric not in known for metric in self.metrics):
            raise ConfigError(
                f"task '{self.name}': metrics of a {self.kind} task are {', '.join(known)}; got {list(self.metrics)}"
            )

    @classmethod
    def for_columns(
        cls, columns: Columns, *, kind: TaskKind = "classification", labels: LabelSet | None = None
    ) -> "Task":
        """Makes a task for a table of the user's own.

        Two labels are judged by accuracy and F1 of the second label, more by accuracy and macro F1, numbers by Pearson
        and Spearman correlation. While the labels are not known, only accuracy is certain: see `with_labels`.
        """
        return cls("custom", kind, columns, labels, _usual_metrics(kind, labels))

    def with_labels(self, labels: LabelSet) -> "Task":
        """Returns this task with the labels found in the training data, and the metrics usual for that many."""
        return replace(self, labels=labels, metrics=_usual_metrics(self.kind, labels))


def _usual_metrics(kind: TaskKind, labels: LabelSet | None) -> tuple[str, ...]:
    if kind == "regression":
        return REGRESSION_METRICS
    if labels is None:
        return ("accuracy",)
    return ("accuracy", "f1") if len(labels) == 2 else ("accuracy", "f1_macro")
