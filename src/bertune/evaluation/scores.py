"""Scores that are honest: every number with its interval, beside what always answering the same would get."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, DataError
from bertune.evaluation import scores_text
from bertune.evaluation.answer_kinds import ANSWERS
from bertune.evaluation.arrays import (
    FloatArray,
    IntArray,
    as_classes,
    as_label_rows,
    as_values,
    require_finite_logits,
    require_same_rows,
)
from bertune.evaluation.class_scores import judge_classes
from bertune.evaluation.label_scores import judge_labels
from bertune.evaluation.metrics import METRICS, require_classes, require_metrics
from bertune.evaluation.saved_scores import SavedScores
from bertune.evaluation.score_parts import (
    Baseline,
    Drawing,
    JudgedRows,
    Judgement,
    LabelScore,
    MetricScore,
    Scoring,
)
from bertune.evaluation.value_scores import judge_values
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.wording.counts import counted
from bertune.wording.markup import table

#: Of more, a file holds the cells of the confusion matrix that are not empty.
MOST_LABELS_OF_MATRIX = 100
_MOST_CELLS = 10_000

__all__ = ["Baseline", "Drawing", "LabelScore", "MetricScore", "Scores", "Scoring", "score"]


@dataclass(frozen=True, repr=False)
class Scores:
    """What a model's answers are worth on some rows; made by `score`.

    It is shown in one line, and in a notebook as a table of the metrics; `lines` has all of it.

    Args:
        task_kind: of the task.
        rows: how many were scored.
        metrics: each metric by name, in the order asked for; the first one gives the verdict.
        mean_loss: mean cross entropy in nats (no label smoothing), for multi-label over rows and labels; or mean
            squared error.
        baseline: what every metric is held against.
        is_majority: all predictions are one class or the same labels (or, for values, vary less than 1 % of what the
            targets do): the run has collapsed, whatever its metrics say.
        label_names: in the order of the logits; empty for regression.
        confusion: rows by true label, then by predicted label; for classification alone.
        labels: each label's own scores; empty for regression.
        bootstrap_samples: how many sets of rows the standard errors come from; shares of rows need none.
        seed: of the bootstrap.
        calibration_error: expected calibration error of the probabilities, 0 to 1; None for regression.
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
    calibration_error: float | None = None

    def __repr__(self) -> str:
        return f"Scores({counted(self.rows, 'row')}: {self.verdict})"

    def _repr_html_(self) -> str:
        return table(scores_text.metric_rows(self), caption=f"{counted(self.rows, 'row')}: {self.verdict}")

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

    @property
    def rank(self) -> tuple[float, float]:
        """What the best of several models is chosen by, higher when better: the first metric, then the lower loss."""
        return self.chosen_value, -self.mean_loss

    def value(self, metric: str) -> float:
        """Returns a metric's value.

        Raises:
            ConfigError: the metric was not computed.
        """
        if metric not in self.metrics:
            raise ConfigError(f"no score for metric {metric!r}", hint=f"computed were: {', '.join(self.metrics)}")
        return self.metrics[metric].value

    def saved(self) -> SavedScores:
        """Returns everything as files hold it.

        Of more than 100 labels the confusion matrix is empty, and its largest cells are in `confusion_cells`, at most
        10,000 of them: label, predicted label, both by their position, and rows.
        """
        many = len(self.confusion) > MOST_LABELS_OF_MATRIX
        kept = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "confusion"}
        return SavedScores(
            verdict=self.verdict,
            confusion=() if many else self.confusion,
            confusion_cells=_largest_cells(self.confusion) if many else None,
            **kept,
        )

    def to_dict(self) -> JsonObject:
        """Returns what `saved` does in types that JSON knows; no number is nan or infinite."""
        return to_json(self.saved())

    def lines(self, *, verbose: bool = True, width: int | None = None) -> list[str]:
        """Returns plain text for a terminal: verdict, metrics, baseline, confusion matrix, scores of each label."""
        return scores_text.lines(self, verbose=verbose, width=width)


def score(
    outputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    scoring: Scoring,
    *,
    train_targets: npt.ArrayLike | None = None,
    decisions: npt.ArrayLike | None = None,
    drawing: Drawing = Drawing(),  # noqa: B008 (frozen)
) -> Scores:
    """Scores a model's answers.

    Args:
        outputs: logits, (rows, labels); for regression values, (rows,) or (rows, 1).
        targets: class indices or values, (rows,); for multi-label rows of 0 and 1, (rows, labels).
        scoring: kind, metrics and names of the labels.
        train_targets: what the baseline learns from, any number of rows; without it, `targets` themselves.
        decisions: what was answered, in the form of the targets, where a threshold decides; by default the most
            probable class, or each label whose probability is 0.5 or more. Values are their own decisions.
        drawing: of the bootstrap; equal arguments give equal scores.

    Raises:
        ConfigError: metrics or label names that do not fit the task.
        DataError: arrays that do not fit each other, a target outside the classes, or numbers that are not finite.
    """
    require_metrics(scoring.metrics, scoring.kind)
    names: tuple[str, ...] = ()
    if not scoring.kind.has_labels:
        rows, judgement = _judge_values(outputs, targets, train_targets, scoring.metrics, drawing)
    else:
        logits = _as_logits(outputs, least=2 if scoring.kind.has_one_label else 1)
        names = tuple(map(str, range(logits.shape[1]))) if scoring.label_names is None else tuple(scoring.label_names)
        if len(names) != logits.shape[1]:
            raise ConfigError(f"{len(names)} label names do not fit logits for {logits.shape[1]} labels")
        require_classes(scoring.metrics, len(names))
        judged = _judged_rows(scoring.kind, logits, targets, train_targets, decisions)
        judge = judge_classes if scoring.kind.has_one_label else judge_labels
        rows, judgement = len(judged.targets), judge(judged, scoring.metrics, names, drawing)
    return Scores(
        task_kind=scoring.kind,
        rows=rows,
        label_names=names,
        bootstrap_samples=drawing.samples,
        seed=drawing.seed,
        **{part.name: getattr(judgement, part.name) for part in fields(judgement)},
    )


def _largest_cells(confusion: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, int, int], ...]:
    """Lists label, predicted label and rows, most rows first."""
    cells = [
        (true, told, count) for true, row in enumerate(confusion) if any(row) for told, count in enumerate(row) if count
    ]
    return tuple(sorted(cells, key=lambda cell: -cell[2])[:_MOST_CELLS])


def _judged_rows(
    kind: TaskKind,
    logits: FloatArray,
    targets: npt.ArrayLike,
    train_targets: npt.ArrayLike | None,
    decisions: npt.ArrayLike | None,
) -> JudgedRows[IntArray]:
    as_checked, labels = _as_targets if kind.has_one_label else _as_rows, logits.shape[1]
    truth = as_checked(targets, "targets", labels)
    require_same_rows(logits, truth)
    given = ANSWERS[kind].likeliest(logits) if decisions is None else as_checked(decisions, "decisions", labels)
    require_same_rows(given, truth)
    train = None if train_targets is None else as_checked(train_targets, "training targets", labels)
    return JudgedRows(logits, given, truth, train)


def _judge_values(
    values: npt.ArrayLike,
    targets: npt.ArrayLike,
    train_targets: npt.ArrayLike | None,
    metrics: Sequence[str],
    drawing: Drawing,
) -> tuple[int, Judgement]:
    predictions, truth = as_values(values, "predictions"), as_values(targets, "targets")
    require_same_rows(predictions, truth)
    train = None if train_targets is None else as_values(train_targets, "training targets")
    return len(truth), judge_values(JudgedRows(predictions, predictions, truth, train), metrics, drawing)


def _as_logits(values: npt.ArrayLike, *, least: int) -> FloatArray:
    logits = np.asarray(values, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] < least:
        wanted = "(rows, classes) with two classes or more" if least == 2 else "(rows, labels)"
        raise DataError(f"logits must be {wanted}, not {logits.shape}")
    require_finite_logits(logits)
    return logits


def _as_targets(targets: npt.ArrayLike, name: str, num_classes: int) -> IntArray:
    classes = as_classes(targets, name)
    if classes.size and classes.max() >= num_classes:
        raise DataError(f"{name}: row {int(classes.argmax())} has class {classes.max()} of {num_classes} (from 0)")
    return classes


def _as_rows(targets: npt.ArrayLike, name: str, num_labels: int) -> IntArray:
    rows = as_label_rows(targets, name)
    if rows.shape[1] != num_labels:
        raise DataError(f"{name} are for {rows.shape[1]} labels, the logits for {num_labels}")
    return rows
