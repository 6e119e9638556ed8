"""A student beside its teacher: scores of both on the same rows, how often they agree, and how fast they predict."""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel, load
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.answers import decisions
from bertune.evaluation.classifier_predictor import kept_ready
from bertune.evaluation.evaluate_model import evaluate
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.predictions import predictions_by
from bertune.evaluation.saved_scores import SavedTeacher
from bertune.evaluation.scores import Scores
from bertune.nn.precision import Precision
from bertune.training.prepare import PreparedRun
from bertune.wording.metric_text import metric_name, metric_text

_MOST_TIMED: Final = 1_000
_PASSES: Final = 3


@dataclass(frozen=True)
class BesideTeacher:
    """What a student and its teacher came to on the same rows.

    Args:
        name: of the teacher.
        split: which rows: `test`, or `validation`.
        teacher: its scores.
        student: its scores, in the same precision, by its temperature and thresholds.
        agreement: share of the rows that both answer alike; where a row may have several labels share of the labels;
            for values the correlation of both.
        teacher_rate: rows a second that it predicts, tokenizing included, on this machine.
        student_rate: the same of the student.
    """

    name: str
    split: str
    teacher: Scores
    student: Scores
    agreement: float
    teacher_rate: float
    student_rate: float

    def lines(self) -> list[str]:
        """Returns it for people."""
        metric = next(iter(self.student.values))
        spoken = metric_name(metric, self.student.label_names)
        both = [metric_text(metric, scores.values[metric]) for scores in (self.student, self.teacher)]
        return [
            f"student and teacher on {self.student.rows:,} {self.split} rows: {spoken} {both[0]} and {both[1]}, "
            f"{self._agreement_text()}",
            f"predicting: {self.student_rate:,.0f} and {self.teacher_rate:,.0f} rows/s, "
            f"{self.student_rate / self.teacher_rate:.2f} times as fast",
        ]

    def _agreement_text(self) -> str:
        if not self.student.task_kind.has_labels:
            return f"correlation of their values {self.agreement:.3f}"
        return f"the same answer in {100 * self.agreement:.1f} %"

    def saved(self) -> SavedTeacher:
        """Returns what `scores.json` holds of it."""
        return SavedTeacher(
            name=self.name,
            split=self.split,
            rows=self.student.rows,
            teacher=dict(self.teacher.values),
            student=dict(self.student.values),
            agreement=self.agreement,
            teacher_rows_per_second=self.teacher_rate,
            student_rows_per_second=self.student_rate,
        )


def beside_teacher(run: PreparedRun, signature: ModelSignature) -> BesideTeacher | None:
    """Compares the weights that were kept with the teacher.

    Args:
        run: whose classifier has them.
        signature: with their temperature and thresholds.

    Returns:
        None without a teacher, or without rows that were not trained on.
    """
    teaching = run.teaching
    if teaching is None or teaching.compared is None:
        return None
    split, examples = teaching.compared
    student = LoadedModel(run.classifier, run.tokenizer, signature)
    teacher = load(teaching.folder)
    teacher.classifier.to(run.classifier.device)
    scores_of_student, by_student = evaluate(student, examples)
    scores_of_teacher, by_teacher = evaluate(teacher, examples)
    order = list(teaching.order)
    student_rate, teacher_rate = _rates([student, teacher], examples, teaching.precision)
    return BesideTeacher(
        teaching.name,
        split,
        scores_of_teacher,
        scores_of_student,
        _agreement(
            decisions(by_student.logits, signature), _in_order(decisions(by_teacher.logits, teacher.signature), order)
        ),
        teacher_rate,
        student_rate,
    )


def _in_order(decided: NDArray[Any], order: list[int]) -> NDArray[Any]:
    """Returns a teacher's answers by the numbers that its labels have for the student."""
    if decided.dtype.kind == "f":
        return decided
    return decided[:, order] if decided.ndim == 2 else np.argsort(order)[decided]


def _agreement(one: NDArray[Any], other: NDArray[Any]) -> float:
    if one.dtype.kind != "f":
        return float((one == other).mean())
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _rates(models: list[LoadedModel], examples: Examples, precision: Precision) -> list[float]:
    """Returns how many rows each model predicts a second: the median of passes that take turns."""
    timed = examples.select(range(min(len(examples), _MOST_TIMED)))
    seconds: list[list[float]] = [[] for _ in models]
    with ExitStack() as ready:
        predictors = [ready.enter_context(kept_ready(model, precision)) for model in models]
        for number in range(_PASSES + 1):  # the first is for what is made once
            for predictor, own in zip(predictors, seconds, strict=True):
                began = time.perf_counter()
                predictions_by(predictor, TextRows(timed))
                if number:
                    own.append(time.perf_counter() - began)
    return [len(timed) / statistics.median(own) for own in seconds]
