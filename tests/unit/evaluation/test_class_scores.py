"""One label a row: each metric against always the most frequent class, and what is told beside it."""

from typing import Any

import numpy as np
import pytest

from bertune.evaluation.class_scores import judge_classes
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Drawing, JudgedRows, Judgement

NAMES = ("no", "yes", "perhaps")


def judged(predictions: Any, targets: Any, *metrics: str, train: Any = None, labels: int = 2) -> Judgement:
    answers, known = np.array(predictions), None if train is None else np.array(train)
    rows = JudgedRows(np.eye(labels)[answers], answers, np.array(targets), known)
    return judge_classes(rows, metrics, NAMES[:labels], Drawing(100))


@pytest.mark.parametrize(("rare", "side"), [(5, "unclear"), (8, "better")])
def test_so_many_rows_as_the_model_answers_otherwise_than_the_baseline_must_tell(rare: int, side: str) -> None:
    targets = [1] * rare + [0] * 90
    judgement = judged(targets, targets, "f1", "accuracy")
    assert judgement.metrics["f1"].against_baseline == side
    assert judgement.metrics["accuracy"].against_baseline == side
    assert (judgement.metrics["f1"].value, judgement.metrics["f1"].baseline) == (1.0, 0.0)


def test_only_rows_that_one_of_the_two_has_right_tell_accuracies_apart() -> None:
    targets = np.array([1] * 40 + [0] * 60)
    for found, wrong, side in ((7, 0, "better"), (7, 7, "unclear"), (0, 7, "worse")):
        predictions = np.zeros(100, np.int64)
        predictions[:found] = predictions[40 : 40 + wrong] = 1
        accuracy = judged(predictions, targets, "accuracy").metrics["accuracy"]
        assert (accuracy.value, accuracy.baseline) == (pytest.approx(0.6 + (found - wrong) / 100), 0.6)
        assert accuracy.against_baseline == side


@pytest.mark.parametrize("right", [True, False], ids=["all right", "all wrong"])
def test_intervals_end_where_no_value_of_the_metric_can_be(right: bool) -> None:
    """Of a few rows, so that standard errors reach farther."""
    targets = np.array([0, 1, 0, 1, 1])
    predictions = targets if right else 1 - targets
    scores = judged(predictions, targets, "f1", "f1_macro", "matthews", "accuracy").metrics
    lowest = {"f1": 0.0, "f1_macro": 0.0, "matthews": -1.0, "accuracy": 0.0}
    for name, score in scores.items():
        assert (score.high if right else score.low) == (1.0 if right else lowest[name]), name
        assert lowest[name] <= score.low < score.high <= 1.0, name
        assert score.value == compute_metrics([name], predictions, targets)[name]


def test_it_is_told_where_another_class_is_more_frequent_than_that_of_the_training_data() -> None:
    targets = [0, 0, 1, 1, 1, 2, 2, 2]
    baseline = judged(targets, targets, "accuracy", train=[0, 0, 1], labels=3).baseline
    assert (baseline.answer, baseline.source) == ("no", "training data")
    assert baseline.caution == (
        "'no' is the training majority but 25.0 % of these rows; always 'yes' would have 37.5 %"
    )
    for train in ([1, 1, 0], [2, 2, 0], None, []):  # as frequent as any, or taken from these rows
        found = judged(targets, targets, "accuracy", train=train, labels=3).baseline
        assert (found.caution, found.source) == (None, "training data" if train else "these rows")


@pytest.mark.parametrize(
    ("predictions", "targets", "collapsed"),
    [([1, 1, 1], [0, 1, 1], True), ([1, 1, 1], [1, 1, 1], False), ([1, 0, 1], [1, 1, 1], False), ([0], [1], False)],
)
def test_one_answer_for_rows_that_differ_is_a_collapse(predictions: Any, targets: Any, collapsed: bool) -> None:
    assert judged(predictions, targets, "accuracy").is_majority == collapsed


def test_each_label_has_its_own_scores_and_rows() -> None:
    judgement = judged([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], "accuracy", labels=3)
    assert judgement.confusion == ((1, 1, 0), (1, 2, 0), (0, 0, 0))
    found = [(each.label, each.precision, each.recall, each.f1, each.support) for each in judgement.labels]
    third = 2 / 3
    assert found == [
        ("no", 0.5, 0.5, 0.5, 2),
        ("yes", pytest.approx(third), pytest.approx(third), pytest.approx(third), 3),
        ("perhaps", 0.0, 0.0, 0.0, 0),
    ]
    (_, once, never) = judged([0, 1, 0], [0, 1, 0], "accuracy", labels=3).labels
    assert (once.precision, once.recall, once.f1, once.support) == (1.0, 1.0, 1.0, 1)
    assert (never.precision, never.recall, never.f1, never.support) == (0.0, 0.0, 0.0, 0)


def test_the_loss_is_the_mean_cross_entropy_in_nats() -> None:
    right = np.log(1 + np.exp(-1.0))
    assert judged([0, 1, 1, 1], [0, 1, 1, 0], "accuracy").mean_loss == pytest.approx((3 * right + 1 + right) / 4)
