"""Columns of a table that travel with its rows, as they stand, to be written beside the answers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

from bertune.data.read_report import RefusedRow
from bertune.data.table import GrowingTable, NoColumnError, Pick, Row, Table, find_column
from bertune.errors import ConfigError, DataError


class KeptColumns:
    """Columns to keep, and the cells of every row that was read.

    A cell is what the file has: a string of a delimited table, any value of JSON Lines, a scalar of pyarrow. None is a
    missing value.

    Args:
        wanted: names of columns, or digits that stand for their numbers from 0; None keeps all.
    """

    def __init__(self, wanted: Sequence[str] | None) -> None:
        self.names: tuple[str, ...] = ()
        self._wanted = wanted
        self._path = ""
        self._cells: dict[tuple[str, int], Sequence[Any]] = {}

    def watch(self, table: Table) -> Table:
        """Returns a table that reads as this one does, and whose rows leave their kept cells here.

        Raises:
            ConfigError: there is no such column, or one is named twice.
            DataError: two columns have the same name, or another file of the split has other columns.
        """
        if self._wanted is None and isinstance(table, GrowingTable):
            table.complete_names()
        try:
            places = range(table.width) if self._wanted is None else [find_column(table, name) for name in self._wanted]
        except NoColumnError as error:
            # Readers say how to name the columns of the texts; this is another one.
            raise ConfigError(error.message, hint=error.hint) from error
        names = _names_of(table, places)
        if self._path and names != self.names:
            raise DataError(
                f"{table.path} has other columns than {self._path}: {_shown(names)} and not {_shown(self.names)}",
                hint="name the columns that all files have with --keep",
            )
        self.names, self._path = names, table.path
        picks = [Pick(place, name, "kept") for place, name in zip(places, names, strict=True)]
        return cast(Table, _WatchedTable(table, picks, self._cells))

    def cells(self, path: str, line: int) -> Sequence[Any]:
        """Returns the kept cells of a row; all missing where the row could not be taken apart."""
        return self._cells.get((path, line), (None,) * len(self.names))

    def forget(self) -> None:
        """Forgets the cells of all rows so far, so that memory does not grow with the rows of a table."""
        self._cells.clear()


class _WatchedTable:
    """A table whose rows are also asked for the kept columns; the reader sees the columns that it picked."""

    def __init__(self, table: Table, kept: list[Pick], cells: dict[tuple[str, int], Sequence[Any]]) -> None:
        self._table = table
        self._kept = kept
        self._cells = cells

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        for row in self._table.rows([*picks, *self._kept]):
            if isinstance(row, RefusedRow):
                yield row
                continue
            line, cells = row
            self._cells[self._table.path, line] = cells[len(picks) :]
            yield line, cells[: len(picks)]


def _names_of(table: Table, places: Sequence[int]) -> tuple[str, ...]:
    """Names columns as the table does; without a header, and where several have no name, by their number."""
    twice = [place for place, times in Counter(places).items() if times > 1]
    names = [f"column_{place}" if table.names is None else table.names[place] for place in places]
    if names.count("") > 1:
        names = [name or f"column_{place}" for name, place in zip(names, places, strict=True)]
    if twice:
        raise ConfigError(f"{table.path}: '{names[places.index(twice[0])]}' is kept twice", hint="name it once")
    for name, times in Counter(names).items():
        if times > 1:
            raise DataError(
                f"{table.path}: two columns are called '{name}', so the answers cannot keep both",
                hint="rename one of them, or name the columns to be kept with --keep",
            )
    return tuple(names)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
