"""A stretch of the rows of any number of files, block by block, each row with its place: memory is that of a block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bertune.data.examples import Examples, ReadReport
from bertune.data.formats.arrow_tables import ArrowTable
from bertune.data.kept_columns import KeptColumns
from bertune.data.row_source import RowSource
from bertune.data.splits import stream_split
from bertune.data.table import NoColumnError, find_column
from bertune.data.table_opening import open_table
from bertune.errors import ConfigError, DataError

_ROWS_PER_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row of a file, whether it could be read or not.

    Args:
        path: of the file, as messages name it.
        row: its number in the file, from 1, not counting the header.
        line: the line on which it begins; row number for Parquet and Arrow.
        texts: its one or two texts; None where it could not be read.
        kept: cells of the columns that are kept.
        reason: why it could not be read.
    """

    path: str
    row: int
    line: int
    texts: tuple[str, ...] | None
    kept: Sequence[Any]
    reason: str | None


@dataclass(frozen=True)
class RowBlock:
    """Rows that follow each other.

    Args:
        rows: in their order.
    """

    rows: list[PlacedRow]

    def examples(self) -> Examples:
        """Gives the rows that could be read."""
        read = [row for row in self.rows if row.texts is not None]
        texts = [row.texts for row in read if row.texts is not None]
        is_pair = bool(texts) and len(texts[0]) == 2
        return Examples(
            texts_a=[pair[0] for pair in texts],
            texts_b=[pair[1] for pair in texts] if is_pair else None,
            labels=None,
            lines=[row.line for row in read],
            report=ReadReport(self.rows[0].path, len(read), len(read), [], 0),
            paths=[row.path for row in read],
        )


def row_blocks(
    source: RowSource, counts: Sequence[int], wanted: range, size: int, *, kept: Sequence[str] = ()
) -> Iterator[RowBlock]:
    """Reads a stretch of the rows of all files, those that cannot be used among them.

    Files without a row of the stretch are not opened, and nothing is read behind its end.

    Args:
        source: the files.
        counts: rows of each of `source.files()`, used or not.
        wanted: the rows, from 0, one file behind the other.
        size: rows of a block; the last may have fewer.
        kept: names of columns that are kept.

    Raises:
        ConfigError: there is no such column.
        DataError: the files cannot be read, or have not as many rows as was said.
    """
    columns = KeptColumns(kept) if kept else None
    block: list[PlacedRow] = []
    position = 0
    for file, count in zip(source.files(), counts, strict=True):
        first, position = position, position + count
        if max(first, wanted.start) >= min(position, wanted.stop):
            continue
        for number, row in _rows_of(file, first, wanted, columns):
            if number >= position:
                raise DataError(f"{file} changed while it was read", hint="run the command again when it is still")
            block.append(row)
            if len(block) == size:
                yield RowBlock(block)
                block = []
            if number + 1 == wanted.stop:
                break
        else:
            if number + 1 < min(position, wanted.stop):
                raise DataError(f"{file} changed while it was read", hint="run the command again when it is still")
    if block:
        yield RowBlock(block)


def _rows_of(
    file: RowSource, first: int, wanted: range, columns: KeptColumns | None
) -> Iterator[tuple[int, PlacedRow]]:
    """Yields the rows of one file from where the stretch begins, each with its position among those of all files."""
    position, row, path = first, 0, ""
    for examples in stream_split(
        file.split,
        columns=file.columns,
        reading=file.reading,
        require_label=file.require_label,
        rows_per_chunk=_ROWS_PER_CHUNK,
        kept=columns,
    ):
        refused = examples.report.refused
        if examples.report.path != path:
            path, row = examples.report.path, 0
        rows = len(examples) + len(refused)
        if position + rows > wanted.start:
            for offset, (line, number, reason) in enumerate(_in_order(examples)):
                if position + offset >= wanted.start:
                    cells: Sequence[Any] = () if columns is None else columns.cells(path, line)
                    texts = None if number is None else _texts_of(examples, number)
                    yield position + offset, PlacedRow(path, row + offset + 1, line, texts, cells, reason)
        position, row = position + rows, row + rows
        if columns is not None:
            columns.forget()


def _in_order(examples: Examples) -> list[tuple[int, int | None, str | None]]:
    """Gives line, number of the example and why there is none, by line."""
    used: list[tuple[int, int | None, str | None]] = [
        (line, number, None) for number, line in enumerate(examples.lines)
    ]
    refused = examples.report.refused
    if not refused:
        return used
    return sorted([*used, *((row.line, None, row.reason) for row in refused)], key=lambda entry: entry[0])


def _texts_of(examples: Examples, number: int) -> tuple[str, ...]:
    if examples.texts_b is None:
        return (examples.texts_a[number],)
    return examples.texts_a[number], examples.texts_b[number]


def kept_types(source: RowSource, names: Sequence[str]) -> list[Any]:
    """Gives the type that each kept column has in every file, as pyarrow's: that of Parquet and Arrow, else a string.

    Args:
        source: the files.
        names: of the columns.

    Raises:
        ConfigError: a file has no such column, or the rows come from no plain tables.
    """
    import pyarrow

    split = source.split
    if not split.paths or split.mrpc is not None or split.tfds is not None:
        raise ConfigError(f"{split} is no plain table, so no columns can be kept", hint="leave --key out")
    found: set[tuple[Any, ...]] = set()
    for path in split.paths:
        table = open_table(path, source.reading, header=split.header, columns=source.columns)
        try:
            places = [find_column(table, name) for name in names]
        except NoColumnError as error:
            # Readers say how to name the columns of the texts; this is another one.
            raise ConfigError(error.message, hint=error.hint) from error
        if not isinstance(table, ArrowTable):
            return [pyarrow.string()] * len(names)
        found.add(tuple(map(table.type_at, places)))
    return list(found.pop()) if len(found) == 1 else [pyarrow.string()] * len(names)
