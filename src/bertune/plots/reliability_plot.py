"""`plot_reliability`: how sure a model is beside how often it is right."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import blended_transform_factory

from bertune.evaluation.calibration_error import Reliability
from bertune.plots.figure import Picture, check_path, plain_style, spaced, write_picture
from bertune.plots.palette import LINE, SERIES


def plot_reliability(
    before: Reliability,
    after: Reliability | None = None,
    path: str | Path | None = None,
    *,
    title: str = "Reliability",
) -> Figure:
    """Draws a reliability diagram: in each bin of probability, the share that came true.

    On the diagonal probabilities mean what they say; below it the model is too sure. Dots grow with the predictions in
    their bin, and a strip under the diagram shows how many there are.

    Args:
        before: bins of the probabilities without a temperature.
        after: bins with one.
        path: an .svg or .png file to write; None writes nothing.
        title: above the picture.

    Returns:
        The figure, which a notebook shows. Its lines hold the bins that are not empty.

    Raises:
        ConfigError: a path of another suffix, or one that cannot be written.
        ResourceError: the disk is full.

    Example:
        >>> logits = np.array([[4.0, -4.0], [-4.0, 4.0], [4.0, -4.0], [4.0, -4.0]] * 25)
        >>> found = bertune.calibrate(logits, np.array([0, 1, 0, 1] * 25), ("no", "yes"))
        >>> figure = bertune.plot_reliability(found.before.reliability, path="reliability.svg")
    """
    path = check_path(path)
    drawn = {"as the model gives them": before} if after is None else {"without": before, "with temperature": after}
    with plain_style():
        picture = _draw(drawn, title)
    if path is not None:
        write_picture(picture, path, title)
    return picture


def _draw(drawn: dict[str, Reliability], title: str) -> Picture:
    picture = Picture(figsize=(5.2, 5.6), layout=spaced())
    axes = picture.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("probability")
    axes.set_ylabel("share that came true")
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle=":", gid="diagonal")
    at_bottom = blended_transform_factory(axes.transData, axes.transAxes)
    handles, names = [], []
    for number, (name, bins) in enumerate(drawn.items()):
        counts = np.array(bins.counts)
        filled = np.flatnonzero(counts)
        color, marker, dashes = SERIES[number], "os"[number], ("--", "-")[number]
        confidence, frequency = np.array(bins.confidence)[filled], np.array(bins.frequency)[filled]
        handles += axes.plot(confidence, frequency, color=color, linestyle=dashes, linewidth=1.5)
        shares = counts[filled] / counts.sum()
        axes.scatter(confidence, frequency, s=14 + 160 * shares, color=color, marker=marker, zorder=3)
        width = 1 / len(counts) / (len(drawn) + 0.5)
        left = filled / len(counts) + (number + 0.25) * width
        axes.bar(left, 0.12 * shares / shares.max(), width, align="edge", color=color, alpha=0.45, transform=at_bottom)
        names.append(f"{name}: calibration error {100 * bins.error:.1f} % ({counts.sum():,} predictions)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    picture.legend(handles, names, loc="outside lower left", handlelength=3.2)
    return picture
