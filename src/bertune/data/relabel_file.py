"""Decisions on the labels of training rows, as a table: which row, what it said, what it is to say.

Rows are found by file and line, and told by a digest of their texts, so that a table that has changed since is noticed.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final, Literal, get_args

from bertune.data.missing_path import near_path
from bertune.errors import DataError
from bertune.system.bounded_file import read_bounded
from bertune.wording.excerpt import KEPT_CHARACTERS, excerpt
from bertune.wording.nearest import shorten

Choice = Literal["accept", "change", "skip"]
"""The label is right, is to be another, or the row is to be left out."""

_MAX_BYTES: Final = 100_000_000
_HINT: Final = "such a table is made in the report of a run: bertune serve RUN"


@dataclass(frozen=True)
class Relabel:
    """A decision on the label of one training row, as a line of the table has it.

    Args:
        file: of the row, as its run named it.
        line: of the row in that file, from 1.
        texts: their digest, see `digest_of`.
        label: that the row had, see `label_text`.
        decision: what becomes of it.
        new_label: in its place; empty unless it is changed.
    """

    file: str
    line: int
    texts: str
    label: str
    decision: Choice
    new_label: str = ""


_COLUMNS: Final = tuple(field.name for field in fields(Relabel))


def digest_of(text_a: str, text_b: str | None) -> str:
    """Returns a digest of the texts of a row as a run keeps them: of long ones the beginning and the length."""
    kept = [None if text is None else excerpt(text, KEPT_CHARACTERS) for text in (text_a, text_b)]
    return f"sha256:{hashlib.sha256(json.dumps(kept, allow_nan=False).encode()).hexdigest()[:32]}"


def label_text(target: str | float | Sequence[str]) -> str:
    """Returns a label as the table has it: a word, a number, or of several labels a JSON list in alphabetical order."""
    if isinstance(target, str):
        return target
    if isinstance(target, int | float):
        return repr(float(target))
    return json.dumps(sorted(target), ensure_ascii=False, allow_nan=False)


def relabels_text(relabels: Iterable[Relabel]) -> str:
    """Returns the table as CSV."""
    written = io.StringIO()
    csv.writer(written).writerows([_COLUMNS, *map(astuple, relabels)])
    return written.getvalue()


def read_relabels(path: Path) -> dict[int, Relabel]:
    """Reads a table of decisions.

    Returns:
        Each decision by its line in the table, from 1.

    Raises:
        DataError: there is no such file, or a line is none of such a table, or decides on a row twice; names it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file", hint=near_path(path) or _HINT)
    try:
        # Programs for tables put the mark of their encoding first.
        text = read_bounded(path, _MAX_BYTES, error=DataError).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8", hint="save it as CSV in UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[int, Relabel] = {}
    first: dict[tuple[str, int], int] = {}
    try:
        header = next(reader, [])
        if tuple(header) != _COLUMNS:
            raise DataError(
                f"{path}:1: the columns are {shorten(','.join(header), 100)!r}, not {','.join(_COLUMNS)}", hint=_HINT
            )
        begins = reader.line_num + 1
        for cells in reader:
            if cells:
                found[begins] = relabel = _relabel_in(cells, f"{path}:{begins}")
                earlier = first.setdefault((relabel.file, relabel.line), begins)
                if earlier != begins:
                    raise DataError(
                        f"{path}:{begins}: {relabel.file}:{relabel.line} is decided on in line {earlier}, too",
                        hint="leave one of them out",
                    )
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error}", hint=_HINT) from error
    return found


def _relabel_in(cells: Sequence[str], where: str) -> Relabel:
    if len(cells) != len(_COLUMNS):
        raise DataError(f"{where}: {len(cells)} cells, expected {len(_COLUMNS)}", hint=_HINT)
    file, line, texts, label, decision, new_label = cells
    if not (line.isascii() and line.isdecimal()) or len(line) > 15:
        raise DataError(f"{where}: the line is {shorten(line)!r}, not a number", hint=_HINT)
    choice = next((choice for choice in get_args(Choice) if choice == decision), None)
    if choice is None:
        raise DataError(f"{where}: the decision is {shorten(decision)!r}", hint=f"one of {', '.join(get_args(Choice))}")
    if (choice == "change") != bool(new_label):
        told = "no new label" if choice == "change" else f"the new label {shorten(new_label)!r}"
        raise DataError(f"{where}: {choice} with {told}", hint="a new label belongs to change, and to it alone")
    return Relabel(file, int(line), texts, label, choice, new_label)
