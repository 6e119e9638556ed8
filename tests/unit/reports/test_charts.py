"""Pictures whose points are where they belong."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.reports.charts import Axes, Series, line_chart, scatter, ticks

AXES = Axes((0.0, 10.0), (0.0, 1.0), "step", str, str)


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-6, 1e6, allow_subnormal=False),
)
def test_ticks_are_few_evenly_spaced_and_inside(low: float, size: float) -> None:
    found = ticks(low, low + size)
    assert len(found) <= 6
    assert all(low - 1e-6 * size <= value <= low + size * (1 + 1e-6) for value in found)
    steps = [after - before for before, after in pairwise(found)]
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


def test_an_axis_without_width_has_one_tick() -> None:
    assert ticks(3.0, 3.0) == [3.0]


def test_a_curve_runs_through_its_points_from_left_to_right_and_up_for_more() -> None:
    drawn = line_chart([Series("loss", [(0, 0.0), (5, 0.5), (10, 1.0)])], AXES, label="Loss")
    path = re.search(r'd="M([^"]+)" class="curve"', drawn)
    assert path is not None
    points = [tuple(map(float, point.split())) for point in path[1].split("L")]
    (left, bottom), (middle, half), (right, top) = points
    assert (left, right) == (46, 342)
    assert bottom > half > top
    assert middle == (left + right) / 2
    assert half == pytest.approx((bottom + top) / 2)


def test_a_series_name_is_escaped_and_every_point_of_a_scatter_drawn() -> None:
    assert "<script" not in line_chart([Series("<script>", [(0, 0.0)], dots=True)], AXES, label="<script>")
    assert scatter([(1, 0.5), (2, 0.25)], AXES, label="s", diagonal=True).count("<circle") == 2
