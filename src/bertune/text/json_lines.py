"""JSON Lines: one object a line. Why not pyarrow's reader: docs/decisions/0001-reading-tables.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bertune.errors import DataError
from bertune.text.label_words import label_word
from bertune.text.nearest import shorten
from bertune.text.read_report import RefusedRow
from bertune.text.several_labels import Cell
from bertune.text.table import Pick, Row
from bertune.text.text_lines import text_lines, without_ending

_JSON_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}


class JsonLinesTable:
    """A file with one JSON object a line.

    The keys of the first object are the columns. Later rows may have their keys in any order and more of them; a key
    that is missing is a missing value.

    Args:
        path: the file.
        shown: how messages call it.

    Raises:
        DataError: no line holds an object, or the file is not UTF-8.
    """

    row_hint: str | None = None
    column_hint: str | None = None

    def __init__(self, path: Path, shown: str) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self._file = path
        self.names: tuple[str, ...] = self._first_keys()
        self.width = len(self.names)

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows.

        Yields:
            Line and picked values of each object; a refusal for a line that is no object, repeats a key, or has a text
            that is no string or a label that is no single value. Blank lines at the end are the end.
        """
        keys = [(self.names[pick.index], pick.role) for pick in picks]
        blank_lines: list[int] = []
        for line, content in self._lines():
            if not content.strip():
                blank_lines.append(line)
                continue
            if blank_lines:
                yield from (RefusedRow(self.path, blank, "the line is blank") for blank in blank_lines)
                blank_lines.clear()
            try:
                record = _parse_object(content)
                yield line, [_cell(record, key, role) for key, role in keys]
            except _NotUsableError as problem:
                yield RefusedRow(self.path, line, str(problem))

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self._file.open("rb") as file:
            for line, text in enumerate(text_lines(file, self.path), start=1):
                yield line, without_ending(text)

    def _first_keys(self) -> tuple[str, ...]:
        problem: tuple[int, str] | None = None
        for line, content in self._lines():
            if not content.strip():
                continue
            try:
                return tuple(_parse_object(content))
            except _NotUsableError as error:
                problem = problem or (line, str(error))
                if content.lstrip().startswith("[") or content.strip() == "{":
                    raise DataError(
                        f"{self.path}:{line}: {error}", hint="write one object a line (JSON Lines), not one document"
                    ) from error
        if problem is None:
            raise DataError(f"{self.path} holds no rows")
        raise DataError(f"{self.path}:{problem[0]}: {problem[1]}", hint="no line of the file holds a JSON object")


class _NotUsableError(Exception):
    """A line that is refused, and why."""


def _parse_object(content: str) -> dict[str, Any]:
    try:
        value = json.loads(content, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _NotUsableError("JSON nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _NotUsableError(f"not valid JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:
        raise _NotUsableError(f"not usable JSON: {shorten(str(error))}") from error
    if not isinstance(value, dict):
        raise _NotUsableError(f"expected a JSON object, got {_JSON_NAMES.get(type(value), 'a number')}")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _NotUsableError(f"the key '{shorten(key)}' occurs twice in one object")
            seen.add(key)
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise _NotUsableError(f"not valid JSON: {name} is no JSON value")


def _cell(record: dict[str, Any], key: str, role: str) -> Cell:
    value = record.get(key)
    if role == "labels" and isinstance(value, list):
        return tuple(_label_in_list(item, key) for item in value)
    if role in ("label", "labels", "flag"):
        try:
            word = label_word(value)
        except TypeError as error:
            many = ", or many with --kind multi-label" if isinstance(value, list) else ""
            raise _NotUsableError(f"'{key}' is {_JSON_NAMES[type(value)]}, expected one label{many}") from error
    elif value is None or isinstance(value, str):
        word = value
    else:
        raise _NotUsableError(
            f"'{key}' is {_JSON_NAMES.get(type(value), 'a number')} ({shorten(str(value))}), expected a string"
        )
    if word is not None and not word.isascii() and _has_lone_surrogate(word):
        raise _NotUsableError(f"'{key}' holds half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    return word


def _label_in_list(item: object, key: str) -> str:
    try:
        word = label_word(item)
    except TypeError:
        word = None
    if word is None or _has_lone_surrogate(word):
        name = _JSON_NAMES.get(type(item), "a number")
        raise _NotUsableError(f"'{key}' holds {name} in its list ({shorten(str(item))}), expected labels")
    return word


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
