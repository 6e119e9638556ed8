"""Steps that fit into a time."""

import pytest
from benchmarks.time_budget import is_timed, pace_of, replanned, steps_within


def test_the_pace_leaves_out_the_first_steps() -> None:
    slow_start = [10.0 * step for step in range(1, 6)]
    assert pace_of([*slow_start, *(50 + 0.5 * step for step in range(1, 21))]) == pytest.approx(2.0)


def test_a_pace_is_timed_for_twenty_steps_and_a_tenth_of_the_budget_but_no_more_than_two_hundred() -> None:
    ends = [float(step) for step in range(1, 300)]  # a step a second
    assert not is_timed(ends[:24], 10)
    assert is_timed(ends[:25], 10)
    assert not is_timed(ends[:25], 500)
    assert is_timed(ends[:55], 500)
    assert not is_timed(ends[:204], 1e6)
    assert is_timed(ends[:205], 1e6)


def test_at_least_one_step_is_planned() -> None:
    assert steps_within(10, 2.55) == 25
    assert steps_within(0.1, 1.0) == 1


def test_a_plan_that_took_its_time_is_right() -> None:
    assert replanned(100, [0.95 * step for step in range(1, 101)], 100.0) is None
    assert replanned(100, [1.05 * step for step in range(1, 101)], 100.0) is None


def test_a_plan_that_ended_early_gets_more_steps_and_one_that_was_cut_off_fewer() -> None:
    assert replanned(100, [0.5 * step for step in range(1, 101)], 100.0) == 200
    assert replanned(100, [2.0 * step for step in range(1, 56)], 100.0) == 50


def test_the_same_plan_is_not_repeated() -> None:
    assert replanned(1, [50.0], 80.0) is None
