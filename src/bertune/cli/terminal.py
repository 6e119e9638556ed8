"""What goes where: results to standard output, everything else to standard error."""

import re
import sys
from collections.abc import Iterable
from typing import Any

from bertune.wording.printed_json import json_text
from bertune.wording.printed_lines import lines_on, printable, say

__all__ = ["keep_quiet", "printable", "say", "show", "show_json"]


def keep_quiet(line: str) -> None:
    """Takes a line and writes nothing, for --quiet."""


def show(lines: Iterable[str]) -> None:
    """Writes a result for people to standard output."""
    for line in lines:
        sys.stdout.writelines(f"{part}\n" for part in lines_on(sys.stdout, line))


def show_json(values: Any) -> None:
    """Writes one JSON document to standard output."""
    sys.stdout.write(json_text(values, indent=2) + "\n")


def printable_cells(lines: str) -> str:
    """Replaces the same but for line ends, which cells in quotes may hold."""
    return re.sub(r"[^\r\n]+", lambda part: printable(part[0]), lines)
