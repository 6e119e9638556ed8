"""`plot_sweep`: the trials of a sweep, epoch by epoch and over the learning rate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bertune.plots.figure import Picture, check_path, plain_style, spaced, write_picture
from bertune.plots.palette import LINE, SERIES
from bertune.plots.schedule_plot import rate_text

_BEST, _COMPLETE = SERIES[1], SERIES[0]


@dataclass(frozen=True)
class TrialCurve:
    """One trial of a sweep.

    Args:
        name: in the picture.
        values: the metric after each epoch that it trained, at least one.
        stopped: whether it was ended before its last epoch.
        is_best: whether its model was kept.
        learning_rate: where it was searched; else None.
    """

    name: str
    values: tuple[float, ...]
    stopped: bool
    is_best: bool
    learning_rate: float | None


def plot_sweep(
    trials: Sequence[TrialCurve],
    metric: str,
    path: str | Path | None = None,
    *,
    best_value: Callable[[Iterable[float]], float] = max,
) -> Figure:
    """Draws the trials of a sweep: the metric after each epoch, and where rates were searched, the best over the rate.

    Trials that were stopped early end in a cross, those that ran to their end in a dot.

    Args:
        trials: at least one.
        metric: its name.
        path: an .svg or .png file to write; None writes nothing.
        best_value: `min` for a metric that is lower when better.

    Returns:
        The figure, which a notebook shows.

    Raises:
        ConfigError: a path of another suffix, or one that cannot be written.
        ResourceError: the disk is full.
    """
    path = check_path(path)
    over_rate = all(trial.learning_rate is not None for trial in trials)
    with plain_style():
        picture = Picture(figsize=(9.2 if over_rate else 5.4, 4.0), layout=spaced())
        axes = picture.subplots(1, 2 if over_rate else 1, squeeze=False, sharey=True)[0]
        _draw_epochs(axes[0], trials, metric)
        if over_rate:
            _draw_rates(axes[1], trials, best_value)
        # Empty lines, so that the legend does not depend on which trials there are.
        for label, marker, color in (
            ("ran to its end", "o", _COMPLETE),
            ("stopped early", "x", LINE),
            ("best", "o", _BEST),
        ):
            axes[0].plot([], [], marker=marker, color=color, label=label, linestyle="none")
        picture.legend(loc="outside lower left", ncols=3)
    if path is not None:
        write_picture(picture, path, f"{len(trials)} trials of a sweep, {metric}")
    return picture


def _draw_epochs(axes: Axes, trials: Sequence[TrialCurve], metric: str) -> None:
    axes.set_title("After each epoch", loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    # The best last, so that it lies on top.
    for trial in sorted(trials, key=lambda trial: trial.is_best):
        color, _, width = _style(trial)
        epochs = range(1, len(trial.values) + 1)
        axes.plot(epochs, trial.values, color=color, linewidth=width, gid=trial.name)
        axes.plot([len(trial.values)], trial.values[-1:], color=color, marker=_style(trial)[1], linestyle="none")


def _draw_rates(axes: Axes, trials: Sequence[TrialCurve], best_value: Callable[[Iterable[float]], float]) -> None:
    axes.set_title("Best epoch, by learning rate", loc="left", fontweight="bold")
    axes.set_xlabel("learning rate")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: rate_text(rate)))
    axes.margins(x=0.1)
    for trial in sorted(trials, key=lambda trial: trial.is_best):
        color, marker, _ = _style(trial)
        assert trial.learning_rate is not None
        axes.plot([trial.learning_rate], [best_value(trial.values)], color=color, marker=marker, linestyle="none")


def _style(trial: TrialCurve) -> tuple[str, str, float]:
    """Colour, marker at the end, and width of a line."""
    color = _BEST if trial.is_best else LINE if trial.stopped else _COMPLETE
    return color, "x" if trial.stopped else "o", 2.4 if trial.is_best else 1.0
