"""JSON: one object a line, or one array of objects. Why not pyarrow's reader: docs/decisions/0001-reading-tables.md."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bertune.data.formats.byte_files import open_bytes
from bertune.data.formats.text_lines import text_lines, without_ending
from bertune.data.label_words import label_word
from bertune.data.read_report import RefusedRow
from bertune.data.several_labels import Cell
from bertune.data.table import Pick, Row
from bertune.errors import DataError
from bertune.system.json_file import repeated_key
from bertune.wording.nearest import shorten

_SPACE = re.compile(r"[ \t\r\n]*")
_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a truth value",
    type(None): "null",
}
_FIRST_RECORDS = 100
_LARGEST_DOCUMENT = 1 << 30


class JsonLinesTable:
    """A file with one JSON object a line.

    The keys of the first objects are the columns. Rows may have their keys in any order; a key that is missing is a
    missing value.

    Args:
        path: the file.
        shown: how messages call it.
        encoding: None for UTF-8.

    Raises:
        DataError: no line holds an object, or the file is not in its encoding.
    """

    row_hint: str | None = None
    column_hint: str | None = None

    def __init__(self, path: Path, shown: str, encoding: str | None = None) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._file = path
        self._encoding = encoding
        self._knows_all = False
        self.names: tuple[str, ...] = self._keys(_FIRST_RECORDS)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    def complete_names(self) -> None:
        """Reads all rows for keys that the first ones lack."""
        if not self._knows_all:
            self._knows_all = True
            self.names = self._keys(None)

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows.

        Yields:
            Line and picked values of each object; a refusal for a line that is no object, repeats a key, or has a text
            that is no string or a label that is no single value. Blank lines at the end are the end.
        """
        keys = [(self.names[pick.index], pick.role) for pick in picks]
        for line, record in self._records():
            try:
                if isinstance(record, _NotUsableError):
                    raise record
                yield line, [_cell(record, key, role) for key, role in keys]
            except _NotUsableError as problem:
                yield RefusedRow(self.path, line, str(problem))

    def _records(self) -> Iterator[tuple[int, "dict[str, Any] | _NotUsableError"]]:
        blank_lines: list[int] = []
        for line, content in self._lines():
            if not content.strip():
                blank_lines.append(line)
                continue
            if blank_lines:
                yield from ((blank, _NotUsableError("the line is blank")) for blank in blank_lines)
                blank_lines.clear()
            try:
                yield line, _parse_object(content)
            except _NotUsableError as problem:
                yield line, problem

    def _lines(self) -> Iterator[tuple[int, str]]:
        with open_bytes(self._file, self.path) as file:
            for line, text in enumerate(text_lines(file, self.path, self._encoding), start=1):
                yield line, without_ending(text)

    def _keys(self, limit: int | None) -> tuple[str, ...]:
        problem: tuple[int, str] | None = None
        keys: dict[str, None] = {}
        objects = 0
        for line, record in self._records():
            if isinstance(record, dict):
                keys |= dict.fromkeys(record)
                objects += 1
            elif problem is None and str(record) != "the line is blank":
                problem = line, str(record)
                if not objects and self._is_one_document():
                    break
            if objects == limit:
                break
        if objects:
            return tuple(keys)
        if problem is None:
            raise DataError(f"{self.path} holds no rows")
        raise DataError(
            f"{self.path}:{problem[0]}: {problem[1]}",
            hint=_DOCUMENT_HINT if self._is_one_document() else "no line of the file holds a JSON object",
        )

    def _is_one_document(self) -> bool:
        """Tells whether the file begins like one JSON object over several lines."""
        return next((content.strip() for _, content in self._lines() if content.strip()), "") == "{"


_DOCUMENT_HINT = (
    "write an array of objects, or one object a line, such as pandas' to_json(FILE, orient='records', lines=True)"
)


class JsonArrayTable(JsonLinesTable):
    """A file with one JSON array of objects; the line of a row is that on which its object begins.

    The whole document is held in memory while it is read.

    Args:
        path: the file.
        shown: how messages call it.
        encoding: None for UTF-8.

    Raises:
        DataError: no array of objects, or more than 1 GiB of it.
    """

    def _records(self) -> Iterator[tuple[int, "dict[str, Any] | _NotUsableError"]]:
        document = self._document()
        decoder = json.JSONDecoder(object_pairs_hook=_Record, parse_constant=_Constant)
        line, counted, position = 1, 0, _after(document, 0, "[")
        is_first = True
        while not document.startswith("]", position):
            if not is_first:
                position = self._after_comma(document, position)
            is_first = False
            line, counted = line + document.count("\n", counted, position), position
            try:
                value, end = decoder.raw_decode(document, position)
            except (ValueError, RecursionError) as error:
                raise self._broken(document, position, error) from error
            position = _after(document, end)
            yield line, _as_record(value)
        if document[position + 1 :].strip():
            raise self._broken(document, position + 1, ValueError("text after the array"))

    def _document(self) -> str:
        if self._file.stat().st_size > _LARGEST_DOCUMENT:
            raise DataError(f"{self.path} is one document of more than 1 GiB", hint="write one object a line: .jsonl")
        with open_bytes(self._file, self.path) as file:
            return "".join(text_lines(file, self.path, self._encoding))

    def _after_comma(self, document: str, position: int) -> int:
        if not document.startswith(",", position):
            what = "cut short" if position >= len(document) else "expected a comma or the end of the array"
            raise self._broken(document, position, ValueError(what))
        return _after(document, position, ",")

    def _broken(self, document: str, position: int, error: Exception) -> DataError:
        what = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
        line = document.count("\n", 0, getattr(error, "pos", position)) + 1
        return DataError(f"{self.path}:{line}: not a JSON array of objects: {what}", hint="write the file again")


def json_table(path: Path, shown: str, encoding: str | None) -> JsonLinesTable:
    """Opens a JSON file: one array of objects where it begins with a bracket, else an object a line."""
    with open_bytes(path, shown) as file:
        lines = text_lines(file, shown, encoding)
        begin = next((line.lstrip() for line in lines if line.strip()), "")
        follows = begin[1:].strip() or next((line.strip() for line in lines if line.strip()), "")
    # Lines that are lists are rows that cannot be used; an array of rows begins with an object, or is empty.
    is_array = begin.startswith("[") and follows[:1] in ("{", "]", "")
    return (JsonArrayTable if is_array else JsonLinesTable)(path, shown, encoding)


class _Constant:
    """NaN or an infinity, which JSON does not have and Python writes nevertheless."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Record(dict[str, Any]):
    """An object, with a key that occurs twice in it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = None
        if len(self) != len(pairs):
            keys = [key for key, _ in pairs]
            self.twice = next(key for place, key in enumerate(keys) if key in keys[:place])


def _as_record(value: Any) -> "dict[str, Any] | _NotUsableError":
    if not isinstance(value, _Record):
        return _NotUsableError(f"expected a JSON object, got {_json_name(value)}")
    if value.twice is not None:
        return _NotUsableError(f"the key '{shorten(value.twice)}' occurs twice in one object")
    for item in value.values():
        if isinstance(item, _Constant):
            return _NotUsableError(f"not valid JSON: {item.name} is no JSON value")
    return value


def _after(document: str, position: int, expected: str = "") -> int:
    """Gives the place of the next sign behind an expected one and white space."""
    match = _SPACE.match(document, position)
    position = match.end() if match else position
    if expected:
        match = _SPACE.match(document, position + len(expected))
        position = match.end() if match else position
    return position


def _json_name(value: object) -> str:
    # Not by its type alone: objects of an array are of a class of their own.
    return next((name for kind, name in _JSON_NAMES.items() if isinstance(value, kind)), "a number")


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
        raise _NotUsableError(f"expected a JSON object, got {_json_name(value)}")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _NotUsableError(f"the key '{shorten(str(repeated_key(pairs)))}' occurs twice in one object")
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise _NotUsableError(f"not valid JSON: {name} is no JSON value")


def _cell(record: dict[str, Any], key: str, role: str) -> Cell:
    value = record.get(key)
    if role == "kept" and not isinstance(value, str):
        return value  # whatever it is
    if role == "labels" and isinstance(value, list):
        return tuple(_label_in_list(item, key) for item in value)
    if role in ("label", "labels", "flag", "group", "soft"):
        try:
            word = label_word(value)
        except TypeError as error:
            many = ", or many with --kind multi-label" if isinstance(value, list) else ""
            raise _NotUsableError(f"'{key}' is {_json_name(value)}, expected one label{many}") from error
    elif value is None or isinstance(value, str):
        word = value
    else:
        raise _NotUsableError(f"'{key}' is {_json_name(value)} ({shorten(str(value))}), expected a string")
    if word is not None and not word.isascii() and _has_lone_surrogate(word):
        raise _NotUsableError(f"'{key}' holds half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    return word


def _label_in_list(item: object, key: str) -> str:
    try:
        word = label_word(item)
    except TypeError:
        word = None
    if word is None or _has_lone_surrogate(word):
        name = _json_name(item)
        raise _NotUsableError(f"'{key}' holds {name} in its list ({shorten(str(item))}), expected labels")
    return word


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
