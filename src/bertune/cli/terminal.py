"""What goes where: results to standard output, everything else to standard error."""

import contextlib
import json
import re
import sys
from collections.abc import Iterable
from typing import Any

# Control characters but the tab, and what turns the direction of text: they could steer the terminal. All else is text.
_STEERING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def say(line: str) -> None:
    """Writes a line about what is going on to standard error; a reader that went away stops nothing."""
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def keep_quiet(line: str) -> None:
    """Takes a line and writes nothing, for --quiet."""


def show(lines: Iterable[str]) -> None:
    """Writes a result for people to standard output."""
    for line in lines:
        sys.stdout.write(printable(line) + "\n")


def show_data(lines: Iterable[str]) -> None:
    """Writes lines for programs to standard output, to the letter."""
    for line in lines:
        sys.stdout.write(line + "\n")


def show_json(values: Any) -> None:
    """Writes one JSON document to standard output."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False, indent=2) + "\n")


def printable(line: str) -> str:
    """Replaces characters that could steer the terminal by U+FFFD."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", line)
