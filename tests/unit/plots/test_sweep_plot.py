from pathlib import Path

import pytest
from matplotlib.axes import Axes
from tests.unit.plots.svg import texts

from bertune.errors import ConfigError
from bertune.plots.sweep_plot import TrialCurve, plot_sweep

TRIALS = [
    TrialCurve("trial 1", (0.5, 0.7, 0.6), stopped=False, is_best=False, learning_rate=1e-4),
    TrialCurve("trial 2", (0.4,), stopped=True, is_best=False, learning_rate=1e-3),
    TrialCurve("trial 3", (0.6, 0.8, 0.9), stopped=False, is_best=True, learning_rate=3e-4),
]


def drawn(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    lines = [line for line in axes.lines if line.get_gid()]
    return {line.get_gid() or "": (list(line.get_xdata()), list(line.get_ydata())) for line in lines}  # type: ignore[arg-type]


def test_every_trial_is_drawn_epoch_by_epoch_and_over_its_rate() -> None:
    epochs, rates = plot_sweep(TRIALS, "accuracy").axes
    assert drawn(epochs) == {
        "trial 1": ([1, 2, 3], [0.5, 0.7, 0.6]),
        "trial 2": ([1], [0.4]),
        "trial 3": ([1, 2, 3], [0.6, 0.8, 0.9]),
    }
    points = {(line.get_xdata()[0], line.get_ydata()[0], line.get_marker()) for line in rates.lines}  # type: ignore[index]
    assert points == {(1e-4, 0.7, "o"), (1e-3, 0.4, "x"), (3e-4, 0.9, "o")}
    assert rates.get_xscale() == "log"


def test_where_no_rate_was_searched_there_is_one_picture_of_the_epochs() -> None:
    (axes,) = plot_sweep([TrialCurve("trial 1", (0.5,), stopped=False, is_best=True, learning_rate=None)], "f1").axes
    assert axes.get_ylabel() == "f1"


def test_a_metric_that_is_lower_when_better_is_drawn_at_its_lowest() -> None:
    _, rates = plot_sweep(TRIALS[:1], "mse", best_value=min).axes
    assert rates.lines[0].get_ydata()[0] == 0.5  # type: ignore[index]


def test_the_file_says_what_the_signs_mean(tmp_path: Path) -> None:
    plot_sweep(TRIALS, "accuracy", tmp_path / "sweep.svg")
    assert {"stopped early", "ran to its end", "best", "learning rate", "epoch"} <= set(texts(tmp_path / "sweep.svg"))
    with pytest.raises(ConfigError, match="a picture is a"):
        plot_sweep(TRIALS, "accuracy", tmp_path / "sweep.gif")
