"""Tables of any format as examples, with an account of every row."""

import math
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

from bertune.data.example_builder import ExampleBuilder
from bertune.data.examples import Columns, Examples, RefusedRow
from bertune.data.formats.arriving_lines import nothing_in, texts_of_line
from bertune.data.formats.delimited import DelimitedTable
from bertune.data.formats.excel import ExcelTable
from bertune.data.formats.text_files import TextFolderTable
from bertune.data.formats.text_lines import text_lines
from bertune.data.read_options import OnBadRow, Quoting, ReadOptions
from bertune.data.several_labels import Cell, SeveralLabels
from bertune.data.table import Pick, Table, pick_columns
from bertune.data.table_opening import open_table
from bertune.errors import ConfigError, DataError
from bertune.wording.counts import counted
from bertune.wording.nearest import shorten

REFUSED_FRACTION_LIMIT = 0.01
REFUSED_ROWS_ALWAYS_ALLOWED = 10


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions` as keywords."""

    delimiter: str | None
    encoding: str | None
    no_header: bool | None
    quoting: Quoting
    on_bad_row: OnBadRow
    max_bad_rows: float | None
    label_file: str | None


def read_examples(
    path: str | Path, columns: Columns, *, require_label: bool = True, **options: Unpack[ReadKeywords]
) -> Examples:
    """Reads a table: CSV, TSV, JSON, Parquet, Arrow or Excel, told apart by the suffix.

    Texts are taken exactly as they stand, whatever they say: blank cells, ``null``, ``NA`` and ``None`` are texts.

    Args:
        path: a file ending in .csv, .tsv, .txt, .json, .jsonl or .ndjson, all of these also packed (.csv.gz), in
            .parquet, .arrow, .feather or .xlsx; or a folder with a folder of text files for each label.
        columns: where texts and label are; without a label column the examples have no labels.
        require_label: whether a missing label column is an error and a row without a label is refused. Otherwise the
            labels are left out where the column is missing or a row has none.
        **options: how the table is read, such as ``delimiter=";"`` or ``on_bad_row="skip"``; see `ReadOptions`.

    Returns:
        The examples in the order of the file, with the report of the read.

    Raises:
        ConfigError: no such file or column, or an unknown suffix.
        DataError: the file or a row cannot be used; names file and line, what was expected and what was found.

    Example:
        >>> columns = bertune.Columns("question1", "question2", "label")
        >>> bertune.read_examples("examples/data/train.csv", columns)
        Examples(613 pairs of examples/data/train.csv with labels)
    """
    if not isinstance(path, str | PathLike):
        raise ConfigError(
            f"expected the path of a table, got a {type(path).__name__}",
            hint="Examples.from_frame takes tables in memory, Examples.from_lists lists",
        )
    reading = ReadOptions(**options)
    table = open_table(path, reading, columns=columns)
    picks = pick_columns(table, columns, require_label=require_label)
    examples = collect(table, picks, reading=reading, require_label=require_label, several=columns.several)
    return table.in_files(examples) if isinstance(table, TextFolderTable) else examples


def collect(
    table: Table,
    picks: Sequence[Pick],
    *,
    reading: ReadOptions,
    require_label: bool,
    several: SeveralLabels | None = None,
    belongs: Callable[[Sequence[Cell]], bool] | None = None,
) -> Examples:
    """Reads all rows of a table into examples and balances the account.

    Args:
        table: the opened table.
        picks: first text, second text if any, label if any, in this order, then plain cells for `belongs`.
        reading: what becomes of bad rows.
        require_label: whether a row without a label is refused.
        several: how labels are written where a row may have several; None for one label a row.
        belongs: tells by the picked cells whether a row is of this split; None takes every row.

    Raises:
        DataError: a row cannot be used, too many cannot, or none is left.
    """
    (examples,) = collect_chunks(
        table, picks, reading=reading, require_label=require_label, several=several, belongs=belongs
    )
    return examples


def collect_chunks(
    table: Table,
    picks: Sequence[Pick],
    *,
    reading: ReadOptions,
    require_label: bool,
    several: SeveralLabels | None = None,
    belongs: Callable[[Sequence[Cell]], bool] | None = None,
    rows_per_chunk: int | None = None,
) -> Iterator[Examples]:
    """Reads all rows of a table as `collect`, a chunk at a time, so that memory does not grow with the table.

    Args:
        table: as for `collect`.
        picks: as for `collect`.
        reading: as for `collect`.
        require_label: as for `collect`.
        several: as for `collect`.
        belongs: as for `collect`.
        rows_per_chunk: examples in a chunk at most; None makes one chunk of all.

    Yields:
        Examples in order, each chunk with the balanced account of its own rows; the last one may be empty.

    Raises:
        DataError: as for `collect`; what concerns the whole table comes after its last row and before the last chunk.
    """
    table.warnings += _header_warnings(table, picks)
    builder = ExampleBuilder(table, picks, several, require_label=require_label)
    refused: list[RefusedRow] = []
    all_refused: list[RefusedRow] = []
    used = other_split = all_other_split = 0
    for row in table.rows(picks):
        if isinstance(row, RefusedRow):
            problem: RefusedRow | None = row
        elif belongs is not None and not belongs(row[1]):
            other_split += 1
            continue
        else:
            problem = builder.add(*row)
        if problem is not None:
            if reading.on_bad_row == "error":
                raise DataError(str(problem), hint=table.row_hint or _SKIP_HINT)
            refused.append(problem)
        elif len(builder) == rows_per_chunk:
            yield builder.examples(refused, other_split)
            used += len(builder)
            all_refused += refused
            all_other_split += other_split
            builder, refused, other_split = ExampleBuilder(table, picks, several, require_label=require_label), [], 0
    _check_enough(table, reading, used + len(builder), all_refused + refused, all_other_split + other_split)
    yield builder.examples(refused, other_split)


def _header_warnings(table: Table, picks: Sequence[Pick]) -> list[str]:
    """Says where the first line was taken as names, but reads like a text of a column that was asked for by number."""
    if not isinstance(table, DelimitedTable | ExcelTable) or table.names is None:
        return []
    names = [table.names[pick.index] for pick in picks if pick.role == "text" and pick.name != table.names[pick.index]]
    return [
        f"{table.path}: the first line, '{shorten(name)}', was taken as the names of the columns; if it is a row, read "
        "it with --no-header"
        for name in names
        if len(name.split()) > _WORDS_OF_A_NAME
    ]


_WORDS_OF_A_NAME = 2
_SKIP_HINT = "fix the row, or skip and count bad rows: --on-bad-row skip"


def check_refused(
    path: str, reading: ReadOptions, refused: Sequence[RefusedRow], rows: int, *, hint: str | None = None
) -> None:
    """Refuses a table in which more rows are bad than may be passed over.

    Args:
        path: how messages call the table.
        reading: how many may be.
        refused: the bad rows.
        rows: all rows.
        hint: what to do about the rows, where that is known.

    Raises:
        DataError: there are more; names their number and the first.
    """
    share = REFUSED_FRACTION_LIMIT if reading.max_bad_rows is None else reading.max_bad_rows
    always = REFUSED_ROWS_ALWAYS_ALLOWED if reading.max_bad_rows is None else 0
    if len(refused) > max(always, share * rows):
        needed = math.ceil(len(refused) / rows * 1000) / 1000
        raise DataError(
            f"{path}: {len(refused):,} of {rows:,} rows cannot be used, more than {100 * share:g} %; the first at line "
            f"{refused[0].line}: {refused[0].reason}",
            hint=hint
            or "so many point to a wrong delimiter, quoting or column; if they are bad and the others right: "
            f"--max-bad-rows {needed:g}",
        )


def _check_enough(table: Table, reading: ReadOptions, used: int, refused: list[RefusedRow], other_split: int) -> None:
    path = table.path
    rows = used + len(refused) + other_split
    if rows == 0:
        raise DataError(f"{path} has a header but no rows", hint="expected at least one row below the header")
    check_refused(path, reading, refused, rows, hint=table.row_hint)
    if used == 0:
        if not refused:
            raise DataError(f"{path}: none of {counted(rows, 'row')} belongs to this split")
        first = f"the first at line {refused[0].line}: {refused[0].reason}"
        raise DataError(f"{path}: none of {counted(rows, 'row')} can be used; {first}", hint=table.row_hint)


def read_lines(stream: IO[bytes] | IO[str], *, pair: bool = False, name: str = "standard input") -> Examples:
    """Reads lines as texts to predict: as many examples as lines, so answers can be matched by number.

    A blank line is a blank text. Lines end with a line feed (or CR LF).

    Args:
        stream: an open stream, best of bytes (``sys.stdin.buffer``), else of text.
        pair: whether a line holds two texts with one tab between them; otherwise tabs belong to the text.
        name: how messages call the stream.

    Raises:
        DataError: no line at all, not UTF-8, or a pair without exactly one tab; names the line.
    """
    found = [
        texts_of_line(line, pair=pair, where=f"{name}:{number}")
        for number, line in enumerate(_decoded(stream, name), start=1)
    ]
    if not found:
        raise nothing_in(name)
    seconds = [texts[1] for texts in found] if pair else None
    return Examples.from_lists([texts[0] for texts in found], seconds, name=name)


def _decoded(stream: IO[bytes] | IO[str], name: str) -> Iterator[str]:
    # A text stream over bytes is passed by: its own decoding would not know the line of a bad byte.
    source: Any = getattr(stream, "buffer", stream)
    if isinstance(source.read(0), bytes):
        return text_lines(source, name)
    return iter(source)
