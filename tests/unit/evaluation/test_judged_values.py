"""Values: what they are held against, their loss, and when they say the same for every row."""

from typing import Any

import numpy as np
import pytest

from bertune.evaluation.intervals import Z
from bertune.evaluation.score_parts import Drawing, JudgedRows, Judgement
from bertune.evaluation.value_scores import judge_values

TARGETS = np.arange(40.0) % 7


def judged(values: Any, targets: Any = TARGETS, *, train: Any = None) -> Judgement:
    known = None if train is None else np.array(train, dtype=float)
    told = np.array(values, dtype=float)
    return judge_values(JudgedRows(told, told, np.array(targets), known), ("pearson", "spearman"), Drawing(60))


def test_values_are_held_against_the_mean_of_the_training_targets() -> None:
    baseline = judged(TARGETS + 1, train=[1, 2, 6]).baseline
    assert (baseline.kind, baseline.answer, baseline.source) == ("mean", 3.0, "training data")
    assert baseline.loss == pytest.approx(np.mean((3.0 - TARGETS) ** 2))
    for train in (None, []):
        baseline = judged(TARGETS + 1, train=train).baseline
        assert (baseline.answer, baseline.source) == (pytest.approx(TARGETS.mean()), "these rows")
        assert baseline.loss == pytest.approx(TARGETS.var())


def test_the_loss_is_the_mean_square_of_the_errors() -> None:
    assert judged(TARGETS + 0.5).mean_loss == pytest.approx(0.25)
    assert judged(np.where(np.arange(40) < 10, TARGETS - 2, TARGETS)).mean_loss == pytest.approx(1.0)


@pytest.mark.parametrize(("share", "collapsed"), [(0.0, True), (0.0099, True), (0.0101, False), (1.0, False)])
def test_values_that_vary_by_a_hundredth_of_what_the_targets_do_are_a_collapse(share: float, collapsed: bool) -> None:
    assert judged(3 + share * TARGETS).is_majority == collapsed
    assert not judged(3 + 0 * TARGETS, np.full(40, 2.0)).is_majority  # nothing was to be told apart


def test_a_correlation_has_its_interval_and_its_side_of_zero() -> None:
    source = np.random.default_rng(1)
    for sign, side in ((1, "better"), (-1, "worse")):
        for name, score in judged(sign * TARGETS + source.normal(size=40)).metrics.items():
            assert -1 <= score.low < score.value < score.high <= 1, name
            assert (score.against_baseline, score.baseline) == (side, 0.0), name
    unrelated = judged(source.permutation(TARGETS)).metrics
    assert {score.against_baseline for score in unrelated.values()} == {"unclear"}
    assert judged(TARGETS[:5], TARGETS[:5]).metrics["pearson"].against_baseline == "unclear"  # of too few rows


def test_the_interval_is_fishers_and_that_of_ranks_the_wider_one() -> None:
    """Of values without tails, whose correlation varies less from draw to draw than Fisher's z says."""
    targets = np.arange(40.0)
    found = judged(targets + np.where(targets % 2, 12.5, -12.5), targets).metrics
    for name, of_ranks in (("pearson", 0.0), ("spearman", 1.0)):
        value = found[name].value
        error = np.sqrt((1 + of_ranks * value**2 / 2) / 37)
        ends = np.tanh(np.arctanh(value) + np.array([-Z, Z]) * error)
        assert (found[name].low, found[name].high) == pytest.approx(tuple(ends), abs=1e-9), name
