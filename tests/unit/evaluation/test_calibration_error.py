import numpy as np
import pytest

from bertune.evaluation.calibration_error import (
    calibration_error,
    label_calibration_errors,
    reliability,
    reliability_of,
)


def test_the_error_is_that_of_an_example_computed_by_hand() -> None:
    # 15 bins: 0.9 and 0.92 lie in (13/15, 14/15], 0.98 in (14/15, 1], 0.55 in (8/15, 9/15].
    shares = np.array([[0.9, 0.1], [0.08, 0.92], [0.98, 0.02], [0.45, 0.55]])
    targets = np.array([0, 0, 0, 1])
    # two rows: sure 0.91, right 1/2; one: sure 0.98, right; one: sure 0.55, right
    expected = (2 * abs(0.91 - 0.5) + abs(0.98 - 1) + abs(0.55 - 1)) / 4
    assert calibration_error(shares, targets) == pytest.approx(expected, abs=1e-12)


def test_each_label_of_multi_label_has_an_error_of_its_own_and_their_mean_counts() -> None:
    shares = np.array([[0.1, 0.8], [0.12, 0.8]])
    targets = np.array([[0, 1], [1, 1]])
    # first label, both in (1/15, 2/15]: sure 0.11, true 1/2; second: sure 0.8, true always
    errors = [abs(0.11 - 0.5), abs(0.8 - 1)]
    assert label_calibration_errors(shares, targets) == pytest.approx(errors, abs=1e-12)
    assert calibration_error(shares, targets) == pytest.approx(np.mean(errors), abs=1e-12)


def test_errors_of_labels_do_not_make_up_for_each_other_but_share_the_bins_of_the_diagram() -> None:
    # All in one bin, half of them true: the first label is never there and the second always.
    shares, targets = np.full((3, 2), 0.5), np.array([[0, 1]] * 3)
    assert calibration_error(shares, targets) == 0.5
    bins = reliability_of(shares, targets)
    assert (sum(bins.counts), max(bins.counts), max(bins.frequency), bins.error) == (6, 6, 0.5, 0.0)
    rare = reliability_of(np.array([[0.9, 0.3], [0.9, 0.3]]), np.array([[1, 0], [1, 1]]))
    assert (rare.counts[13], rare.frequency[13], rare.confidence[13]) == (2, 1.0, 0.9)
    assert (rare.counts[4], rare.frequency[4], rare.confidence[4]) == (2, 0.5, 0.3)


def test_of_one_label_a_row_the_most_probable_is_in_the_bins() -> None:
    bins = reliability_of(np.array([[0.9, 0.1], [0.3, 0.7], [0.7, 0.3]]), np.array([0, 1, 1]))
    assert {place: count for place, count in enumerate(bins.counts) if count} == {10: 2, 13: 1}
    assert (bins.frequency[10], bins.frequency[13]) == (0.5, 1.0)


def test_bins_are_closed_on_the_right_and_the_first_takes_0_as_well() -> None:
    bins = reliability([0.0, 0.1, 0.5, 0.51, 1.0], [False, False, True, True, True], bins=10)
    assert bins.counts == (2, 0, 0, 0, 1, 1, 0, 0, 0, 1)
    assert bins.confidence[5] == 0.51
    assert bins.frequency == (0, 0, 0, 0, 1, 1, 0, 0, 0, 1)
    assert bins.saved().edges == pytest.approx(np.linspace(0, 1, 11))


def test_probabilities_that_mean_what_they_say_have_hardly_an_error() -> None:
    source = np.random.default_rng(0)
    sure = source.uniform(0.5, 1, 50_000)
    right = source.random(50_000) < sure
    assert reliability(sure, right).error < 0.01
    assert reliability(np.clip(sure + 0.1, 0, 1), right).error > 0.08
