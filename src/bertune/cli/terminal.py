"""What goes where: results to standard output, everything else to standard error."""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from bertune.wording.printed_lines import lines_on, printable, say

__all__ = ["keep_quiet", "printable", "say", "show", "show_json"]

# What of the characters that steer a terminal JSON itself leaves as it is.
_STEERING_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def keep_quiet(line: str) -> None:
    """Takes a line and writes nothing, for --quiet."""


def show(lines: Iterable[str]) -> None:
    """Writes a result for people to standard output."""
    for line in lines:
        sys.stdout.writelines(f"{part}\n" for part in lines_on(sys.stdout, line))


def show_json(values: Any) -> None:
    """Writes one JSON document to standard output."""
    sys.stdout.write(json_text(values, indent=2) + "\n")


def json_text(values: Any, *, indent: int | None = None) -> str:
    """Writes values as JSON whose texts cannot steer a terminal: their control characters are escaped, the rest is not.

    Args:
        values: of types that JSON knows.
        indent: see `json.dumps`.
    """
    # Half of a surrogate pair can stand deep inside a value; its escape is what JSON has for it.
    text = json.dumps(values, ensure_ascii=False, indent=indent, allow_nan=False)
    text = text.encode("utf-8", "backslashreplace").decode()
    return _STEERING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable_cells(lines: str) -> str:
    """Replaces the same but for line ends, which cells in quotes may hold."""
    return re.sub(r"[^\r\n]+", lambda part: printable(part[0]), lines)
