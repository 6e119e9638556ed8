"""Tables in memory: pandas, polars, pyarrow, Hugging Face `datasets`, and all that have Arrow's C stream interface.

None of them but pyarrow need be installed: a table is told by the name of its type or by what it can do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from bertune.data.examples import Columns, Examples
from bertune.data.formats.arrow_tables import ArrowTable
from bertune.data.given_values import described, is_nothing
from bertune.data.read_options import ReadOptions
from bertune.data.several_labels import SeveralLabels
from bertune.data.soft_labels import SoftColumns
from bertune.data.sources import collect
from bertune.data.table import pick_columns
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import did_you_mean

_NAMES_SHOWN = 12
_BATCH_ROWS = 8192
_HOW_TO_DROP = {"pandas": "dropna", "polars": "drop_nulls", "datasets": "filter"}


def is_frame(value: object) -> bool:
    """Tells whether a value is a table in memory: named columns that can be read through Arrow."""
    if _is_a(value, "pandas", "DataFrame") or _is_a(value, "datasets", "Dataset"):
        return True
    # A series has the interface too, but no columns.
    return hasattr(value, "__arrow_c_stream__") and (hasattr(value, "columns") or hasattr(value, "column_names"))


def read_frame(
    frame: Any,
    columns: Columns,
    *,
    name: str | None = None,
    reading: ReadOptions | None = None,
    require_label: bool = True,
) -> Examples:
    """Reads the columns of a table in memory as examples.

    They are read as those of a Parquet file: texts must be text; a label may be a number or a truth value; a ClassLabel
    of `datasets` becomes its word; a column of lists holds several labels a row, and an empty list none.

    Args:
        frame: a DataFrame of pandas or polars, a Table of pyarrow, a Dataset of `datasets`, or another table with
            Arrow's C stream interface.
        columns: where texts and label are: names, or numbers from 0 where no column has the number as its name.
        name: how messages call the table; None takes the name of its type.
        reading: what becomes of bad rows.
        require_label: whether the column of the label must be there, where one is named.

    Returns:
        The examples in the order of the rows, which are counted from 1.

    Raises:
        ConfigError: it is no such table, it has no such column, or a column holds something else.
        DataError: there is no row, or a row has no text or no label; names it.
    """
    shown = type(frame).__name__ if name is None else name
    _check(frame)
    header = _header(frame)
    flags = () if columns.several is None else columns.several.columns
    labels = flags if columns.label is None else (columns.label,)
    if not require_label and not all(label in header for label in labels):
        columns, flags, labels = replace(columns, label=None, several=None), (), ()
    texts = [None if text is None else _parts(header, text) for text in (columns.text_a, columns.text_b)]
    soft = [column for column, _ in columns.soft]
    others = [*labels, *soft, *([] if columns.group is None else [columns.group])]
    places = {
        column: _place(header, column, shown) for column in [*(part for text in texts for part in text or ()), *others]
    }
    chosen = sorted(set(places.values()))
    table = FrameTable(shown, _arrow_table(frame, chosen, shown), hint=_hint_for_rows(frame))
    if not table.rows_in:
        raise DataError(f"{shown} has no rows")
    number = {column: chosen.index(place) for column, place in places.items()}

    def named(column: str | int | None) -> str | None:
        return None if column is None else str(header[places[column]])

    several = columns.several and replace(columns.several, columns=tuple(str(header[places[flag]]) for flag in flags))
    has_lists = columns.label is not None and table.has_lists(number[columns.label])
    if has_lists and (several is None or several.separator is not None):
        several = SeveralLabels(allow_none=several is None or several.allow_none)
    text_a, text_b = (None if text is None else ",".join(str(header[places[part]]) for part in text) for text in texts)
    assert text_a is not None
    by_name = Columns(text_a, text_b, named(columns.label), several, named(columns.group), _named_soft(columns, named))
    picks = pick_columns(table, by_name, require_label=bool(labels))
    how = reading or ReadOptions()
    return collect(table, picks, reading=how, require_label=bool(labels), several=several)


def _named_soft(columns: Columns, named: Callable[[str], str | None]) -> SoftColumns:
    return tuple((named(column) or column, label) for column, label in columns.soft)


def column_names(frame: Any) -> tuple[str, ...]:
    """Returns the names of the columns of a table in memory, as texts."""
    return tuple(str(name) for name in _header(frame))


def _parts(header: Sequence[Any], column: str | int) -> list[str | int]:
    """Returns the columns of a text: one, or those named with commas between them."""
    if isinstance(column, str) and "," in column and column not in header:
        return [part.strip() for part in column.split(",")]
    return [column]


class FrameTable(ArrowTable):
    """A table in memory, as the reader of a file.

    Args:
        shown: how messages call it.
        table: a pyarrow Table.
        hint: what to do about a row that cannot be used.
    """

    def __init__(self, shown: str, table: Any, *, hint: str) -> None:
        self.path = shown
        self.warnings = []
        self.notes = []
        self.row_hint = hint
        self._table = table
        self._schema = table.schema
        self.names = tuple(table.schema.names)
        self.width = len(self.names)
        self.rows_in: int = table.num_rows

    def has_lists(self, index: int) -> bool:
        """Tells whether a column holds lists."""
        import pyarrow.types as types

        return bool(types.is_nested(self._schema.field(index).type))

    def _read(self, names: list[str]) -> Iterator[Any]:
        places = [place for place, name in enumerate(self.names) if name in names]
        yield from self._table.select(places).to_batches(max_chunksize=_BATCH_ROWS)


def _is_a(value: object, library: str, name: str) -> bool:
    """Tells whether a value is of a library's type, without importing the library."""
    return any(kind.__name__ == name and kind.__module__.partition(".")[0] == library for kind in type(value).__mro__)


def _check(frame: Any) -> None:
    if _is_a(frame, "polars", "LazyFrame"):
        raise ConfigError("a LazyFrame holds no rows yet", hint="collect() makes it a DataFrame")
    if _is_a(frame, "datasets", "DatasetDict"):
        raise ConfigError(
            f"a DatasetDict holds several data sets: {', '.join(map(repr, frame))}", hint="give one of them"
        )
    if not is_frame(frame):
        raise ConfigError(
            f"expected a table with named columns, got {described(frame)}",
            hint="a DataFrame, a pyarrow Table or a datasets.Dataset will do; Examples.from_lists takes lists",
        )


def _header(frame: Any) -> list[Any]:
    """Returns the names of the columns; in pandas they may be other things than text."""
    names = frame.column_names if hasattr(frame, "column_names") else frame.columns
    return list(names)


def _place(header: Sequence[Any], column: str | int, shown: str) -> int:
    if header.count(column) > 1:
        raise DataError(f"{shown}: two columns are called {column!r}", hint="rename one of them")
    if column in header:
        return header.index(column)
    number = int(column) if isinstance(column, str) and column.isascii() and column.isdigit() else column
    if isinstance(number, int) and 0 <= number < len(header):
        return number
    names = ", ".join(map(repr, header[:_NAMES_SHOWN])) + (", …" if len(header) > _NAMES_SHOWN else "")
    guess = did_you_mean(str(column), map(str, header))
    raise ConfigError(
        f"{shown} has no column {column!r}; its columns are {names}",
        hint=f"{guess + ' ' if guess else ''}text_a=…, text_b=… and label=… name the columns",
    )


def _hint_for_rows(frame: Any) -> str:
    methods = (method for library, method in _HOW_TO_DROP.items() if type(frame).__module__.startswith(library))
    how = next((f" with {method}(…)" for method in methods), "")
    return f"rows are counted from 1; leave such rows out{how}, or fill them"


def _arrow_table(frame: Any, places: list[int], shown: str) -> Any:
    """Returns a pyarrow Table of some of the columns; the others need not fit Arrow."""
    import pyarrow

    try:
        if _is_a(frame, "pandas", "DataFrame"):
            return pyarrow.Table.from_pandas(frame.iloc[:, places], preserve_index=False)
        if _is_a(frame, "datasets", "Dataset"):
            names = [frame.column_names[place] for place in places]
            return frame.select_columns(names).with_format("arrow")[:]
        return pyarrow.table(frame).select(places)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        problem = _mixed_values(frame, places, shown)
        if problem is None:
            problem = DataError(f"{shown} cannot be read through Arrow: {(str(error).splitlines() or [''])[0]}")
        raise problem from error


def _mixed_values(frame: Any, places: list[int], shown: str) -> DataError | None:
    """Finds the row that made Arrow refuse a column: a column of Python objects may hold several types."""
    if not _is_a(frame, "pandas", "DataFrame"):
        return None
    for place in places:
        first: Any = None
        for row, value in enumerate(frame.iloc[:, place].tolist(), start=1):
            if is_nothing(value):
                continue
            first = value if first is None else first
            if isinstance(value, str) != isinstance(first, str):
                name = frame.columns[place]
                return DataError(
                    f"{shown}:{row}: {name!r} holds {described(value)}, but {described(first)} above it",
                    hint=f"rows are counted from 1; make them all text: frame[{name!r}].astype(str)",
                )
    return None
