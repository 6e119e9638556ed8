"""Several labels a row: which constant answers are held against, and from which row on a metric is better."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from bertune.evaluation.label_scores import judge_labels
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Drawing, JudgedRows, Judgement

NAMES = ("a", "b", "c", "d", "e", "f")


def judged(predictions: Any, targets: Any, *metrics: str, train: Any = None) -> Judgement:
    answers, rows, known = np.array(predictions), np.array(targets), None if train is None else np.array(train)
    names = NAMES[: rows.shape[1]]
    return judge_labels(JudgedRows(8.0 * answers - 4, answers, rows, known), metrics, names, Drawing(60))


@pytest.mark.parametrize("seed", range(8))
def test_no_constant_answer_has_a_better_f1_than_the_one_it_is_held_against(seed: int) -> None:
    source = np.random.default_rng(seed)
    targets = (source.random((40, 4)) < source.random(4)).astype(np.int64)
    answers = (np.broadcast_to(answer, targets.shape) for answer in product((0, 1), repeat=4))
    best = max(compute_metrics(["f1_micro"], answer, targets)["f1_micro"] for answer in answers)
    assert judged(targets, targets, "f1_micro").metrics["f1_micro"].baseline == pytest.approx(best, abs=1e-12)


def test_beside_each_metric_stands_the_better_of_two_answers_and_both_are_named() -> None:
    targets = np.zeros((100, 3), np.int64)
    targets[:60, 0] = targets[20:65, 1] = targets[:5, 2] = 1
    judgement = judged(targets, targets, "f1_micro", "hamming_loss", "subset_accuracy")
    assert (judgement.baseline.answer, judgement.baseline.source) == ("'a', or always 'a' + 'b'", "these rows")
    assert judgement.metrics["f1_micro"].baseline == pytest.approx(2 * 105 / (200 + 110))  # of a and b
    assert judgement.metrics["hamming_loss"].baseline == pytest.approx((40 + 45 + 5) / 300)  # of a alone
    assert judgement.metrics["subset_accuracy"].baseline == pytest.approx(0.4)  # rows 20 to 59 have both
    assert {score.against_baseline for score in judgement.metrics.values()} == {"better"}
    trained = judged(targets, targets, "f1_micro", train=[[0, 0, 1], [0, 0, 1]]).baseline
    assert (trained.answer, trained.source) == ("'c'", "training data")
    assert judged(targets, targets, "f1_micro", train=np.zeros((0, 3), np.int64)).baseline.source == "these rows"


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ([1, 1, 1, 1, 0, 0], "'a' + 'b' + 'c' + 'd'"),
        ([1, 1, 1, 1, 1, 0], "'a' + 'b' + 'c' + 'd' and 1 more"),
        ([1, 1, 1, 1, 1, 1], "'a' + 'b' + 'c' + 'd' and 2 more"),
    ],
)
def test_of_many_labels_the_first_four_are_named(given: list[int], answer: str) -> None:
    assert judged([given] * 2, [given] * 2, "f1_micro").baseline.answer == answer


@pytest.mark.parametrize(("rare", "side"), [(5, "unclear"), (8, "better")])
def test_rows_that_only_the_model_has_right_must_be_enough(rare: int, side: str) -> None:
    targets = np.tile([1, 0], (90, 1))
    targets[:rare] = [1, 1]
    judgement = judged(targets, targets, "subset_accuracy", "f1_macro")
    assert {score.against_baseline for score in judgement.metrics.values()} == {side}
    wrong = np.tile([1, 0], (90, 1))
    wrong[:rare] = [0, 0]
    worse = judged(wrong, np.tile([1, 0], (90, 1)), "subset_accuracy").metrics["subset_accuracy"]
    assert worse.against_baseline == ("worse" if side == "better" else "unclear")


def test_intervals_stay_within_what_shares_can_be() -> None:
    targets = np.array([[1, 0], [0, 1], [1, 1], [1, 0]])
    for answers, end in ((targets, 1.0), (1 - targets, 0.0)):
        for name, score in judged(answers, targets, "f1_micro", "f1_macro", "subset_accuracy").metrics.items():
            assert (score.high if end else score.low) == end, name
            assert 0.0 <= score.low < score.high <= 1.0, name


def test_the_loss_is_in_nats_over_rows_and_labels_and_a_collapse_is_told() -> None:
    answers, targets = [[1, 0], [1, 0]], [[1, 0], [0, 0]]
    judgement = judged(answers, targets, "f1_micro")
    right, wrong = np.log1p(np.exp(-4.0)), np.log1p(np.exp(4.0))
    assert judgement.mean_loss == pytest.approx((3 * right + wrong) / 4)
    assert judgement.is_majority
    assert not judged(answers, answers, "f1_micro").is_majority
    assert not judged([[1, 0], [1, 1]], targets, "f1_micro").is_majority


def test_a_label_that_is_given_or_there_once_has_its_own_scores() -> None:
    answers, targets = [[1, 0, 0], [0, 1, 0], [0, 1, 0]], [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    found = [
        (each.label, each.precision, each.recall, each.support) for each in judged(answers, targets, "f1_micro").labels
    ]
    assert found == [("a", 1.0, 1.0, 1), ("b", 0.5, 1.0, 1), ("c", 0.0, 0.0, 1)]
    assert [each.f1 for each in judged(answers, targets, "f1_micro").labels] == [1.0, pytest.approx(2 / 3), 0.0]
