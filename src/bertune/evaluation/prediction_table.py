"""Predictions as a Parquet file that is written as they come."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bertune.data.row_blocks import PlacedRow
from bertune.data.task_kind import TaskKind
from bertune.evaluation.prediction_rows import NOT_READ, PredictionColumns, PredictionRow

_ROWS_PER_GROUP: Final = 16_384


class PredictionTable:
    """A Parquet file of predictions, whose memory does not grow with its rows.

    The types of its columns follow from the model and the columns that are kept, never from the rows: all shards have
    the same.

    Args:
        path: to write.
        columns: of the rows.
        kept: the type of each kept column, as pyarrow's.
    """

    def __init__(self, path: Path, columns: PredictionColumns, kept: Sequence[Any]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._columns = columns
        place: list[Any] = [pyarrow.string() if name == "file" else pyarrow.int64() for name in columns.place]
        predicted = [_type_of(name, columns) for name in columns.prediction_names]
        self._kept = range(len(place), len(place) + len(kept))
        self._schema = pyarrow.schema(list(zip(columns.names, [*place, *kept, *predicted], strict=True)))
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._batches: list[Any] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write()
        self._writer.close()

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Takes rows; they are on disk when there are enough for a group."""
        import pyarrow

        cells = [self._columns.cells(row) for row in rows]
        arrays = []
        for place, field in enumerate(self._schema):
            values = [row[place] for row in cells]
            if place in self._kept:
                values = [_kept_value(value, is_text=pyarrow.types.is_string(field.type)) for value in values]
            arrays.append(pyarrow.array(values, field.type))
        self._batches.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows += len(rows)
        if self._rows >= _ROWS_PER_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow

        if self._batches:
            table = pyarrow.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        self._batches, self._rows = [], 0


def place_of(row: PlacedRow, names: Sequence[str]) -> tuple[Any, ...]:
    """Gives where a row stands, by the names of `PredictionColumns.place`."""
    values = {"file": row.path, "row": row.row, "line": row.line}
    return tuple(values[name] for name in names)


def _type_of(name: str, columns: PredictionColumns) -> Any:
    import pyarrow

    kind = columns.signature.kind
    if name == columns.predicted and kind is TaskKind.MULTI_LABEL:
        return pyarrow.list_(pyarrow.string())
    is_text = name == NOT_READ or name.endswith("_label") or (name == columns.predicted and kind.has_labels)
    if is_text and not name.startswith("probability_"):
        return pyarrow.string()
    return pyarrow.float64()


def _kept_value(value: Any, *, is_text: bool) -> Any:
    """Makes a kept cell one of its column's type: scalars of Arrow have it; other values are a string, or JSON."""
    import pyarrow

    if hasattr(value, "as_py"):
        if not value.is_valid:
            return None
        if is_text:
            return str(value.as_py())
        return value.value if pyarrow.types.is_dictionary(value.type) else value
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
