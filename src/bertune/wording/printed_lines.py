"""Lines for people: broken to the width of a terminal, without what could steer it."""

import contextlib
import re
import sys
from typing import TextIO

from bertune.wording.aligned import output_width, wrapped

# Control characters but the tab, and what turns the direction of text: they could steer the terminal. All else is text.
_STEERING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def say(line: str) -> None:
    """Writes a line about what is going on to standard error; a reader that has closed stops nothing."""
    with contextlib.suppress(OSError):
        sys.stderr.write("".join(f"{part}\n" for part in lines_on(sys.stderr, line)))
        sys.stderr.flush()


def lines_on(stream: TextIO, line: str) -> list[str]:
    """Makes a line printable; on a terminal it is broken at spaces where it is too wide, elsewhere it stays one."""
    shown = printable(line)
    return wrapped(shown, output_width(stream)) if stream.isatty() else [shown]


def printable(line: str) -> str:
    """Replaces characters that could steer the terminal by U+FFFD."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", line)
