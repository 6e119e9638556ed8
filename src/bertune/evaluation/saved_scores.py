"""Scores as files hold them: `Scores.to_dict` writes what is read here."""

from dataclasses import dataclass, field
from typing import Annotated

from bertune.data.task_kind import TaskKind
from bertune.evaluation.score_parts import Baseline, LabelScore, MetricScore
from bertune.system.hinted_values import LEFT_OUT, NOT_EMPTY
from bertune.wording.metric_text import metric_name, metric_text


@dataclass(frozen=True)
class SavedScores:
    """The scores of a model on some rows, as `scores.json`, `evaluations.json` and `metrics.json` hold them.

    What is not said here is as in `Scores`.

    Args:
        verdict: one sentence on the first metric.
        task_kind: of the task.
        rows: how many were scored.
        metrics: each metric by name; one at least, and the first one gives the verdict.
        mean_loss: in nats, or mean squared error.
        baseline: what every metric is held against.
        is_majority: whether the run has collapsed.
        label_names: in the order of the logits; empty for regression.
        confusion: rows by true label, then by predicted label; empty also where there are too many labels.
        labels: each label's own scores.
        bootstrap_samples: how many sets of rows the standard errors come from.
        seed: of the bootstrap.
        calibration_error: of the probabilities, 0 to 1; None for regression, and in files from before it was kept.
        confusion_cells: where there are too many labels for the matrix: its largest cells, each the position of the
            true label, that of the predicted one, and the rows.
    """

    verdict: str
    task_kind: TaskKind
    rows: int
    metrics: Annotated[dict[str, MetricScore], NOT_EMPTY]
    mean_loss: float
    baseline: Baseline
    is_majority: bool
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[LabelScore, ...]
    bootstrap_samples: int
    seed: int
    calibration_error: float | None = None
    confusion_cells: tuple[tuple[int, int, int], ...] | None = field(default=None, metadata=LEFT_OUT)

    @property
    def first(self) -> tuple[str, MetricScore]:
        """The metric that gives the verdict, by name and with its numbers."""
        return next(iter(self.metrics.items()))


@dataclass(frozen=True)
class FoldScore:
    """What one fold's rows say of a model that was trained on the others.

    Args:
        fold: from 1.
        rows: of the fold.
        rows_trained: of all other folds.
        step: optimizer steps after which its rows were answered: the median of the other folds' best.
        best_step: after which its own rows were answered best, which only the other folds' and the last model's steps
            go by.
        metrics: on its rows, after `step` steps.
        seconds: that it trained, evaluations included.
    """

    fold: int
    rows: int
    rows_trained: int
    step: int
    best_step: int
    metrics: Annotated[dict[str, float], NOT_EMPTY]
    seconds: float


@dataclass(frozen=True)
class SavedComparison:
    """A fine-tuned model beside a regression, as files hold it; see `BaselineComparison`.

    Args:
        metric: that is compared.
        model: its value for the model, on the rows that the regression was scored on.
        baseline: its value for the regression.
        low: lower end of the 95 % interval of the difference, model less regression.
        high: upper end.
        p: two-sided, of the comparison.
    """

    metric: str
    model: float
    baseline: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class SavedRegression:
    """What a regression that takes seconds is worth, as files hold it; see `RegressionBaseline`.

    Args:
        name: what it is called.
        metrics: on the rows that were scored; one at least.
        rows_trained: training rows that it was fitted on.
        rows_scored: validation rows that it was scored on.
        penalty: of the regression; None in files of older runs.
        beside: the model beside it; None in files of older runs.
    """

    name: str
    metrics: Annotated[dict[str, float], NOT_EMPTY]
    rows_trained: int
    rows_scored: int
    penalty: float | None = field(default=None, metadata=LEFT_OUT)
    beside: SavedComparison | None = field(default=None, metadata=LEFT_OUT)

    def line(self) -> str:
        """Returns its first metric with the number of rows, for a terminal."""
        metric, value = next(iter(self.metrics.items()))
        return (
            f"{self.name}: {metric_name(metric)} {metric_text(metric, value)} "
            f"({self.rows_trained:,} rows trained, {self.rows_scored:,} scored)"
        )


@dataclass(frozen=True, kw_only=True)
class SavedTeacher:
    """A student beside its teacher, as `scores.json` holds it; see `BesideTeacher`.

    Args:
        name: of the teacher.
        split: which rows were scored.
        rows: how many.
        teacher: metrics of the teacher.
        student: the same of the student.
        agreement: share of the answers that are the same; for values the correlation.
        teacher_rows_per_second: that it predicts.
        student_rows_per_second: the same of the student.
    """

    name: str
    split: str
    rows: int
    teacher: dict[str, float]
    student: dict[str, float]
    agreement: float
    teacher_rows_per_second: float
    student_rows_per_second: float
