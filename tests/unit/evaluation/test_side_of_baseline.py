"""Better, unclear or worse than the baseline: where each begins, to the row and to the standard error."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from bertune.evaluation.against_baseline import PairedRows, Side, by_agreement, by_differences, by_rows, by_zero
from bertune.evaluation.intervals import PSEUDO_ROWS, Estimate


@pytest.mark.parametrize(
    ("only_one_is_right", "side"),
    [
        ([(6, 0)], "better"),  # p is 2 / 2^6
        ([(5, 0)], "unclear"),  # 2 / 2^5
        ([(0, 6)], "worse"),
        ([(0, 5)], "unclear"),
        ([(3, 3)], "unclear"),
        ([(0, 0)], "unclear"),
        ([(6, 0), (6, 0)], "better"),
        ([(6, 0), (5, 0)], "unclear"),
        ([(6, 0), (0, 7)], "worse"),
        ([(0, 7), (6, 0)], "worse"),
        ([(0, 6), (0, 6)], "unclear"),  # each at half the level
    ],
)
def test_shares_of_rows_are_told_apart_by_the_rows_that_only_one_has_right(
    only_one_is_right: list[tuple[int, int]], side: Side
) -> None:
    assert by_rows([PairedRows(model, constant, 20) for model, constant in only_one_is_right]) == side


ROWS, DIFFERENT = 50, 11
ONE, EACH_OF_TWO = (
    0.01 * (ROWS + PSEUDO_ROWS) / ROWS * float(stats.t.ppf(1 - 0.025 / tests, DIFFERENT - 1)) for tests in (1, 2)
)


def side_of(*differences: tuple[float, float], different: int = DIFFERENT, higher_is_better: bool = True) -> Side:
    """Where differences lie, each on the rows and with the pseudo-rows, of a standard error of 0.01."""
    return by_differences(
        [on_rows for on_rows, _ in differences],
        [Estimate(middle, 0.01) for _, middle in differences],
        [PairedRows(0, 0, different)] * len(differences),
        rows=ROWS,
        higher_is_better=higher_is_better,
    )


def test_a_difference_is_told_from_students_quantile_on() -> None:
    above, below = 1.001 * ONE, 0.999 * ONE
    assert [side_of((each, each)) for each in (above, below, -below, -above)] == [
        *("better", "unclear"),
        *("unclear", "worse"),
    ]
    lower = [side_of((each, each), higher_is_better=False) for each in (above, below, -below, -above)]
    assert lower == ["worse", "unclear", "unclear", "better"]


def test_a_difference_must_show_with_the_pseudo_rows_and_without() -> None:
    for shown, hidden in ((2 * ONE, 0.9 * ONE), (-2 * ONE, -0.9 * ONE)):
        assert side_of((shown, hidden)) == side_of((hidden, shown)) == "unclear"
        assert side_of((shown, shown)) != "unclear"


def test_better_is_better_than_both_constants_and_worse_than_one_at_half_the_level() -> None:
    good, between, bad = 1.001 * ONE, -(ONE + EACH_OF_TWO) / 2, -1.001 * EACH_OF_TWO
    assert side_of((good, good), (good, good)) == "better"
    assert side_of((good, good), (0.0, 0.0)) == "unclear"
    assert side_of((between, between), (between, between)) == "unclear"
    assert side_of((good, good), (bad, bad)) == side_of((bad, bad), (good, good)) == "worse"


def test_fewer_than_six_rows_that_differ_tell_nothing() -> None:
    assert side_of((0.9, 0.9), different=6) == "better"
    assert side_of((0.9, 0.9), different=5) == "unclear"


@pytest.mark.parametrize(
    ("interval", "rows", "side"),
    [
        ((0.01, 0.5), 6, "better"),
        ((0.01, 0.5), 5, "unclear"),
        ((0.0, 0.5), 6, "unclear"),
        ((-0.1, 0.1), 6, "unclear"),
        ((-0.5, 0.0), 6, "unclear"),
        ((-0.5, -0.01), 6, "worse"),
        ((-0.5, -0.01), 5, "unclear"),
    ],
)
def test_a_correlation_is_held_against_zero(interval: tuple[float, float], rows: int, side: Side) -> None:
    assert by_zero(interval, rows) == side


@pytest.mark.parametrize("rows", [10, 15])
def test_agreement_is_what_dealing_the_answers_at_random_hardly_gives(rows: int) -> None:
    """Of two classes the rows that both call 1 are then drawn without replacement, and two more are right with each.

    So their number is hypergeometric.
    """
    found = set()
    for of_class, answered in product(range(rows + 1), repeat=2):
        expected = of_class * answered / rows
        deviation = np.sqrt(expected * (1 - of_class / rows) * (rows - answered) / (rows - 1))
        for both in range(max(0, of_class + answered - rows), min(of_class, answered) + 1):
            confusion = np.array([[rows - of_class - answered + both, answered - both], [of_class - both, both]])
            is_rare = 2 * abs(both - expected) - 0.5 > stats.norm.ppf(0.975) * 2 * deviation
            told = is_rare and min(answered, rows - answered) >= 6
            assert by_agreement(confusion, (0.2, 0.9)) == ("better" if told else "unclear"), confusion
            assert by_agreement(confusion, (-0.9, -0.2)) == ("worse" if told else "unclear"), confusion
            assert by_agreement(confusion, (-0.1, 0.1)) == "unclear"
            found.add(told)
    assert found == ({True, False} if rows >= 12 else {False})
