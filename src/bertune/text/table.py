"""What every reader gives: a table whose rows come as cells or as refusals, one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bertune.errors import ConfigError, DataError
from bertune.text.nearest import nearest
from bertune.text.read_report import RefusedRow
from bertune.text.several_labels import Cell
from bertune.text.task import Columns

CELL_LIMIT = 10_000_000
"""Most characters in one cell. More is an unbalanced quote or a wrong file far more often than a text."""

_NAMES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Pick:
    """A column to read.

    Args:
        index: its position in the table, from 0.
        name: what messages call it.
        role: a text must be a string; a label may be a number or a truth value, and so may a flag, 0 or 1 for one of
            several labels; labels are a list or a string; a plain cell is taken as it is.
    """

    index: int
    name: str
    role: Literal["text", "label", "labels", "flag", "plain"]


Row = tuple[int, Sequence[Cell]]
"""The line or row number and the picked cells; None is a missing value, which a blank cell is not."""


class Table(Protocol):
    """A file opened for reading."""

    path: str
    width: int
    warnings: list[str]
    row_hint: str | None
    column_hint: str | None

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns; None without a header."""

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows once, from the first to the last.

        Raises:
            DataError: the file cannot be read further.
        """


def check_names(where: str, names: Sequence[str]) -> None:
    """Refuses a header that names a column twice: which one is meant cannot be known.

    Args:
        where: the file, with the line of its header where it has one.
        names: the names of the columns; blank ones may repeat, nobody can ask for them by name.

    Raises:
        DataError: names the column.
    """
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise DataError(f"{where}: two columns are called '{name}'", hint="rename one of them")
        seen.add(name)


def find_column(table: Table, column: str | int) -> int:
    """Finds the position of a column.

    Args:
        table: the table.
        column: a name, a number from 0, or digits standing for a number.

    Raises:
        ConfigError: there is no such column; names the nearest one and all there are.
    """
    if isinstance(column, str):
        if table.names is not None and column in table.names:
            return table.names.index(column)
        if not (column.isascii() and column.isdigit()):
            raise ConfigError(_no_such_column(table, column), hint=_hint_for(table, column))
        column = int(column[:9])
    if not 0 <= column < table.width:
        raise ConfigError(
            f"{table.path} has no column number {column}: it has {table.width} "
            f"column{'s' if table.width != 1 else ''}, counted from 0",
            hint=table.column_hint,
        )
    return column


def has_column(table: Table, column: str | int) -> bool:
    """Tells whether a table has a column."""
    try:
        find_column(table, column)
    except ConfigError:
        return False
    return True


def pick_columns(table: Table, columns: Columns, *, require_label: bool) -> list[Pick]:
    """Finds the columns of a task in a table.

    Args:
        table: the table.
        columns: the columns of the task.
        require_label: whether a missing label column is an error; otherwise it is left out.

    Returns:
        The first text, the second one if there are pairs, the label if there is one, or the flags of several.

    Raises:
        ConfigError: a column is missing, or two of the columns are the same.
    """
    picks = [Pick(find_column(table, columns.text_a), str(columns.text_a), "text")]
    if columns.text_b is not None:
        picks.append(Pick(find_column(table, columns.text_b), str(columns.text_b), "text"))
    flags = () if columns.several is None else columns.several.columns
    wanted = flags if columns.label is None else (columns.label,)
    if require_label or all(has_column(table, column) for column in wanted):
        role: Literal["label", "labels", "flag"] = "flag" if flags else "label" if columns.several is None else "labels"
        picks += [Pick(find_column(table, column), str(column), role) for column in wanted]
    if len({pick.index for pick in picks}) != len(picks):
        raise ConfigError(f"{table.path}: two of the columns {', '.join(pick.name for pick in picks)} are the same one")
    return picks


def _no_such_column(table: Table, column: str) -> str:
    if table.names is None:
        return f"{table.path} is read without a header, so there is no column '{column}'"
    shown = ", ".join(f"'{name}'" for name in table.names[:_NAMES_SHOWN])
    more = ", …" if len(table.names) > _NAMES_SHOWN else ""
    return f"{table.path} has no column '{column}'; its columns are {shown}{more}"


def _hint_for(table: Table, column: str) -> str | None:
    if table.column_hint is not None:
        return table.column_hint
    if table.names is None:
        return f"give the number of the column, 0 to {table.width - 1}"
    match = nearest(column, table.names)
    return None if match is None else f"did you mean '{match}'?"
