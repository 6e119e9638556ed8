"""Means over seeds, with Student's t."""

import pytest
from benchmarks.intervals import mean_of, paired
from scipy import stats


def test_a_mean_has_the_interval_and_t_of_the_one_sample_t_test() -> None:
    values = [0.71, 0.74, 0.69, 0.77, 0.72]
    found = mean_of(values)
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(0.95)
    assert found.count == 5
    assert found.mean == pytest.approx(0.726)
    assert found.error == pytest.approx(stats.sem(values))
    assert found.t == pytest.approx(test.statistic)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.least == 0.69


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = mean_of([0.5])
    assert (found.mean, found.deviation, found.error, found.low, found.high) == (0.5, None, None, None, None)
    assert found.side == "neither"


def test_equal_values_have_no_t() -> None:
    agreeing = mean_of([0.1, 0.1, 0.1])
    assert (agreeing.t, agreeing.low, agreeing.high) == (None, None, None)


def test_differences_are_paired_by_seed_and_a_seed_of_one_side_alone_is_left_out() -> None:
    ours = {"1": 0.80, "2": 0.70, "3": 0.10}
    theirs = {"2": 0.69, "1": 0.78, "4": 0.90}
    found = paired(ours, theirs)
    assert found is not None
    assert found.count == 2
    assert found.mean == pytest.approx(0.015)
    assert paired({"1": 0.8}, {"2": 0.8}) is None


@pytest.mark.parametrize(
    ("values", "side"),
    [([0.010, 0.011, 0.012], "above"), ([-0.010, -0.011, -0.012], "below"), ([0.01, -0.01, 0.02], "neither")],
)
def test_the_side_is_that_of_the_whole_interval(values: list[float], side: str) -> None:
    assert mean_of(values).side == side
