"""Intervals of cross-validated scores: wider than those of independent rows, by how much the folds share."""

from dataclasses import replace

import numpy as np
import pytest

from bertune.data.task_kind import TaskKind
from bertune.evaluation.cross_validated import widened, widening
from bertune.evaluation.scores import Scores, Scoring, score


def scores_of(wrong: int, rows: int = 200) -> Scores:
    targets = np.arange(rows) % 2
    answers = targets.copy()
    answers[:wrong] = 1 - answers[:wrong]
    return score(np.eye(2)[answers] * 4.0, targets, Scoring(TaskKind.CLASSIFICATION, ("accuracy", "f1")))


def test_the_widening_is_that_of_nadeau_and_bengio() -> None:
    # Their variance of the mean of K folds, 1/K + 1/(K - 1) of a fold's, beside 1/K of independent ones.
    for folds in (2, 5, 10):
        assert widening(folds) ** 2 == pytest.approx((1 / folds + 1 / (folds - 1)) / (1 / folds))
    assert widening(5) == pytest.approx(1.5)


def test_both_ends_move_away_from_the_middle_and_the_value_stays() -> None:
    plain = scores_of(40)
    wide = widened(plain, 5)
    for name, metric in plain.metrics.items():
        found = wide.metrics[name]
        assert (found.value, found.baseline) == (metric.value, metric.baseline)
        assert found.high - found.low == pytest.approx(1.5 * (metric.high - metric.low))
        assert found.high + found.low == pytest.approx(metric.high + metric.low)
        assert found.method == f"{metric.method}, widened for folds"


def test_no_end_is_beyond_what_a_share_can_be() -> None:
    found = widened(scores_of(1), 2).metrics["accuracy"]
    assert found.low < found.value < found.high == 1.0


def test_what_the_wider_interval_cannot_tell_from_the_baseline_is_unclear() -> None:
    plain = scores_of(80)
    metric = replace(plain.metrics["accuracy"], value=0.6, low=0.53, high=0.67, baseline=0.5, against_baseline="better")
    told = widened(replace(plain, metrics={"accuracy": metric}), 5).metrics["accuracy"]
    assert (told.low, told.high) == pytest.approx((0.495, 0.705))
    assert told.against_baseline == "unclear"
    assert widened(scores_of(20), 5).metrics["accuracy"].against_baseline == "better"
