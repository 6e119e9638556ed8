"""Excel workbooks, read through calamine."""

import datetime
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bertune.data.label_words import label_word
from bertune.data.read_report import RefusedRow
from bertune.data.table import Pick, Row
from bertune.errors import ConfigError, DataError

_LARGEST = 1 << 30


class ExcelTable:
    """The first sheet of a workbook that has cells.

    Cells are read as a CSV file would hold them: numbers as their digits, dates as ``2026-01-31``, empty cells as empty
    texts. The line of a row is its number in the sheet. Rows without any cell at the end are the end.

    Args:
        path: the file.
        shown: how messages call it.
        header: whether the first row names the columns.

    Raises:
        ConfigError: calamine is not installed.
        DataError: the file is damaged, protected by a password, or holds no cells.
    """

    row_hint: str | None = None

    def __init__(self, path: Path, shown: str, *, header: bool) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.column_hint: str | None = None
        sheets = _sheets(path, shown)
        name, self._rows = next(((name, rows) for name, rows in sheets if rows), ("", []))
        if not self._rows:
            raise DataError(f"{shown} holds no cells", hint="expected a sheet with a header and at least one row")
        if len(sheets) > 1:
            self.notes.append(f"{shown}: of its {len(sheets)} sheets '{name}' is read, the first that has cells")
        while not any(cell != "" for cell in self._rows[-1]):
            self._rows.pop()
        self._begin = next(number for number, row in enumerate(self._rows) if any(cell != "" for cell in row))
        first = [_word(cell) for cell in self._rows[self._begin]]
        while first and not first[-1] and all(not _word(row[len(first) - 1]) for row in self._rows):
            first.pop()
        self.width = len(first)
        self.names: tuple[str, ...] | None = tuple(first) if header else None
        self._begin += header

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows.

        Yields:
            Number in the sheet and picked cells of each row; a refusal for a row without any cell.
        """
        for number, row in enumerate(self._rows[self._begin :], start=self._begin + 1):
            if any(cell != "" for cell in row):
                yield number, [_word(row[pick.index]) for pick in picks]
            else:
                yield RefusedRow(self.path, number, "the row is blank")


def _sheets(path: Path, shown: str) -> list[tuple[str, list[list[Any]]]]:
    """Gives name and rows of every sheet, rows from the first of the sheet on; no rows where it has no cells."""
    try:
        import python_calamine
    except ImportError as error:
        raise ConfigError(
            f"{shown} is an Excel workbook, which needs a package of its own",
            hint='pip install "bertune[excel]", or save the sheet as CSV (UTF-8)',
        ) from error
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > _LARGEST:
            raise DataError(f"{shown} unpacks to {size:,} bytes", hint="save the sheet as CSV (UTF-8)")
        with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
            return [(name, _rows_of(book.get_sheet_by_name(name))) for name in book.sheet_names]
    except (python_calamine.CalamineError, zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{shown} cannot be read as an Excel workbook: {error}", hint="save it again as .xlsx"
        ) from error


def _rows_of(sheet: Any) -> list[list[Any]]:
    rows: list[list[Any]] = sheet.to_python(skip_empty_area=False)
    return rows if any(cell != "" for row in rows for cell in row) else []


def _word(cell: Any) -> str:
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    return label_word(cell) or ""
