"""Delimited text tables, CSV and TSV, read row by row with the physical line of each.

Why not pyarrow: docs/decisions/0001-reading-tables.md.
"""

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bertune.errors import ConfigError, DataError
from bertune.text.nearest import shorten
from bertune.text.read_report import RefusedRow
from bertune.text.table import CELL_LIMIT, Pick, Row, check_names
from bertune.text.text_lines import text_lines, without_ending

_DELIMITER_NAMES = {"\t": "a tab", ",": "','", ";": "';'", "|": "'|'"}


_LITERAL_HINT = "if quotes are plain text in this file, read it with --quoting none"


class DelimitedTable:
    """A CSV or TSV file.

    Args:
        path: the file.
        shown: how messages call it.
        delimiter: the one character between cells.
        quoted: whether cells in double quotes are unpacked (RFC 4180, with line feeds allowed inside); otherwise quotes
            are text like any other character.
        header: whether the first row names the columns.

    Raises:
        DataError: no rows, columns named twice, not UTF-8, broken quoting.
    """

    def __init__(self, path: Path, shown: str, *, delimiter: str, quoted: bool, header: bool) -> None:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ConfigError(f"the delimiter must be one character and no quote or line end, got {delimiter!r}")
        self.path = shown
        self.warnings: list[str] = []
        self._file = path
        self._delimiter = delimiter
        self._quoted = quoted
        self._header = header
        first_row = self._first_row()
        self.width = len(first_row)
        self.names: tuple[str, ...] | None = None
        if header:
            self.names = tuple(first_row)
            check_names(f"{shown}:1", first_row)
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
        if self._header:
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
                if self._quoted and any('"' in cell or "\n" in cell for cell in cells):
                    self.row_hint = _LITERAL_HINT
                yield RefusedRow(self.path, line, self._wrong_width(len(cells)))

    def _first_row(self) -> list[str]:
        with closing(self._records()) as records:
            _, cells = next(records)
        if not cells:
            raise DataError(f"{self.path}:1: the first line is blank, expected {self._expected_first()}")
        if not self._quoted and any("\r" in cell for cell in cells):
            raise DataError(
                f"{self.path}:1: carriage returns inside the line: lines seem to end in CR alone",
                hint=f"convert the file: tr '\\r' '\\n' < {self.path} > NEW",
            )
        return cells

    def _expected_first(self) -> str:
        return "the names of the columns" if self._header else "a row"

    def _records(self) -> Generator[tuple[int, list[str]], None, None]:
        """Yields the line on which each record begins and its cells; no cells for a blank line."""
        return self._quoted_records() if self._quoted else self._literal_records()

    def _literal_records(self) -> Generator[tuple[int, list[str]], None, None]:
        delimiter = self._delimiter
        quotes = _QuoteWatch()
        with self._file.open("rb") as file:
            for line, text in enumerate(text_lines(file, self.path), start=1):
                content = without_ending(text)
                cells = content.split(delimiter) if content else []
                if '"' in content:
                    quotes.see(cells)
                yield line, cells
        if quotes.looks_quoted:
            self.warnings.append(
                f"{self.path}: quotes were taken as text, but every quoted cell is closed and its inner quotes are "
                "doubled, as in a quoted table; if it is one, read it with --quoting csv"
            )

    def _quoted_records(self) -> Generator[tuple[int, list[str]], None, None]:
        if csv.field_size_limit() < CELL_LIMIT:
            # The limit belongs to the whole process; it is only ever raised.
            csv.field_size_limit(CELL_LIMIT)
        begin = 1
        with self._file.open("rb") as file:
            reader = csv.reader(text_lines(file, self.path), delimiter=self._delimiter, strict=True)
            try:
                for cells in reader:
                    yield begin, cells
                    begin = reader.line_num + 1
            except csv.Error as error:
                raise self._broken_quoting(error, begin, reader.line_num) from error

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
        if len(first_row) == 1:
            for other in ("\t", ";", "|", ","):
                if other != self._delimiter and other in first_row[0]:
                    found, used = _DELIMITER_NAMES[other], _DELIMITER_NAMES.get(self._delimiter, repr(self._delimiter))
                    return f"the first line is one cell with {found} in it, read with {used}: is the delimiter {found}?"
        if not self._quoted and self._header and all(_is_quoted(cell) for cell in first_row):
            return f"the header is in quotes ({shorten(first_row[0])}); read the file with --quoting csv"
        return None


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
        """Whether at least one cell has doubled quotes and none contradicts."""
        return self._consistent and self._doubled


def _is_quoted(cell: str) -> bool:
    return len(cell) >= 2 and cell[0] == cell[-1] == '"'
