"""Boxes, arrows and words, placed by inches from the top left of a picture."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from bertune.plots.palette import INK, LINE

Align = Literal["left", "center", "right"]


@dataclass(frozen=True)
class Font:
    """Text style: size in points, color, weight."""

    size: float = 9
    color: str = INK
    bold: bool = False


class Place(NamedTuple):
    """Position of a box, in inches, y downwards."""

    top: float
    left: float
    right: float
    height: float


class Pen:
    """Draws on axes that measure inches, y downwards, and keeps the place where the next thing goes.

    Args:
        axes: over the whole figure.
        y: where to start.
    """

    def __init__(self, axes: Axes, y: float) -> None:
        self._axes = axes
        self.y = y

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        font: Font = Font(),
        align: Align = "left",
        name: str | None = None,
    ) -> None:
        """Writes one line of text with its middle at height `y`; `name` is its id in SVG."""
        self._axes.text(
            *(x, y, text),
            fontsize=font.size,
            color=font.color,
            ha=align,
            va="center_baseline",
            fontweight="bold" if font.bold else "normal",
            gid=name,
        )

    def box(
        self, place: Place, *, fill: str, dashed: bool = False, behind: bool = False, name: str | None = None
    ) -> None:
        """Draws a box; `behind` puts it under everything, `name` is its id in SVG."""
        self._axes.add_patch(
            FancyBboxPatch(
                (place.left, place.top),
                place.right - place.left,
                place.height,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=fill,
                edgecolor=LINE,
                linewidth=0.9,
                linestyle=(0, (4, 3)) if dashed else "-",
                zorder=0.5 if behind else 2,
                gid=name,
            )
        )

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draws a line through points with a head at the last."""
        if len(points) > 2:
            xs, ys = zip(*points[:-1], strict=True)
            self._axes.add_line(Line2D(xs, ys, color=LINE, linewidth=1.0, solid_capstyle="butt", zorder=1.5))
        self._axes.add_patch(
            FancyArrowPatch(
                points[-2],
                points[-1],
                arrowstyle="-|>",
                mutation_scale=9,
                shrinkA=0,
                shrinkB=0,
                color=LINE,
                linewidth=1.0,
                zorder=1.5,
            )
        )
