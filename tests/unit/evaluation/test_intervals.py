"""Intervals cover the truth as often as they say, and always have a width."""

import numpy as np
import pytest
from scipy.stats import binom
from tests.unit.scored import scored

from bertune.evaluation.bootstrap import class_estimates
from bertune.evaluation.class_metrics import confusion_matrix
from bertune.evaluation.intervals import correlation_interval, possible, share_interval
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Drawing

SHARES = (0.85, 0.88, 0.90, 0.92, 0.95, 0.96, 0.97, 0.98, 0.99)


def coverage(rows: int, share: float) -> float:
    """The chance, computed and not drawn, that the interval of a share holds the true one."""
    right = np.arange(rows + 1)
    holds = [low <= share <= high for low, high in (share_interval(count / rows, rows) for count in right)]
    return float(binom.pmf(right, rows, share)[holds].sum())


@pytest.mark.parametrize("rows", [20, 50, 100, 408])
def test_intervals_of_shares_cover_the_truth_as_often_as_they_say(rows: int) -> None:
    found = {share: coverage(rows, share) for share in SHARES}
    assert min(found.values()) >= 0.93
    # With 20 rows 0.98 is held by the intervals of 18, 19 and 20 right, or by those of two of them: 99.3 % or 94.0 %.
    above = [share for share, chance in found.items() if chance > 0.99]
    assert above == ([0.98] if rows == 20 else [])


def test_all_of_three_rows_right_says_little() -> None:
    low, high = share_interval(1.0, 3)
    assert 0.29 <= low <= 0.44
    assert high == 1.0
    assert share_interval(0.0, 3) == (pytest.approx(0.0), pytest.approx(1 - low))


@pytest.mark.parametrize("rows", [20, 50, 100, 408])
def test_intervals_of_f1_cover_the_truth_as_often_as_they_say(rows: int) -> None:
    source, held, draws = np.random.default_rng(rows), {"f1": 0, "f1_macro": 0}, 0
    for share in (0.85, 0.92, 0.98, 0.99):
        for _ in range(150):
            targets = source.integers(0, 2, rows)
            predictions = np.where(source.random(rows) < share, targets, 1 - targets)
            confusion = confusion_matrix(predictions, targets, 2)
            values = compute_metrics(["f1", "f1_macro"], predictions, targets)
            estimates = class_estimates(["f1", "f1_macro"], confusion, 0, Drawing(200, draws))
            draws += 1
            for name, estimate in estimates.items():  # both classes are as frequent: the true F1 is the accuracy
                low, high = possible(estimate.own.interval(), values[name], (0.0, 1.0))
                assert low < high
                held[name] += low <= share <= high
    assert 0.93 <= held["f1_macro"] / draws <= 0.99
    # F1 of one class has few values on 20 rows, and its interval errs to the safe side there.
    assert 0.93 <= held["f1"] / draws <= (1.0 if rows == 20 else 0.99)


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_no_interval_is_without_width(rows: int, right: bool, several: bool) -> None:
    targets = np.arange(rows) % 2 if several else np.zeros(rows, np.int64)
    answers = targets if right else 1 - targets
    classes = scored(
        np.eye(2)[answers],
        targets,
        task_kind="classification",
        metrics=["accuracy", "f1", "f1_macro", "matthews"],
        bootstrap_samples=100,
    )
    labels = scored(
        np.where(np.stack([answers, answers], axis=1) == 1, 1.0, -1.0),
        np.stack([targets, targets], axis=1),
        task_kind="multi-label",
        metrics=["f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"],
        bootstrap_samples=100,
    )
    values = scored(
        answers.astype(float),
        targets.astype(float),
        task_kind="regression",
        metrics=["pearson", "spearman"],
        bootstrap_samples=100,
    )
    for scores in (classes, labels, values):
        for metric in scores.metrics.values():
            assert metric.low < metric.high
            assert metric.low <= metric.value <= metric.high


@pytest.mark.parametrize(("of_ranks", "error"), [(False, 1.0), (True, np.sqrt(1 + 0.36 / 2))])
def test_intervals_of_correlations_are_fishers(of_ranks: bool, error: float) -> None:
    low, high = correlation_interval(0.6, 52, 0.0, of_ranks=of_ranks)
    middle, half = np.arctanh(0.6), 1.959964 * error / 7
    assert (low, high) == (pytest.approx(np.tanh(middle - half)), pytest.approx(np.tanh(middle + half)))
    wider = correlation_interval(0.6, 52, 0.5, of_ranks=of_ranks)
    assert wider[0] < low < high < wider[1]


def test_a_perfect_correlation_of_few_rows_is_not_sure() -> None:
    assert correlation_interval(1.0, 3, 0.0, of_ranks=False) == (-1.0, 1.0)
    assert correlation_interval(1.0, 10, 0.0, of_ranks=False) == (pytest.approx(10 / (10 + 3.8415), abs=1e-4), 1.0)
    assert correlation_interval(-1.0, 10, 0.0, of_ranks=True) == (-1.0, pytest.approx(-10 / (10 + 3.8415), abs=1e-4))
