from pathlib import Path

import numpy as np
import pytest
from tests.unit.plots.svg import texts

from bertune.errors import ConfigError
from bertune.evaluation.calibration_error import reliability
from bertune.plots.reliability_plot import plot_reliability

SOURCE = np.random.default_rng(0)
SURE = SOURCE.uniform(0.5, 1, 400)
BEFORE = reliability(SURE, SOURCE.random(400) < SURE - 0.1)
AFTER = reliability(SURE, SOURCE.random(400) < SURE)


def test_the_points_are_the_bins_that_hold_something() -> None:
    picture = plot_reliability(BEFORE, AFTER)
    diagonal, *curves = picture.axes[0].lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    for curve, bins in zip(curves, (BEFORE, AFTER), strict=True):
        filled = [index for index, count in enumerate(bins.counts) if count]
        assert list(curve.get_xdata()) == [bins.confidence[index] for index in filled]
        assert list(curve.get_ydata()) == [bins.frequency[index] for index in filled]
    assert len({curve.get_color() for curve in curves}) == len({curve.get_linestyle() for curve in curves}) == 2


def test_the_legend_has_the_errors_and_the_file_is_written_the_same_twice(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_reliability(BEFORE, AFTER, tmp_path / name, title="MRPC")
    shown = texts(tmp_path / "a.svg")
    assert f"without: calibration error {100 * BEFORE.error:.1f} % (400 predictions)" in shown
    assert f"with temperature: calibration error {100 * AFTER.error:.1f} % (400 predictions)" in shown
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_one_set_of_bins_alone_is_drawn_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    plot_reliability(BEFORE, path=tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="picture is a"):
        plot_reliability(BEFORE, path=tmp_path / "one.pdf")
