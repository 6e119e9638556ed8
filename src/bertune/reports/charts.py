"""Small pictures in SVG whose colours are the page's, so that they turn dark with it.

Every picture is 360 wide, which a telephone shows without making its letters smaller. What is drawn stands in titles
too, which browsers show under the pointer and screen readers read.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bertune.wording.markup import Html, element, join

_WIDTH: Final = 360.0
_HEIGHT: Final = 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 18.0, 10.0, 36.0
_TICKS: Final = 4
_COLORS: Final = 7
_LETTERS: Final = 42  # that fit under the axis side by side

Point = tuple[float, float]
Format = Callable[[float], str]


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Args:
        name: in the legend.
        points: (x, y), in the order they are joined.
        color: its number in the page's colours.
        faint: drawn thin, behind others.
        dots: marked points, with their titles.
        sizes: the radius of each point; they are then not joined.
    """

    name: str
    points: Sequence[Point]
    color: int = 0
    faint: bool = False
    dots: bool = False
    sizes: Sequence[float] = ()


class Measured(Protocol):
    """A mean of some rows with its interval, of which there may be none."""

    @property
    def rows(self) -> int:
        """How many rows."""

    @property
    def value(self) -> float | None:
        """The mean; None without rows."""

    @property
    def low(self) -> float | None:
        """The lower end of its interval; None where there is none."""

    @property
    def high(self) -> float | None:
        """The upper end."""


@dataclass(frozen=True)
class Axes:
    """A rectangle with two axes.

    Args:
        x: lowest and highest value.
        y: lowest and highest value.
        x_title: under the axis.
        x_format: of its numbers.
        y_format: of its numbers.
    """

    x: Point
    y: Point
    x_title: str
    x_format: Format
    y_format: Format

    def place(self, x: float, y: float) -> Point:
        """Returns where a point is drawn."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return round(_LEFT + across * width, 1), round(_HEIGHT - _BOTTOM - up * height, 1)

    def frame(self) -> Html:
        """Draws lines and numbers of both axes."""
        parts = []
        for value in ticks(*self.y):
            _, y = self.place(self.x[0], value)
            parts.append(element("line", class_="axis", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
            parts.append(element("text", self.y_format(value), x=_LEFT - 6, y=y + 4, text_anchor="end"))
        for value in ticks(*self.x) if self.x_format is not no_numbers else []:
            x, _ = self.place(value, self.y[0])
            parts.append(element("text", self.x_format(value), x=x, y=_HEIGHT - _BOTTOM + 15, text_anchor="middle"))
        if self.x_title:
            middle = (_LEFT + _WIDTH - _RIGHT) / 2
            parts.append(element("text", self.x_title, x=middle, y=_HEIGHT - 4, text_anchor="middle"))
        return join(parts)


def line_chart(series: Sequence[Series], axes: Axes, *, label: str, marks: Sequence[tuple[float, str]] = ()) -> Html:
    """Draws curves.

    Args:
        series: the curves; faint ones are drawn first.
        axes: in which.
        label: what the picture shows, for those who do not see it.
        marks: heights of dashed lines, with their titles.
    """
    parts = [axes.frame()]
    for height, title in marks:
        (x1, y), (x2, _) = axes.place(axes.x[0], height), axes.place(axes.x[1], height)
        parts.append(element("line", element("title", title), class_="mark", x1=x1, x2=x2, y1=y, y2=y))
    for each in sorted(series, key=lambda one: not one.faint):
        parts.append(_curve(each, axes))
    return _picture(parts, label)


def scatter(points: Sequence[Point], axes: Axes, *, label: str, diagonal: bool) -> Html:
    """Draws points; the diagonal is where both values are equal."""
    parts = [axes.frame()]
    if diagonal:
        low, high = max(axes.x[0], axes.y[0]), min(axes.x[1], axes.y[1])
        (x1, y1), (x2, y2) = axes.place(low, low), axes.place(high, high)
        parts.append(element("line", class_="mark", x1=x1, y1=y1, x2=x2, y2=y2))
    radius = 2.6 if len(points) < 300 else 1.6
    for x, y in points:
        left, top = axes.place(x, y)
        title = element("title", f"{axes.x_format(x)}, {axes.y_format(y)}")
        parts.append(element("circle", title, class_="dot s0", cx=left, cy=top, r=radius, opacity=0.55))
    return _picture(parts, label)


def intervals(rows: Sequence[Measured], names: Sequence[str], axes: Axes, *, label: str) -> Html:
    """Draws values with their intervals, side by side.

    Args:
        rows: with value, low, high and rows; without a value where there is no row, without ends where there is no
            interval.
        names: under each.
        axes: x from 0 to the number of rows, with `no_numbers`.
        label: what the picture shows, for those who do not see it.
    """
    parts = [axes.frame()]
    # Names that would touch stand on two lines in turn.
    crowded = max(map(len, names), default=0) * len(names) > _LETTERS
    for at, (row, name) in enumerate(zip(rows, names, strict=True)):
        middle, _ = axes.place(at + 0.5, axes.y[0])
        line = at % 2 if crowded else 0
        parts.append(element("text", name, x=middle, y=_HEIGHT - _BOTTOM + 15 + 14 * line, text_anchor="middle"))
        if row.value is None:
            continue
        ends = [axes.place(0, end)[1] for end in (row.high, row.low) if end is not None]
        at_value = axes.place(0, row.value)[1]
        title = f"{name}: {axes.y_format(row.value)} of {row.rows:,} rows"
        parts.append(
            element(
                "g",
                element("title", title),
                *(
                    [element("line", class_="whisker", x1=middle, x2=middle, y1=ends[0], y2=ends[1], stroke_width=2)]
                    if ends
                    else []
                ),
                element("circle", class_="dot", cx=middle, cy=at_value, r=4),
                class_="s0",
            )
        )
    return _picture(parts, label)


def strip(value: float, low: float, high: float, baseline: float, ends: Point, form: Format, *, label: str) -> Html:
    """Draws one value with its interval and the baseline on a line from the lowest to the highest possible value."""

    def place(number: float) -> float:
        return round(6 + (min(max(number, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0]) * 348, 1)

    parts = [
        element("rect", class_="track", x=6, y=24, width=348, height=6, rx=3),
        element("rect", class_="bar s0", x=place(low), y=22, width=max(place(high) - place(low), 2), height=10, rx=5),
        element("circle", class_="knob", cx=place(value), cy=27, r=6),
        element("line", class_="baseline", x1=place(baseline), x2=place(baseline), y1=15, y2=39),
        element("text", f"baseline {form(baseline)}", x=_inside(place(baseline), 48), y=11, text_anchor="middle"),
        element("text", form(ends[0]), x=6, y=50),
        element("text", form(ends[1]), x=354, y=50, text_anchor="end"),
    ]
    return element("svg", *parts, viewBox="0 0 360 56", role="img", aria_label=label, class_="strip")


def spark(values: Sequence[float], *, label: str, top: float = 1.0) -> Html:
    """Draws a few values as a tiny curve, from 0 to `top`."""
    step = 52 / max(len(values) - 1, 1)
    places = [(round(4 + at * step, 1), round(16 - 13 * min(value / top, 1), 1)) for at, value in enumerate(values)]
    parts = [
        element("line", class_="axis", x1=2, x2=58, y1=16.5, y2=16.5),
        element("path", d=_path(places), class_="curve s1"),
        *(element("circle", cx=x, cy=y, r=1.7, class_="dot s1") for x, y in places),
    ]
    return element("svg", *parts, viewBox="0 0 60 20", role="img", aria_label=label, class_="spark")


def no_numbers(value: float) -> str:
    """The format of an axis without numbers."""
    del value
    return ""


def legend(names: Sequence[tuple[str, int]]) -> Html:
    """Returns names beside the colour of their series."""
    return element(
        "div", *(element("span", element("i"), name, class_=_color(color)) for name, color in names), class_="legend"
    )


def ticks(low: float, high: float) -> list[float]:
    """Returns round numbers between two, about four of them."""
    if not high > low:
        return [low]
    raw = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _curve(series: Series, axes: Axes) -> Html:
    places = [axes.place(x, y) for x, y in series.points]
    parts = []
    if not series.sizes:
        parts.append(element("path", element("title", series.name), d=_path(places), class_="curve"))
    if series.dots or series.sizes:
        sizes = series.sizes or [3.0] * len(places)
        for (x, y), (left, top), size in zip(series.points, places, sizes, strict=True):
            title = element("title", f"{series.name}: {axes.y_format(y)} at {axes.x_format(x)}")
            opacity = 0.7 if series.sizes else None
            parts.append(element("circle", title, class_="dot", cx=left, cy=top, r=f"{size:.1f}", opacity=opacity))
    return element("g", *parts, class_=_color(series.color) + (" thin" if series.faint else ""))


def _path(places: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places) if places else "M0 0"


def _color(number: int) -> str:
    return f"s{number % _COLORS}"


def _inside(x: float, room: float) -> float:
    return min(max(x, room), _WIDTH - room)


def _picture(parts: Sequence[Html], label: str) -> Html:
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img", aria_label=label)
