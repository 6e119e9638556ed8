"""What answers of each kind of task are: ids of labels, rows of 0 and 1, or values."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bertune.data.task_kind import TaskKind
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.class_metrics import ClassCounts
from bertune.evaluation.label_metrics import LabelCounts, label_counts, per_row
from bertune.evaluation.value_metrics import WeightedRows

# Answers or targets: (rows,) ids of labels, (rows, labels) of 0 and 1, or (rows,) values.
Decisions = npt.NDArray[Any]
_USUAL_THRESHOLD = 0.5


class AnswerKind(ABC):
    """How answers are made of logits, and how they are named, counted and compared."""

    @abstractmethod
    def probabilities(self, logits: npt.NDArray[Any]) -> FloatArray:
        """Returns the probability of each label, (rows, labels); of values there are none, (rows, 0)."""

    @abstractmethod
    def decide(self, probabilities: FloatArray, thresholds: Sequence[float] = ()) -> IntArray:
        """Returns what is answered.

        Args:
            probabilities: as above.
            thresholds: as in `ModelSignature`.
        """

    @abstractmethod
    def likeliest(self, logits: npt.NDArray[Any]) -> Decisions:
        """Returns what is answered without thresholds: the likeliest label, each at 0.5 or more, or the value."""

    @abstractmethod
    def targets(self, kept: Sequence[Any], labels: tuple[str, ...]) -> Decisions:
        """Returns targets as arrays, from what a run keeps of them; see `kept`.

        Raises:
            KeyError, TypeError, ValueError: one that is none of this kind, or that the labels do not have.
        """

    @abstractmethod
    def kept(self, decision: Any, labels: tuple[str, ...]) -> str | tuple[str, ...] | float:
        """Returns one row's answer or target as a run keeps it: a label, the labels, or a number."""

    @abstractmethod
    def words(self, decision: Any, labels: tuple[str, ...]) -> str:
        """Returns the same as people read it."""

    @abstractmethod
    def reordered(self, decisions: Decisions, labels: tuple[str, ...], order: tuple[str, ...]) -> Decisions:
        """Returns answers by labels in one order as answers by the same labels in another."""

    @abstractmethod
    def weighted(
        self, decisions: Decisions, targets: Decisions, weights: FloatArray, num_labels: int
    ) -> ClassCounts | LabelCounts | WeightedRows:
        """Returns what metrics are computed from, for rows that count as often as their weights, (..., rows), say."""

    @abstractmethod
    def pseudo_answers(self, answers: Decisions, targets: Decisions, num_labels: int, *, is_right: bool) -> Decisions:
        """Returns answers that are all right, or all wrong: another class, one label, or always the same value."""

    def only_one_right(self, first: Decisions, second: Decisions, targets: Decisions) -> tuple[IntArray, IntArray]:
        """Returns the rows that only the first, and that only the second of two models answers right."""
        is_right = [(each == targets).reshape(len(targets), -1).all(axis=1) for each in (first, second)]
        return np.flatnonzero(is_right[0] & ~is_right[1]), np.flatnonzero(is_right[1] & ~is_right[0])


class _Classes(AnswerKind):
    """One label a row, by its id."""

    def probabilities(self, logits: npt.NDArray[Any]) -> FloatArray:
        return softmax(logits)

    def decide(self, probabilities: FloatArray, thresholds: Sequence[float] = ()) -> IntArray:
        if len(thresholds):
            return np.where(probabilities[:, 1] >= thresholds[0], 1, 0)
        return self.likeliest(probabilities)

    def likeliest(self, logits: npt.NDArray[Any]) -> Decisions:
        best: IntArray = logits.argmax(axis=1)
        return best

    def targets(self, kept: Sequence[Any], labels: tuple[str, ...]) -> Decisions:
        ids = {name: number for number, name in enumerate(labels)}
        return np.array([ids[name] for name in kept])

    def kept(self, decision: Any, labels: tuple[str, ...]) -> str:
        return labels[int(decision)]

    def words(self, decision: Any, labels: tuple[str, ...]) -> str:
        return labels[int(decision)]

    def reordered(self, decisions: Decisions, labels: tuple[str, ...], order: tuple[str, ...]) -> Decisions:
        places: Decisions = np.array([order.index(name) for name in labels])[decisions]
        return places

    def weighted(
        self, decisions: Decisions, targets: Decisions, weights: FloatArray, num_labels: int
    ) -> ClassCounts | LabelCounts | WeightedRows:
        classes = np.eye(num_labels)
        target, predicted = classes[targets], classes[decisions]
        return ClassCounts(weights @ (target * predicted), weights @ target, weights @ predicted)

    def pseudo_answers(self, answers: Decisions, targets: Decisions, num_labels: int, *, is_right: bool) -> Decisions:
        other: Decisions = targets if is_right else (targets + 1) % num_labels
        return other


class _LabelSets(AnswerKind):
    """Any number of labels a row: 1 where one is given."""

    def probabilities(self, logits: npt.NDArray[Any]) -> FloatArray:
        return sigmoid(logits)

    def decide(self, probabilities: FloatArray, thresholds: Sequence[float] = ()) -> IntArray:
        given: npt.NDArray[np.bool_] = probabilities >= (np.array(thresholds) if len(thresholds) else _USUAL_THRESHOLD)
        return given.astype(np.int64)

    def likeliest(self, logits: npt.NDArray[Any]) -> Decisions:
        return np.where(logits >= 0, 1, 0)

    def targets(self, kept: Sequence[Any], labels: tuple[str, ...]) -> Decisions:
        ids = {name: number for number, name in enumerate(labels)}
        given = np.zeros((len(kept), len(ids)), dtype=np.int64)
        for number, names in enumerate(kept):
            given[number, [ids[name] for name in names]] = 1
        return given

    def kept(self, decision: Any, labels: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name, is_given in zip(labels, decision, strict=True) if is_given)

    def words(self, decision: Any, labels: tuple[str, ...]) -> str:
        return ", ".join(self.kept(decision, labels)) or "no label"

    def reordered(self, decisions: Decisions, labels: tuple[str, ...], order: tuple[str, ...]) -> Decisions:
        return decisions[:, [labels.index(name) for name in order]]

    def weighted(
        self, decisions: Decisions, targets: Decisions, weights: FloatArray, num_labels: int
    ) -> ClassCounts | LabelCounts | WeightedRows:
        return label_counts(weights @ per_row(decisions, targets).astype(np.float64))

    def pseudo_answers(self, answers: Decisions, targets: Decisions, num_labels: int, *, is_right: bool) -> Decisions:
        if is_right:
            return targets
        wrong = targets.copy()
        at = np.arange(len(targets))
        wrong[at, at % num_labels] = 1 - wrong[at, at % num_labels]
        return wrong


class _Values(AnswerKind):
    """A number a row."""

    def probabilities(self, logits: npt.NDArray[Any]) -> FloatArray:
        return np.empty((len(logits), 0))

    def decide(self, probabilities: FloatArray, thresholds: Sequence[float] = ()) -> IntArray:
        raise ValueError("values are not decided by probabilities")

    def likeliest(self, logits: npt.NDArray[Any]) -> Decisions:
        values: Decisions = logits[:, 0]
        return values

    def targets(self, kept: Sequence[Any], labels: tuple[str, ...]) -> Decisions:
        return np.array([float(value) for value in kept])

    def kept(self, decision: Any, labels: tuple[str, ...]) -> float:
        return float(decision)

    def words(self, decision: Any, labels: tuple[str, ...]) -> str:
        return f"{float(decision):.4g}"

    def reordered(self, decisions: Decisions, labels: tuple[str, ...], order: tuple[str, ...]) -> Decisions:
        return decisions

    def weighted(
        self, decisions: Decisions, targets: Decisions, weights: FloatArray, num_labels: int
    ) -> ClassCounts | LabelCounts | WeightedRows:
        return WeightedRows(decisions.astype(np.float64), targets.astype(np.float64), weights)

    def pseudo_answers(self, answers: Decisions, targets: Decisions, num_labels: int, *, is_right: bool) -> Decisions:
        mean, spread = answers.mean(), targets.std()
        scaled: Decisions = mean + (targets - targets.mean()) * (answers.std() / spread if spread and is_right else 0.0)
        return scaled

    def only_one_right(self, first: Decisions, second: Decisions, targets: Decisions) -> tuple[IntArray, IntArray]:
        """Returns the rows where one is nearer than the other, those with the largest difference first."""
        nearer = np.abs(second - targets) - np.abs(first - targets)
        order = np.argsort(-np.abs(nearer), kind="stable")
        return order[nearer[order] > 0], order[nearer[order] < 0]


ANSWERS: Final[Mapping[TaskKind, AnswerKind]] = {
    TaskKind.CLASSIFICATION: _Classes(),
    TaskKind.MULTI_LABEL: _LabelSets(),
    TaskKind.REGRESSION: _Values(),
}


def softmax(logits: npt.NDArray[Any]) -> FloatArray:
    """Returns softmax along the last axis, float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    exponentials = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    shares: FloatArray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: npt.NDArray[Any]) -> FloatArray:
    """Returns the logistic function of each number, float64, without overflow."""
    numbers = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(numbers))
    shares: FloatArray = np.where(numbers >= 0, 1.0, small) / (1.0 + small)
    return shares
