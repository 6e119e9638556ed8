"""Parquet and Arrow files, read batch by batch through pyarrow."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bertune.errors import ConfigError, DataError
from bertune.text.label_words import class_label_names, label_word
from bertune.text.read_report import RefusedRow
from bertune.text.several_labels import Cell
from bertune.text.table import Pick, Row, check_names

_BATCH_ROWS = 8192


class ArrowTable:
    """A Parquet file, or an Arrow file in the file or the stream format.

    Rows are numbered from 1. Integer labels become words where the file names them (the ClassLabel of Hugging Face
    `datasets`); there -1 stands for a missing label.

    Args:
        path: the file.
        shown: how messages call it.
        kind: which of the two.

    Raises:
        DataError: the file is damaged or names a column twice.
    """

    row_hint: str | None = None
    column_hint: str | None = None

    def __init__(self, path: Path, shown: str, kind: Literal["parquet", "arrow"]) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self._file = path
        self._batches = _parquet_batches if kind == "parquet" else _arrow_batches
        with _damage_named(shown):
            self._schema = _parquet_schema(path) if kind == "parquet" else _arrow_schema(path)
        self.names: tuple[str, ...] = tuple(self._schema.names)
        self.width = len(self.names)
        check_names(shown, self.names)

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows.

        Yields:
            Row number and picked values; a refusal for a label outside the labels that the file names.

        Raises:
            ConfigError: a text column holds something else than text, a label column no single values.
            DataError: the file is damaged.
        """
        readers = [self._cell_reader(pick) for pick in picks]
        indices = [pick.index for pick in picks]
        number = 0
        with _damage_named(self.path):
            for batch in self._batches(self._file, [self.names[index] for index in indices]):
                columns = [self._values(batch, self.names[index], number) for index in indices]
                for cells in zip(*columns, strict=True):
                    number += 1
                    try:
                        row = [read(cell) for read, cell in zip(readers, cells, strict=True)]
                    except _NotALabelError as problem:
                        yield RefusedRow(self.path, number, str(problem))
                    else:
                        yield number, row

    def _values(self, batch: Any, name: str, rows_before: int) -> list[Any]:
        column = batch.column(batch.schema.get_field_index(name))
        try:
            values: list[Any] = column.to_pylist()
        except UnicodeDecodeError as error:
            row = rows_before + 1 + _first_undecodable(column)
            raise DataError(f"{self.path}:{row}: column '{name}' holds bytes that are not UTF-8") from error
        return values

    def _cell_reader(self, pick: Pick) -> Callable[[Any], Cell]:
        kind = self._schema.field(pick.index).type
        if not _is_list(kind) or pick.role == "text":
            return self._value_reader(pick, kind)
        name = self.names[pick.index]
        if pick.role != "labels":
            raise DataError(
                f"{self.path}: column '{name}' holds {kind}, expected one label or number a row",
                hint="several labels a row are learned with --kind multi-label",
            )
        read = self._value_reader(pick, kind.value_type)

        def read_list(cell: list[Any] | None) -> Cell:
            if cell is None:
                return None
            words = tuple(word for word in map(read, cell) if word is not None)
            if len(words) != len(cell):
                raise _NotALabelError(f"'{name}' holds nothing (null or NaN) in its list, expected labels")
            return words

        return read_list

    def _value_reader(self, pick: Pick, kind: Any) -> Callable[[Any], str | None]:
        import pyarrow.types as types

        name = self.names[pick.index]
        value_kind = kind.value_type if types.is_dictionary(kind) else kind
        if _is_text(value_kind):
            return _as_it_is
        if pick.role == "text":
            raise ConfigError(f"{self.path}: column '{name}' holds {kind}, expected text")
        words = class_label_names(self._schema.metadata).get(name)
        if types.is_integer(value_kind):
            return _class_word(name, words) if words else label_word
        if types.is_float16(value_kind) or types.is_float32(value_kind):
            return _short_float_word
        if types.is_boolean(value_kind) or types.is_float64(value_kind) or types.is_null(value_kind):
            return label_word
        raise ConfigError(f"{self.path}: column '{name}' holds {kind}, expected one label or number a row")


class _NotALabelError(Exception):
    """A label that the file's own list of labels does not have."""


def _as_it_is(value: str | None) -> str | None:
    return value


def _short_float_word(value: float | None) -> str | None:
    """Writes a 32-bit float with its own digits: 0.1, not 0.10000000149011612."""
    return None if value is None else label_word(float(str(np.float32(value))))


def _class_word(name: str, words: tuple[str, ...]) -> Callable[[int | None], str | None]:
    def word_of(number: int | None) -> str | None:
        if number is None or number == -1:
            return None
        if not 0 <= number < len(words):
            raise _NotALabelError(f"'{name}' is {number}, but the file names the labels 0 to {len(words) - 1}")
        return words[number]

    return word_of


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


@contextmanager
def _damage_named(shown: str) -> Iterator[None]:
    """Turns what pyarrow says about a damaged file into one line that names it."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{shown} is damaged or cut short: {first_line}", hint="fetch or write the file again"
        ) from error


def _parquet_schema(path: Path) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        return file.schema_arrow


def _parquet_batches(path: Path, names: list[str]) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=names)


def _arrow_schema(path: Path) -> Any:
    with _open_arrow(path) as reader:
        return reader.schema


def _arrow_batches(path: Path, _names: list[str]) -> Iterator[Any]:
    with _open_arrow(path) as reader:
        if hasattr(reader, "num_record_batches"):
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield from reader


@contextmanager
def _open_arrow(path: Path) -> Iterator[Any]:
    """Opens the file format where the file begins with its magic, else the stream format (`datasets` caches)."""
    import pyarrow
    import pyarrow.ipc

    with pyarrow.memory_map(str(path)) as source:
        is_file_format = source.read(6) == b"ARROW1"
        source.seek(0)
        with pyarrow.ipc.open_file(source) if is_file_format else pyarrow.ipc.open_stream(source) as reader:
            yield reader


def _first_undecodable(column: Any) -> int:
    for position in range(len(column)):
        try:
            column[position].as_py()
        except UnicodeDecodeError:
            return position
    return 0
