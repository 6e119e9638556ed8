"""`plot_schedule`: learning rates over the steps of a run."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import SupportsFloat

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from bertune.errors import ConfigError
from bertune.optim.schedule import Schedule, WarmUp
from bertune.plots.figure import Picture, check_path, plain_style, spaced, write_picture
from bertune.plots.palette import DASHES, SERIES

# More points than a picture has pixels; a longer run is drawn at evenly spaced steps.
_MAX_POINTS = 4000
_LEGEND_WIDTH = 90  # characters that surely fit a line
_FEW = 40  # up to so many steps each one gets a dot


def plot_schedule(
    schedule: Schedule | Mapping[str, Schedule] | Sequence[Schedule],
    steps: int,
    path: str | Path | None = None,
    *,
    title: str = "Learning rate",
) -> Figure:
    """Draws the learning rate of each step of a run, for one schedule or several.

    The steps of a `WarmUp` are tinted; the legend says how many they are, and where each rate is highest. Of a run of
    more than 4,000 steps evenly spaced ones are drawn, and those around the end of a warm-up.

    Args:
        schedule: a callable from a step, counted from 0, to a rate (`WarmUp`, `PolynomialDecay`, what
            `create_schedule` makes); or several, with names or in a row.
        steps: of the run; steps 0 to `steps - 1` are drawn.
        path: an .svg or .png file to write; None writes nothing.
        title: above the picture.

    Returns:
        The figure, which a notebook shows. Its lines hold steps and rates as the schedule gave them.

    Raises:
        ConfigError: no step or no schedule, something that is no schedule, a rate that is not finite, a path of another
            suffix, or one that cannot be written.
        ResourceError: the disk is full.

    Example:
        >>> decay = bertune.PolynomialDecay(2e-5, decay_steps=345, end_learning_rate=0)
        >>> figure = bertune.plot_schedule(bertune.WarmUp(2e-5, decay, warmup_steps=34), 345, "schedule.svg")
    """
    path = check_path(path)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ConfigError(f"steps must be a whole number, at least 1, and is {steps!r}")
    named = _named(schedule)
    chosen = _steps_to_draw(steps, named.values())
    rates = {name: _rates(name, each, chosen) for name, each in named.items()}
    with plain_style():
        picture = _draw(named, chosen, rates, steps, title)
    if path is not None:
        write_picture(picture, path, f"{title} over {steps:,} steps")
    return picture


def _named(schedule: Schedule | Mapping[str, Schedule] | Sequence[Schedule]) -> dict[str, Schedule]:
    if isinstance(schedule, Mapping):
        named = {str(name): each for name, each in schedule.items()}
    else:
        several = list(schedule) if isinstance(schedule, Sequence) else [schedule]
        names = [_name_of(each) for each in several]
        named = {
            name if names.count(name) == 1 else f"{name} {number}": each
            for number, (name, each) in enumerate(zip(names, several, strict=True), start=1)
        }
    if not named:
        raise ConfigError("there is no schedule to draw")
    for name, each in named.items():
        if not callable(each):
            raise ConfigError(
                f"{name} is {type(each).__name__}, not a schedule: a callable from a step to a rate",
                hint="WarmUp and PolynomialDecay make schedules",
            )
    return named


def _name_of(schedule: Schedule) -> str:
    """The name of its class or function; of a warm-up also what it leads to."""
    if isinstance(schedule, WarmUp):
        return f"WarmUp, then {_name_of(schedule.decay_schedule_fn)}"
    name = getattr(schedule, "__name__", type(schedule).__name__)
    return "schedule" if name == "<lambda>" else str(name)


def _warm_up_of(schedule: Schedule) -> int | None:
    return schedule.warmup_steps if isinstance(schedule, WarmUp) and schedule.warmup_steps > 0 else None


def _steps_to_draw(steps: int, schedules: Iterable[Schedule]) -> NDArray[np.int64]:
    if steps <= _MAX_POINTS:
        return np.arange(steps)
    ends = [end for end in map(_warm_up_of, schedules) if end is not None and end < steps]
    around = [step for end in ends for step in (end - 1, end)]
    return np.unique(np.concatenate([np.linspace(0, steps - 1, _MAX_POINTS).astype(np.int64), around])).astype(np.int64)


def _rates(name: str, schedule: Schedule, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    rates = np.empty(len(steps))
    for row, step in enumerate(steps.tolist()):
        rate = schedule(step)
        if not isinstance(rate, SupportsFloat) or not math.isfinite(rate):
            raise ConfigError(f"{name} gives {rate} at step {step}; a rate is a finite number")
        rates[row] = rate
    return rates


def _draw(
    named: Mapping[str, Schedule],
    chosen: NDArray[np.int64],
    rates: Mapping[str, NDArray[np.float64]],
    steps: int,
    title: str,
) -> Picture:
    picture = Picture(figsize=(7.6, 4.0), layout=spaced())
    axes = picture.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(f"step (of {steps:,})")
    axes.set_ylabel("learning rate")
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    lines, stories = [], []
    for number, (name, schedule) in enumerate(named.items()):
        color, dashes = SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]
        dots = "o" if len(chosen) <= _FEW else ""
        lines += axes.plot(chosen, rates[name], color=color, ls=dashes, lw=2, marker=dots, markersize=4)
        stories.append(_story(name, schedule, chosen, rates[name]))
        warmup_steps = _warm_up_of(schedule)
        if warmup_steps is not None:
            axes.axvspan(0, min(warmup_steps, steps - 1), color=color, alpha=0.1, linewidth=0)
    picture.legend(lines, stories, loc="outside lower left", handlelength=3.2)
    highest = max(float(each.max()) for each in rates.values())
    axes.set_ylim(min(0.0, *(float(each.min()) for each in rates.values())), (highest or 1.0) * 1.15)
    axes.set_xlim(0, max(1, steps - 1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: rate_text(rate)))
    return picture


def _story(name: str, schedule: Schedule, steps: NDArray[np.int64], rates: NDArray[np.float64]) -> str:
    """Returns the legend: the name, the end of the warm-up, and where the rate is highest."""
    top, warmup_steps = int(rates.argmax()), _warm_up_of(schedule)
    rise = "" if warmup_steps is None else f"warm-up until step {warmup_steps:,}, "
    return textwrap.fill(f"{name}: {rise}highest {rate_text(rates[top])} at step {steps[top]:,}", _LEGEND_WIDTH)


def rate_text(rate: float) -> str:
    """Returns a rate as people type it: 2e-5, 1.5e-4, 0."""
    return f"{rate:.3g}" if rate == 0 or abs(rate) >= 0.01 else _short_exponent(f"{rate:.2e}")


def _short_exponent(text: str) -> str:
    digits, exponent = text.split("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}e{int(exponent)}"
