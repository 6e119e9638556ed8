"""Columns and sentences in the width of a terminal: plain text, nothing to the right of the last word."""

import os
import re
import sys
import unicodedata
from collections.abc import Collection, Sequence
from typing import Final, TextIO

_USUAL: Final = 80
_NARROWEST: Final = 20
_WIDEST: Final = 200
_GAP: Final = 2
# Below these a shortened name says nothing any more.
_LEAST_NAME: Final = 12
_LEAST_HEADING: Final = 6
_LEAST_TEXT: Final = 16
_LINES_OF_TEXT: Final = 3


def output_width(stream: TextIO | None = None) -> int:
    """Gives the columns that may be filled: ``COLUMNS`` where it is positive, else the terminal's, else 80.

    Args:
        stream: written to; standard output by default.

    Returns:
        From 20 to 200.
    """
    given = os.environ.get("COLUMNS", "")
    width = int(given) if given.isascii() and given.isdecimal() else 0
    if not width:
        try:
            width = os.get_terminal_size((stream or sys.stdout).fileno()).columns
        except (AttributeError, OSError, ValueError):
            width = 0
    return min(max(width, _NARROWEST), _WIDEST) if width else _USUAL


def cells(text: str) -> int:
    """Gives how many columns a text takes: two for a wide character, none for one that is written over another."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(letter) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def shortened(text: str, width: int) -> str:
    """Gives a name of at most so many columns, with … in its middle where it was longer."""
    if cells(text) <= width:
        return text
    tail = _first(text[::-1], (width - 1) // 2)[::-1]
    return f"{_first(text, width - 1 - cells(tail))}…{tail}"


def wrapped(line: str, width: int) -> list[str]:
    """Breaks a line at spaces; what follows is indented by two more. A word is never broken, however long.

    Args:
        line: without line ends.
        width: columns.
    """
    if cells(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    return _filled(line.lstrip(" "), width, indent, indent + "  ")


def aligned(
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    left: Collection[int] = (),
    texts: Collection[int] = (),
    names_above: bool = False,
) -> list[str]:
    """Lays out a table.

    The first column and those without a heading stand to the left, numbers to the right. What is too wide is made to
    fit: headings are broken at spaces, then names are shortened; numbers never are, so that a table of many columns
    can still be wider.

    Args:
        rows: the headings, then the rows; as many cells each.
        width: columns to fill; None asks `output_width`.
        left: further columns that stand to the left.
        texts: columns of texts, which are broken at spaces inside their column, into three lines at most.
        names_above: the headings are names, which are shortened and not broken.

    Returns:
        Lines.
    """
    width = output_width() if width is None else width
    head, *body = [list(row) for row in rows]
    to_left = [place == 0 or not name or place in left or place in texts for place, name in enumerate(head)]
    heads = [cells(name) for name in head]
    bodies = [max((cells(row[place]) for row in body), default=0) for place in range(len(head))]
    room = width - _GAP * (len(head) - 1)
    if sum(map(max, heads, bodies)) > room and not names_above:
        heads = [
            max(_in_two_lines(name), min(size, body)) for name, size, body in zip(head, heads, bodies, strict=True)
        ]
    widths = [min(max(pair), max(room, 1)) for pair in zip(heads, bodies, strict=True)]
    least = [
        min(size, _LEAST_TEXT if place in texts else _LEAST_NAME if to_left[place] else max(_LEAST_HEADING, body))
        for place, (size, body) in enumerate(zip(widths, bodies, strict=True))
    ]
    _shrink(widths, least, room, first=texts)
    _shrink(widths, least, room, first=range(len(widths)))
    lines = _row([_heading(name, size) for name, size in zip(head, widths, strict=True)], widths, to_left, at_end=True)
    for row in body:
        laid_out = [
            _text(cell, size)
            if place in texts
            else [shortened(cell, size) if head[place] or place == 0 else _ended(cell, size)]
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines += _row(laid_out, widths, to_left, at_end=False)
    return lines


def _shrink(widths: list[int], least: Sequence[int], room: int, *, first: Collection[int]) -> None:
    """Takes columns from the widest, until all fit."""
    while sum(widths) > room:
        wide = [place for place in first if widths[place] > least[place]]
        if not wide:
            return
        widths[max(wide, key=lambda place: widths[place])] -= 1


def _row(content: list[list[str]], widths: Sequence[int], to_left: Sequence[bool], *, at_end: bool) -> list[str]:
    """Puts the cells of one row beside each other, each of one line or more."""
    height = max(map(len, content))
    filled = [[""] * (height - len(lines)) + lines if at_end else lines + [""] * height for lines in content]
    return [
        (" " * _GAP)
        .join(
            line + " " * (width - cells(line)) if left else " " * (width - cells(line)) + line
            for line, width, left in zip(lines, widths, to_left, strict=True)
        )
        .rstrip()
        for lines in [[cell[number] for cell in filled] for number in range(height)]
    ]


def _in_two_lines(name: str) -> int:
    """Gives the least width in which a heading is two lines at most."""
    words = name.split(" ")
    halves = (max(cells(" ".join(words[:cut])), cells(" ".join(words[cut:]))) for cut in range(1, len(words) + 1))
    return min(halves)


def _heading(name: str, width: int) -> list[str]:
    lines = _filled(name, width, "", "")
    return lines if len(lines) <= 2 and max(map(cells, lines)) <= width else [shortened(name, width)]


def _text(text: str, width: int) -> list[str]:
    # No more than can be shown: a text may have millions of characters.
    lines = [_ended(line, width) for line in _filled(text[: 2 * _LINES_OF_TEXT * width], width, "", "")]
    if len(lines) <= _LINES_OF_TEXT:
        return lines
    return [*lines[: _LINES_OF_TEXT - 1], _first(lines[_LINES_OF_TEXT - 1], width - 1).rstrip("… ") + "…"]


def _filled(text: str, width: int, first: str, then: str) -> list[str]:
    """Fills lines with words; the spaces between two words of a line stay as they are."""
    lines, line, gap = [], "", first
    for part in re.split("( +)", text):
        if not part.strip(" "):
            gap = part
        elif line and cells(line + gap + part) > width:
            lines.append(line)
            line = then + part
        else:
            line += (gap if line else first) + part
    return [*lines, line]


def _ended(text: str, width: int) -> str:
    return text if cells(text) <= width else _first(text, width - 1).rstrip() + "…"


def _first(text: str, width: int) -> str:
    """Gives as much of a text as so many columns hold."""
    taken = ""
    for letter in text:
        if cells(taken + letter) > width:
            break
        taken += letter
    return taken
