"""Interface of every reader: a table whose rows come as cells or as refusals, one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from bertune.data.read_report import RefusedRow
from bertune.data.several_labels import Cell
from bertune.data.task import Columns
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import nearest, shorten

CELL_LIMIT = 10_000_000
"""Most characters in one cell. More is an unbalanced quote or a wrong file far more often than a text."""

_NAMES_SHOWN = 30


class NoColumnError(ConfigError):
    """A table has no such column."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A column to read.

    Args:
        index: its position in the table, from 0.
        name: what messages call it.
        continues: whether it is a further part of the text that the pick before it began.
        soft_label: the label that it is the probability of, with the role `soft`.
        role: a text must be a string; a label may be a number or a truth value, and so may a flag, 0 or 1 for one of
            several labels; labels are a list or a string; a group is read as a label, and so is the
            probability of a soft label; a plain cell is taken as it is; a
            kept one is whatever the file has, of any type.
    """

    index: int
    name: str
    role: Literal["text", "label", "labels", "flag", "group", "soft", "plain", "kept"]
    continues: bool = False
    soft_label: str = ""


Row = tuple[int, Sequence[Cell]]
"""The line or row number and the picked cells; None is a missing value, which a blank cell is not."""


class Table(Protocol):
    """A file opened for reading; warnings are what looks wrong in it, notes how it is read where nobody said it."""

    path: str
    warnings: list[str]
    notes: list[str]
    row_hint: str | None
    column_hint: str | None

    @property
    def width(self) -> int:
        """Number of columns."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns; None without a header."""

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the rows once, from the first to the last.

        Raises:
            DataError: the file cannot be read further.
        """


@runtime_checkable
class GrowingTable(Protocol):
    """A table whose later rows may have columns that its first rows lack."""

    def complete_names(self) -> None:
        """Reads all rows for the names of their columns."""


def find_column(table: Table, column: str | int) -> int:
    """Finds the position of a column.

    Args:
        table: the table.
        column: a name, a number from 0, or digits standing for a number.

    Raises:
        ConfigError: there is no such column; names the nearest one and all there are.
        DataError: two columns have this name.
    """
    if isinstance(column, str):
        if isinstance(table, GrowingTable) and column not in (table.names or ()):
            table.complete_names()
        if table.names is not None and column in table.names:
            if table.names.count(column) > 1:
                places = [str(place) for place, name in enumerate(table.names) if name == column]
                raise DataError(
                    f"{table.path}: {len(places)} columns are called '{column}'",
                    hint=f"rename one of them, or name the column by its number: {' or '.join(places)}",
                )
            return table.names.index(column)
        if not (column.isascii() and column.isdigit()):
            raise NoColumnError(_no_such_column(table, column), hint=_hint_for(table, column))
        column = int(column[:9])
    if not 0 <= column < table.width:
        raise NoColumnError(
            f"{table.path} has no column number {column}: it has {table.width} "
            f"column{'s' if table.width != 1 else ''}, counted from 0",
            hint=table.column_hint,
        )
    return column


def has_column(table: Table, column: str | int) -> bool:
    """Tells whether a table has a column, or several of that name."""
    try:
        find_column(table, column)
    except ConfigError:
        return False
    except DataError:
        return True
    return True


def has_one_column(table: Table, column: str | int) -> bool:
    """Tells whether a table has exactly one column of a name, or a column of a number."""
    try:
        find_column(table, column)
    except (ConfigError, DataError):
        return False
    return True


def pick_columns(table: Table, columns: Columns, *, require_label: bool) -> list[Pick]:
    """Finds the columns of a task in a table.

    Args:
        table: the table.
        columns: the columns of the task.
        require_label: whether a missing label column is an error; otherwise it is left out.

    Returns:
        The first text, the second one if there are pairs, the label if there is one, or the flags of several, the
        probabilities of soft labels, and the group if one is named. A text in several columns has a pick for each.

    Raises:
        ConfigError: a column is missing, or two of the columns are the same.
    """
    picks = _picks_of_text(table, columns.text_a)
    if columns.text_b is not None:
        picks += _picks_of_text(table, columns.text_b)
    flags = () if columns.several is None else columns.several.columns
    wanted = flags if columns.label is None else (columns.label,)
    if require_label or all(has_one_column(table, column) for column in wanted):
        role: Literal["label", "labels", "flag"] = "flag" if flags else "label" if columns.several is None else "labels"
        found = [Pick(find_column(table, column), str(column), role) for column in wanted]
        # A column of the text that has the number of that of the label in training holds no labels.
        if require_label or not {pick.index for pick in found} & {pick.index for pick in picks}:
            picks += found
    if len({pick.index for pick in picks}) != len(picks):
        raise ConfigError(f"{table.path}: two of the columns {', '.join(pick.name for pick in picks)} are the same one")
    picks += [Pick(find_column(table, column), column, "soft", soft_label=label) for column, label in columns.soft]
    if columns.group is not None:
        picks.append(Pick(find_column(table, columns.group), str(columns.group), "group"))
    return picks


def _picks_of_text(table: Table, column: str | int) -> list[Pick]:
    """Gives a pick for the column of a text, or for each of those that are named with commas between them."""
    parts: list[str | int] = [column]
    if isinstance(column, str) and "," in column and not has_column(table, column):
        parts = [part.strip() for part in column.split(",")]
    return [
        Pick(find_column(table, part), str(part), "text", continues=number > 0) for number, part in enumerate(parts)
    ]


def _no_such_column(table: Table, column: str) -> str:
    if table.names is None:
        return f"{table.path} is read without a header, so there is no column '{shorten(column)}'"
    shown = ", ".join(f"'{shorten(name)}'" for name in table.names[:_NAMES_SHOWN])
    more = ", …" if len(table.names) > _NAMES_SHOWN else ""
    return f"{table.path} has no column '{shorten(column)}'; its columns are {shown}{more}"


def _hint_for(table: Table, column: str) -> str | None:
    if table.column_hint is not None:
        return table.column_hint
    if table.names is None:
        return f"give the number of the column, 0 to {table.width - 1}"
    match = nearest(column, table.names)
    return None if match is None else f"did you mean '{shorten(match)}'?"
