"""Delimited text tables, CSV and TSV, read row by row with the physical line of each.

Why not pyarrow: docs/decisions/0001-reading-tables.md.
"""

import csv
import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bertune.data.formats.byte_files import open_bytes
from bertune.data.formats.text_lines import EncodingError, text_lines, without_ending
from bertune.data.read_report import RefusedRow
from bertune.data.table import CELL_LIMIT, Pick, Row
from bertune.errors import DataError
from bertune.wording.nearest import shorten

DELIMITERS = ("\t", ";", "|", ",")
_DELIMITER_NAMES = {"\t": "a tab", ",": "','", ";": "';'", "|": "'|'"}


_LITERAL_HINT = "if quotes are plain text in this file, read it with --quoting none"
_QUOTED_HINT = "if cells are packed in double quotes in this file, as pandas writes them, read it with --quoting csv"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Dialect of a delimited table.

    Args:
        delimiter: the one character between cells.
        quoted: whether cells in double quotes are unpacked (RFC 4180, with line feeds allowed inside); otherwise quotes
            are text like any other character.
        header: whether the first row names the columns.
        encoding: None for UTF-8.
    """

    delimiter: str
    quoted: bool
    header: bool = True
    encoding: str | None = None


class DelimitedTable:
    """A CSV or TSV file.

    Excel's ``sep=;`` in the first line is no row: it names the delimiter.

    Args:
        path: the file.
        shown: how messages call it.
        dialect: how it is written.
        declared: whether a first line ``sep=`` decides on the delimiter.

    Raises:
        DataError: no rows, not in its encoding, broken quoting.
    """

    def __init__(self, path: Path, shown: str, dialect: Dialect, *, declared: bool = True) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._file = path
        self._skipped = 0
        self.dialect = dialect
        found = self._declared_delimiter()
        if found is not None:
            self._skipped = 1
            if declared:
                self.dialect = replace(dialect, delimiter=found)
                self.notes.append(f"{shown}: {delimiter_name(found)} stands between cells, as its first line says")
        first_row = self._first_row()
        self.width = len(first_row)
        self.names: tuple[str, ...] | None = tuple(first_row) if dialect.header else None
        self.column_hint = self._column_hint(first_row)
        self.row_hint: str | None = None

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows.

        Yields:
            Line and picked cells of each row; a refusal for a blank line between rows or a wrong number of cells. Blank
            lines at the end are the end.
        """
        indices = [pick.index for pick in picks]
        blank_lines: list[int] = []
        records = self._records()
        if self.dialect.header:
            next(records, None)
        for line, cells in records:
            if not cells:
                blank_lines.append(line)
                continue
            if blank_lines:
                yield from (RefusedRow(self.path, blank, "the line is blank") for blank in blank_lines)
                blank_lines.clear()
            if len(cells) == self.width:
                yield line, [cells[index] for index in indices]
            else:
                if self.dialect.quoted and any('"' in cell or "\n" in cell for cell in cells):
                    self.row_hint = _LITERAL_HINT
                elif not self.dialect.quoted and any(map(_is_half_quoted, cells)):
                    self.row_hint = _QUOTED_HINT
                yield RefusedRow(self.path, line, self._wrong_width(len(cells)))

    def is_divided_by(self, delimiter: str) -> bool:
        """Tells whether another delimiter divides every line into as many cells, two or more.

        Raises:
            EncodingError: the file is not in its encoding.
        """
        widths: set[int] = set()
        count = 0
        with closing(self._records(replace(self.dialect, delimiter=delimiter))) as records:
            try:
                for _, cells in records:
                    if cells:
                        widths.add(len(cells))
                        count += 1
                    if len(widths) > 1:
                        return False
            except EncodingError:
                raise
            except DataError:
                return False
        return count > 1 and min(widths) > 1

    def first_row_by(self, delimiter: str) -> list[str]:
        """Gives the cells of the first row if another delimiter stood between them."""
        with closing(self._records(replace(self.dialect, delimiter=delimiter))) as records:
            return next(iter(records), (0, [""]))[1]

    def _declared_delimiter(self) -> str | None:
        with open_bytes(self._file, self.path) as file:
            first = next(iter(text_lines(file, self.path, self.dialect.encoding)), "")
        line = without_ending(first).strip('"')
        return line[4:] if len(line) == 5 and line.lower().startswith("sep=") else None

    def _first_row(self) -> list[str]:
        with closing(self._records()) as records:
            line, cells = next(records, (self._skipped + 1, []))
        if not cells:
            raise DataError(f"{self.path}:{line}: the first line is blank, expected {self._expected_first()}")
        if not self.dialect.quoted and any("\r" in cell for cell in cells):
            raise DataError(
                f"{self.path}:1: carriage returns inside the line: lines seem to end in CR alone",
                hint=f"convert the file: tr '\\r' '\\n' < {shlex.quote(self.path)} > NEW",
            )
        return cells

    def _expected_first(self) -> str:
        return "the names of the columns" if self.dialect.header else "a row"

    def _lines(self) -> Generator[str, None, None]:
        with open_bytes(self._file, self.path) as file:
            yield from islice(text_lines(file, self.path, self.dialect.encoding), self._skipped, None)

    def _records(self, dialect: Dialect | None = None) -> Generator[tuple[int, list[str]], None, None]:
        """Yields the line on which each record begins and its cells; no cells for a blank line."""
        dialect = dialect or self.dialect
        return self._quoted_records(dialect) if dialect.quoted else self._literal_records(dialect)

    def _literal_records(self, dialect: Dialect) -> Generator[tuple[int, list[str]], None, None]:
        quotes = _QuoteWatch()
        with closing(self._lines()) as lines:
            for line, text in enumerate(lines, start=1 + self._skipped):
                content = without_ending(text)
                cells = content.split(dialect.delimiter) if content else []
                if '"' in content:
                    quotes.see(cells)
                yield line, cells
        if quotes.looks_quoted and dialect is self.dialect:
            self.warnings.append(
                f"{self.path}: quotes were taken as text, but every quoted cell is closed and its inner quotes are "
                "doubled, as in a quoted table; if it is one, read it with --quoting csv"
            )

    def _quoted_records(self, dialect: Dialect) -> Generator[tuple[int, list[str]], None, None]:
        if csv.field_size_limit() < CELL_LIMIT:
            # The limit belongs to the whole process; it is only ever raised.
            csv.field_size_limit(CELL_LIMIT)
        begin = 1 + self._skipped
        with closing(self._lines()) as lines:
            reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
            try:
                for cells in reader:
                    yield begin, cells
                    begin = reader.line_num + 1 + self._skipped
            except csv.Error as error:
                raise self._broken_quoting(error, begin, reader.line_num + self._skipped) from error

    def _broken_quoting(self, error: csv.Error, begin: int, end: int) -> DataError:
        message = str(error)
        hint = _LITERAL_HINT
        if "expected after" in message:
            what = f"text after the closing quote of a cell in line {end}"
        elif "unexpected end of data" in message:
            what = f"a quoted cell of the row that begins here is never closed (read to line {end})"
        elif "field limit" in message:
            what = f"a cell of more than {CELL_LIMIT:,} characters; a quote may never be closed"
        elif "new-line character" in message:
            what = "a carriage return outside quotes"
            hint = "line ends must be LF or CRLF; put the cell in quotes if the character belongs to the text"
        else:
            what = message
        return DataError(f"{self.path}:{begin}: {what}", hint=hint)

    def _wrong_width(self, got: int) -> str:
        expected = f"{self.width} ({', '.join(self.names[:8])}{', …' if self.width > 8 else ''})" if self.names else ""
        return f"{got} cell{'s' if got != 1 else ''}, expected {expected or self.width}"

    def _column_hint(self, first_row: list[str]) -> str | None:
        """Says what is wrong with a header in which a column is not found, where that can be seen."""
        delimiter = self.dialect.delimiter
        if len(first_row) == 1:
            for other in DELIMITERS:
                if other != delimiter and other in first_row[0]:
                    return (
                        f"the first line is one cell with {delimiter_name(other)} in it, read with "
                        f"{delimiter_name(delimiter)}; if that stands between cells: {delimiter_flag(other)}"
                    )
        if not self.dialect.quoted and self.dialect.header and all(_is_quoted(cell) for cell in first_row):
            return f"the header is in quotes ({shorten(first_row[0])}); read the file with --quoting csv"
        if self.dialect.header and any(len(cell.split()) > 2 for cell in first_row):
            long = next(cell for cell in first_row if len(cell.split()) > 2)
            return (
                f"if the first line ('{shorten(long, 30)}') is a row, not the names of columns: --no-header, and "
                "columns by number, such as --text-a 0"
            )
        return None


def delimiter_name(delimiter: str) -> str:
    """Gives a delimiter as it stands in a sentence."""
    return _DELIMITER_NAMES.get(delimiter, repr(delimiter))


def delimiter_flag(delimiter: str) -> str:
    """Gives the flag that says what the delimiter is, as a shell takes it."""
    return f"--delimiter {'tab' if delimiter == chr(9) else shlex.quote(delimiter)}"


class _QuoteWatch:
    """Watches whether quotes that are taken as text would make sense as CSV quoting all through a file."""

    def __init__(self) -> None:
        self._consistent = True
        self._doubled = False

    def see(self, cells: list[str]) -> None:
        """Looks at the cells of a line that holds a quote."""
        if not self._consistent:
            return
        for cell in cells:
            if not cell.startswith('"'):
                continue
            inner = cell[1:-1]
            if len(cell) < 2 or not cell.endswith('"') or '"' in inner.replace('""', ""):
                self._consistent = False
                return
            self._doubled = self._doubled or '""' in inner

    @property
    def looks_quoted(self) -> bool:
        """Tells whether at least one cell has doubled quotes and none contradicts."""
        return self._consistent and self._doubled


def _is_quoted(cell: str) -> bool:
    return len(cell) >= 2 and cell[0] == cell[-1] == '"'


def _is_half_quoted(cell: str) -> bool:
    """Tells whether a quote begins or ends a cell, as where a line feed or a delimiter inside quotes has cut it."""
    return cell.count('"') % 2 == 1 and (cell.startswith('"') or cell.endswith('"'))
