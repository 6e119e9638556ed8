"""What goes where: results to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterable
from typing import Any


def say(line: str) -> None:
    """Writes a line about what is going on to standard error."""
    sys.stderr.write(_printable(line) + "\n")
    sys.stderr.flush()


def keep_quiet(line: str) -> None:
    """Takes a line and writes nothing, for --quiet."""


def show(lines: Iterable[str]) -> None:
    """Writes a result to standard output."""
    sys.stdout.write("".join(_printable(line) + "\n" for line in lines))


def show_json(values: Any) -> None:
    """Writes one JSON document to standard output."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False, indent=2) + "\n")


def _printable(line: str) -> str:
    """Takes control characters out, so that text from data cannot steer the terminal; tabs stay."""
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)
