"""Tables of any format as examples, with an account of every row."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from bertune.errors import DataError
from bertune.text.arrow_tables import ArrowTable
from bertune.text.delimited import DelimitedTable
from bertune.text.example_builder import ExampleBuilder
from bertune.text.examples import Columns, Examples, RefusedRow
from bertune.text.file_kind import file_format
from bertune.text.json_lines import JsonLinesTable
from bertune.text.several_labels import Cell, SeveralLabels
from bertune.text.table import Pick, Table, pick_columns
from bertune.text.text_lines import text_lines, without_ending

Quoting = Literal["auto", "csv", "none"]
OnBadRow = Literal["error", "skip"]

REFUSED_FRACTION_LIMIT = 0.01
REFUSED_ROWS_ALWAYS_ALLOWED = 10


def read_examples(
    path: str | Path,
    columns: Columns,
    *,
    quoting: Quoting = "auto",
    on_bad_row: OnBadRow = "error",
    require_label: bool = True,
    delimiter: str | None = None,
    header: bool = True,
) -> Examples:
    """Reads a table: CSV, TSV, JSON Lines, Parquet or Arrow, told apart by the suffix.

    Texts are taken exactly as they stand, whatever they say: blank cells, ``null``, ``NA`` and ``None`` are texts.

    Args:
        path: a file ending in .csv, .tsv, .txt, .jsonl, .ndjson, .parquet, .arrow or .feather.
        columns: where texts and label are; without a label column the examples have no labels.
        quoting: ``csv`` unpacks cells in double quotes, ``none`` takes quotes as text; ``auto`` is ``csv`` for .csv
            files and ``none`` for .tsv and .txt files, because those of GLUE hold unbalanced quotes.
        on_bad_row: ``error`` stops at the first row that cannot be used; ``skip`` leaves such rows out and counts them,
            but stops where they are more than 10 and more than 1 % of all.
        require_label: whether a missing label column is an error and a row without a label is refused. Otherwise the
            labels are left out where the column is missing or a row has none.
        delimiter: the character between cells; a comma for .csv, a tab for .tsv and .txt unless given.
        header: whether the first row names the columns; without it, columns are numbers.

    Returns:
        The examples in the order of the file, with the report of the read.

    Raises:
        ConfigError: no such file or column, or an unknown suffix.
        DataError: the file or a row cannot be used; names file and line, what was expected and what was found.
    """
    table = open_table(path, quoting=quoting, delimiter=delimiter, header=header)
    picks = pick_columns(table, columns, require_label=require_label)
    return collect(table, picks, on_bad_row=on_bad_row, require_label=require_label, several=columns.several)


def open_table(
    path: str | Path,
    *,
    quoting: Quoting = "auto",
    delimiter: str | None = None,
    header: bool = True,
    shown: str | None = None,
) -> Table:
    """Opens a table of any format; reads no more than its header.

    Args:
        path: the file.
        quoting: as for `read_examples`.
        delimiter: as for `read_examples`.
        header: as for `read_examples`.
        shown: how messages call the file, if not by its path.

    Raises:
        ConfigError: no such file, or an unknown suffix.
        DataError: the file cannot be read as its suffix says.
    """
    path = Path(path)
    shown = str(path) if shown is None else shown
    kind = file_format(path, shown)
    if kind == "jsonl":
        return JsonLinesTable(path, shown)
    if kind in ("parquet", "arrow"):
        return ArrowTable(path, shown, kind)
    quoted = kind == "csv" if quoting == "auto" else quoting == "csv"
    usual = "," if kind == "csv" else "\t"
    return DelimitedTable(
        path, shown, delimiter=usual if delimiter is None else delimiter, quoted=quoted, header=header
    )


def collect(
    table: Table,
    picks: Sequence[Pick],
    *,
    on_bad_row: OnBadRow,
    require_label: bool,
    several: SeveralLabels | None = None,
    belongs: Callable[[Sequence[Cell]], bool] | None = None,
) -> Examples:
    """Reads all rows of a table into examples and balances the account.

    Args:
        table: the opened table.
        picks: first text, second text if any, label if any, in this order, then plain cells for `belongs`.
        on_bad_row: as for `read_examples`.
        require_label: whether a row without a label is refused.
        several: how labels are written where a row may have several; None for one label a row.
        belongs: tells by the picked cells whether a row is of this split; None takes every row.

    Raises:
        DataError: a row cannot be used, too many cannot, or none is left.
    """
    (examples,) = collect_chunks(
        table, picks, on_bad_row=on_bad_row, require_label=require_label, several=several, belongs=belongs
    )
    return examples


def collect_chunks(
    table: Table,
    picks: Sequence[Pick],
    *,
    on_bad_row: OnBadRow,
    require_label: bool,
    several: SeveralLabels | None = None,
    belongs: Callable[[Sequence[Cell]], bool] | None = None,
    rows_per_chunk: int | None = None,
) -> Iterator[Examples]:
    """Reads all rows of a table as `collect`, a chunk at a time, so that memory does not grow with the table.

    Args:
        table: as for `collect`.
        picks: as for `collect`.
        on_bad_row: as for `collect`.
        require_label: as for `collect`.
        several: as for `collect`.
        belongs: as for `collect`.
        rows_per_chunk: examples in a chunk at most; None makes one chunk of all.

    Yields:
        Examples in order, each chunk with the balanced account of its own rows; the last one may be empty.

    Raises:
        DataError: as for `collect`; what concerns the whole table comes after its last row and before the last chunk.
    """
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
            if on_bad_row == "error":
                raise DataError(str(problem), hint=table.row_hint or _SKIP_HINT)
            refused.append(problem)
        elif len(builder) == rows_per_chunk:
            yield builder.examples(refused, other_split)
            used += len(builder)
            all_refused += refused
            all_other_split += other_split
            builder, refused, other_split = ExampleBuilder(table, picks, several, require_label=require_label), [], 0
    _check_enough(table.path, used + len(builder), all_refused + refused, all_other_split + other_split)
    yield builder.examples(refused, other_split)


_SKIP_HINT = "mend the row, or leave such rows out and have them counted: --on-bad-row skip"


def _check_enough(path: str, used: int, refused: list[RefusedRow], other_split: int) -> None:
    rows = used + len(refused) + other_split
    if rows == 0:
        raise DataError(f"{path} has a header but no rows", hint="expected at least one row below the header")
    if len(refused) > max(REFUSED_ROWS_ALWAYS_ALLOWED, REFUSED_FRACTION_LIMIT * rows):
        raise DataError(
            f"{path}: {len(refused):,} of {rows:,} rows cannot be used, more than 1 %; the first at line "
            f"{refused[0].line}: {refused[0].reason}",
            hint="so many point to a wrong delimiter, quoting or column",
        )
    if used == 0:
        if not refused:
            raise DataError(f"{path}: none of the {rows:,} rows belongs to this split")
        first = f"the first at line {refused[0].line}: {refused[0].reason}"
        raise DataError(f"{path}: none of the {rows:,} rows can be used; {first}")


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
    texts: list[str] = []
    seconds: list[str] = []
    for line, raw in enumerate(_decoded(stream, name), start=1):
        text = without_ending(raw)
        if pair:
            cells = text.split("\t")
            if len(cells) != 2:
                raise DataError(
                    f"{name}:{line}: {len(cells) - 1} tabs, expected exactly one",
                    hint="this model takes pairs: the first text, a tab, the second text",
                )
            text = cells[0]
            seconds.append(cells[1])
        texts.append(text)
    if not texts:
        raise DataError(f"{name} is empty", hint="expected one line for each text")
    return Examples.from_lists(texts, seconds if pair else None, name=name)


def _decoded(stream: IO[bytes] | IO[str], name: str) -> Iterator[str]:
    # A text stream over bytes is passed by: its own decoding would not know the line of a bad byte.
    source: Any = getattr(stream, "buffer", stream)
    if isinstance(source.read(0), bytes):
        return text_lines(source, name)
    return iter(source)
