"""Opens a table of any format, by the delimiter and encoding that are given or certain."""

from pathlib import Path

from bertune.data.examples import Columns
from bertune.data.file_kind import file_format, found_encoding
from bertune.data.formats.arrow_tables import ArrowTable
from bertune.data.formats.byte_files import open_bytes
from bertune.data.formats.delimited import DELIMITERS, DelimitedTable, Dialect, delimiter_flag, delimiter_name
from bertune.data.formats.excel import ExcelTable
from bertune.data.formats.json_lines import json_table
from bertune.data.formats.text_files import AlignedTable, TextFolderTable, holds_texts
from bertune.data.formats.text_lines import is_single_byte, is_utf_8_beyond_ascii
from bertune.data.read_options import ReadOptions
from bertune.data.table import Table, has_column
from bertune.errors import DataError
from bertune.system.bounded_file import refuse_pipe


def open_table(
    path: str | Path,
    reading: ReadOptions | None = None,
    *,
    header: bool = True,
    columns: Columns | None = None,
    shown: str | None = None,
) -> Table:
    """Opens a table of any format; reads no more than its header, unless its columns are not found there.

    Args:
        path: the file.
        reading: how it is read.
        header: whether files of this kind have one, where the options do not say otherwise.
        columns: those that are wanted: where they are not found, another delimiter is, if one is certain.
        shown: how messages call the file, if not by its path.

    Raises:
        ConfigError: no such file, or an unknown suffix.
        DataError: the file is no plain one, or cannot be read as its suffix says.
    """
    path, reading = Path(path), reading or ReadOptions()
    shown = _printable(path) if shown is None else shown
    refuse_pipe(path, shown=shown, error=DataError)
    if holds_texts(path):
        return TextFolderTable(path, shown, reading.encoding)
    if reading.label_file is not None:
        return AlignedTable(path, Path(reading.label_file), shown, reading.encoding)
    kind = file_format(path, shown)
    if kind in ("parquet", "arrow"):
        return ArrowTable(path, shown, kind)
    header = header and reading.has_header
    if kind == "xlsx":
        return ExcelTable(path, shown, header=header)
    encoding = reading.encoding or found_encoding(path, shown)
    if reading.encoding is not None and is_single_byte(reading.encoding):
        _check_not_utf_8(path, shown, reading.encoding)
    if kind == "json":
        table: Table = json_table(path, shown, encoding)
    else:
        quoted = kind == "csv" if reading.quoting == "auto" else reading.quoting == "csv"
        usual = "," if kind == "csv" else "\t"
        dialect = Dialect(delimiter=reading.cell_delimiter or usual, quoted=quoted, header=header, encoding=encoding)
        table = _delimited(path, shown, dialect, columns, is_given=reading.delimiter is not None)
    if encoding != reading.encoding:
        table.notes.append(f"{shown}: read as {encoding}, as its first bytes say")
    return table


def _delimited(path: Path, shown: str, dialect: Dialect, columns: Columns | None, *, is_given: bool) -> DelimitedTable:
    """Opens a delimited table, by another delimiter where that is certain and the columns are not found by this one."""
    table = DelimitedTable(path, shown, dialect, declared=not is_given)
    if _has(table, columns):
        return table
    certain = [
        other
        for other in DELIMITERS
        if other != table.dialect.delimiter and _would_have(table, other, columns) and table.is_divided_by(other)
    ]
    if len(certain) != 1:
        return table
    used = Dialect(delimiter=certain[0], quoted=dialect.quoted, header=dialect.header, encoding=dialect.encoding)
    table = DelimitedTable(path, shown, used, declared=False)
    table.notes.append(
        f"{shown}: {delimiter_name(certain[0])} stands between cells, {table.width} in every line "
        f"({delimiter_flag(certain[0])})"
    )
    return table


def _has(table: DelimitedTable, columns: Columns | None) -> bool:
    if columns is None:
        return table.width > 1
    return all(_has_text(table, column) for column in (columns.text_a, columns.text_b) if column is not None) and (
        table.width > 1 or columns.label is None or has_column(table, columns.label)
    )


def _has_text(table: DelimitedTable, column: str | int) -> bool:
    if has_column(table, column):
        return True
    return (
        isinstance(column, str) and "," in column and all(has_column(table, part.strip()) for part in column.split(","))
    )


def _would_have(table: DelimitedTable, delimiter: str, columns: Columns | None) -> bool:
    try:
        cells = table.first_row_by(delimiter)
    except DataError:  # a quoted cell with a line end in it is none by another delimiter
        return False
    if len(cells) < 2:
        return False
    wanted = [] if columns is None else [columns.text_a, columns.text_b]
    parts = [
        part.strip()
        for column in wanted
        if column is not None
        for part in ([str(column)] if str(column) in cells else str(column).split(","))
    ]
    is_number = [part.isascii() and part.isdigit() and int(part[:9]) < len(cells) for part in parts]
    names = cells if table.names is not None else []
    return all(number or part in names for part, number in zip(parts, is_number, strict=True))


def _check_not_utf_8(path: Path, shown: str, encoding: str) -> None:
    """Refuses to read UTF-8 as another encoding, in which every byte is a character: nothing would be noticed.

    Raises:
        DataError: the file is UTF-8, with more than ASCII in it.
    """
    with open_bytes(path, shown) as file:
        if is_utf_8_beyond_ascii(file):
            raise DataError(f"{shown} is UTF-8, not {encoding}", hint="read it with --encoding utf-8")


def _printable(path: Path) -> str:
    """Gives a path as text; bytes of its name that are not UTF-8 are written as escapes."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
