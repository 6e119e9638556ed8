"""Predictions as lines and files: CSV, TSV, JSON Lines and Parquet."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from bertune.errors import DataError
from bertune.evaluation.prediction_rows import PredictionColumns, PredictionRow
from bertune.system.atomic import replaced_file
from bertune.system.json_file import JsonObject
from bertune.wording.printed_json import json_text

PredictionFormat = Literal["csv", "tsv", "jsonl", "parquet"]

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
# What makes a spreadsheet compute a cell, in ASCII and in the wide forms that it takes for the same.
_FORMULA: Final = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_USUAL_SEPARATOR: Final = ";"
_LARGEST_INTEGER: Final = 1 << 63


def write_predictions(
    path: Path,
    kind: PredictionFormat,
    columns: PredictionColumns,
    rows: Iterable[PredictionRow],
    *,
    formula_safe: bool = False,
) -> None:
    """Writes predictions into a file, whole or not at all.

    Args:
        path: the file; one that exists is replaced.
        kind: its format.
        columns: of the rows.
        rows: the predictions.
        formula_safe: whether cells that a spreadsheet would compute get a ' in front.

    Raises:
        DataError: a kept value that the format cannot hold; names the column.
    """
    with replaced_file(path) as temporary:
        if kind == "parquet":
            _write_parquet(temporary, columns, rows)
            return
        lines = (
            json_lines(columns, rows)
            if kind == "jsonl"
            else delimited_lines(columns, rows, _DELIMITERS[kind], formula_safe=formula_safe)
        )
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(lines)


def delimited_lines(
    columns: PredictionColumns,
    rows: Iterable[PredictionRow],
    delimiter: str,
    *,
    formula_safe: bool = False,
    header: bool = True,
) -> Iterator[str]:
    r"""Yields a table line by line, each with its ``\n``; a cell with a line end in it is in quotes.

    Quoting is that of RFC 4180: a cell is put in double quotes where it holds the delimiter, a quote or a line end, and
    a quote in it is doubled. Nothing else of a text is changed.

    Args:
        columns: of the rows.
        rows: the predictions.
        delimiter: one character.
        formula_safe: as for `write_predictions`.
        header: whether the first line names the columns.
    """
    line = _Line()
    # With both in the line end, a cell with either of them is put in quotes; before Python 3.13 nothing else does that.
    writer = csv.writer(line, delimiter=delimiter, lineterminator="\r\n")
    safe: Callable[[str], str] = _without_formula if formula_safe else str
    first, last = len(columns.place), len(columns.place) + len(columns.kept)
    separator = _separator(columns)
    if header:
        writer.writerow(map(safe, columns.names))
        yield line.text
    for row in rows:
        cells = columns.cells(row)
        place = [safe(str(value)) for value in cells[:first]]
        kept = [safe(_kept_text(value, name)) for value, name in zip(cells[first:last], columns.kept, strict=True)]
        predicted = [
            safe(_prediction_text(value, separator))
            if isinstance(value, str | list)
            else _prediction_text(value, separator)
            for value in cells[last:]
        ]
        writer.writerow([*place, *kept, *predicted])
        yield line.text


def json_lines(columns: PredictionColumns, rows: Iterable[PredictionRow]) -> Iterator[str]:
    r"""Yields one JSON object a row, each with its ``\n``."""
    for row in rows:
        yield json_line(json_record(columns, row))


def json_record(columns: PredictionColumns, row: PredictionRow) -> JsonObject:
    """Returns a row as one object of JSON's own types."""
    kept = [_json_value(value, name) for value, name in zip(row.kept, columns.kept, strict=True)]
    return columns.record(PredictionRow(row.place, kept, row.prediction, row.not_read))


def json_line(record: JsonObject) -> str:
    r"""Writes one object as a line of JSON, with what could steer a terminal as escapes."""
    return json_text(record) + "\n"


class _Line:
    """What a writer of rows writes into: the row just written, with a line feed at its end."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text.removesuffix("\r\n") + "\n"


def _without_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _separator(columns: PredictionColumns) -> str | None:
    """Returns what stands between several labels in a cell; None where a list of JSON must stand there."""
    separator = columns.signature.label_separator or _USUAL_SEPARATOR
    return None if any(separator in label for label in columns.signature.labels) else separator


def _prediction_text(value: Any, separator: str | None) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, allow_nan=False) if separator is None else separator.join(value)
    if isinstance(value, float):
        return f"{value:.9g}"  # as many digits as tell the 32-bit numbers of the model apart
    return "" if value is None else str(value)


def _kept_text(value: Any, name: str) -> str:
    """Writes a kept value as the text of a cell: a string as it is, another value as JSON or Arrow write it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if hasattr(value, "as_py"):
        return _scalar_text(value, name)
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace").decode()


def _scalar_text(value: Any, name: str) -> str:
    import pyarrow
    import pyarrow.types as types

    if not value.is_valid:
        return ""
    if types.is_nested(value.type):
        nested = _finite(value.as_py())
        return json.dumps(nested, ensure_ascii=False, allow_nan=False, default=str)
    try:
        return str(value.cast(pyarrow.string()).as_py())
    except pyarrow.ArrowNotImplementedError:
        return str(value.as_py())
    except (pyarrow.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(
            f"column '{name}' holds bytes that are no text, which only .parquet can keep",
            hint="write .parquet, or name the other columns with --keep",
        ) from error


def _json_value(value: Any, name: str) -> Any:
    """Returns a kept value in a type of JSON."""
    if not hasattr(value, "as_py"):
        return value
    import pyarrow.types as types

    kind = value.type
    if not value.is_valid:
        return None
    if types.is_boolean(kind) or types.is_integer(kind):
        return value.as_py()
    if types.is_floating(kind):
        # A float32 has the digits that it was written with, 0.1 and not 0.10000000149011612.
        number = value.as_py() if types.is_float64(kind) else float(str(np.float32(value.as_py())))
        return number if math.isfinite(number) else None
    if types.is_nested(kind):
        return json.loads(_scalar_text(value, name))
    return _scalar_text(value, name)


def _finite(value: Any) -> Any:
    """Puts None in the place of numbers that JSON does not have, however deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _write_parquet(path: Path, columns: PredictionColumns, rows: Iterable[PredictionRow]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = [columns.cells(row) for row in rows]
    first, last = len(columns.place), len(columns.place) + len(columns.kept)
    names = columns.names
    arrays = []
    for place, name in enumerate(names):
        values = [cells[place] for cells in table]
        arrays.append(_kept_array(values, name) if first <= place < last else pyarrow.array(values, _own_type(values)))
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), path)


def _own_type(values: Sequence[Any]) -> Any:
    import pyarrow

    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), list: pyarrow.list_(pyarrow.string())}
    return kinds.get(next((type(value) for value in values if value is not None), str), pyarrow.string())


def _kept_array(values: Sequence[Any], name: str) -> Any:
    """Returns a kept column in its own type: that of the file, or the one type that all values of JSON have."""
    import pyarrow

    found = {value.type for value in values if hasattr(value, "as_py")}
    if len(found) == 1:
        return _typed_array(values, found.pop())
    kinds = {type(value) for value in values if value is not None}
    for kind, arrow in ((bool, pyarrow.bool_()), (int, pyarrow.int64()), (float, pyarrow.float64())):
        if kinds == {kind} and (kind is not int or all(_fits(value) for value in values)):
            return pyarrow.array(values, arrow)
    # Values of several types are text, as in a table of text.
    return pyarrow.array([None if value is None else _kept_text(value, name) for value in values], pyarrow.string())


def _typed_array(values: Sequence[Any], kind: Any) -> Any:
    import pyarrow
    import pyarrow.types as types

    values = [value if value is not None and value.is_valid else None for value in values]
    if types.is_dictionary(kind):
        kind = kind.value_type
        values = [value if value is None else value.cast(kind) for value in values]
    return pyarrow.array(values, kind)


def _fits(value: int | None) -> bool:
    return value is None or -_LARGEST_INTEGER <= value < _LARGEST_INTEGER
