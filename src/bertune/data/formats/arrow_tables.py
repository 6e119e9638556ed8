"""Parquet and Arrow files, read batch by batch through pyarrow."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertune.data.formats.arrow_batches import Kind, is_list, is_text, read_batches, read_schema
from bertune.data.label_words import class_label_names, label_word
from bertune.data.read_report import RefusedRow
from bertune.data.several_labels import Cell
from bertune.data.table import Pick, Row
from bertune.errors import ConfigError, DataError


class ArrowTable:
    """A Parquet file, or an Arrow file in the file or the stream format.

    Rows are numbered from 1. Integer labels become words where the file names them (the ClassLabel of Hugging Face
    `datasets`); there -1 stands for a missing label.

    Args:
        path: the file.
        shown: how messages call it.
        kind: which of the two.

    Raises:
        DataError: the file is damaged.
    """

    row_hint: str | None = None
    column_hint: str | None = None

    def __init__(self, path: Path, shown: str, kind: Kind) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._file = path
        self._kind: Kind = kind
        self._schema = read_schema(path, shown, kind)
        self.names: tuple[str, ...] = tuple(self._schema.names)
        self.width = len(self.names)

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
        # Scalars of the file's own types lose nothing: Python has no nanoseconds, and no float32.
        values = [_scalars if pick.role == "kept" else _values for pick in picks]
        number = 0
        for batch in self._read(list(dict.fromkeys(self.names[index] for index in indices))):
            columns = [
                read(batch.column(self._place_in(batch, index))) for read, index in zip(values, indices, strict=True)
            ]
            for cells in zip(*columns, strict=True):
                number += 1
                try:
                    row = [read(cell) for read, cell in zip(readers, cells, strict=True)]
                except _NotALabelError as problem:
                    yield RefusedRow(self.path, number, str(problem))
                else:
                    yield number, row

    def type_at(self, index: int) -> Any:
        """Gives the type of a column's values, as pyarrow's; of a dictionary that of its values."""
        import pyarrow.types as types

        kind = self._schema.field(index).type
        return kind.value_type if types.is_dictionary(kind) else kind

    def _read(self, names: list[str]) -> Iterator[Any]:
        """Reads the batches, of all columns with one of the names at least, in their order."""
        return read_batches(self._file, self.path, self._kind, names)

    def _place_in(self, batch: Any, index: int) -> int:
        """Finds a column of the table in a batch; of those with the same name by its turn among them."""
        name = self.names[index]
        place: int = batch.schema.get_all_field_indices(name)[self.names[:index].count(name)]
        return place

    def _cell_reader(self, pick: Pick) -> Callable[[Any], Cell]:
        if pick.role == "kept":
            return _as_it_is
        kind = self._schema.field(pick.index).type
        if not is_list(kind) or pick.role == "text":
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
        if is_text(value_kind):
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


def _scalars(column: Any) -> list[Any]:
    return list(column)


def _values(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values
