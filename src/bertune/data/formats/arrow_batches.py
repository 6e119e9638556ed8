"""Batches of Parquet and Arrow files, checked before their values are looked at, a bounded number of bytes at a time.

pyarrow believes what an Arrow file says: offsets that lead outside of it end the process. Nothing is read here that
`validate(full=True)` has not gone over, and what comes out is counted against what went in.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from bertune.data.formats.arrow_messages import check_declared_sizes
from bertune.data.formats.parquet_layout import ColumnLayout, read_layout
from bertune.errors import DataError

Kind = Literal["parquet", "arrow"]

_MOST_ROWS: Final = 8192
#: Texts at a time; a batch with more is cut into several.
_PIECE_BYTES: Final = 64 << 20
#: What a file may become however small it is, and how many times its size beyond that.
ALWAYS_ALLOWED_BYTES: Final = 256 << 20
GROWTH: Final = 200
#: What a value costs as an object of Python, beside its characters.
_VALUE_BYTES: Final = 64
_AGAIN: Final = "fetch or write the file again"


def read_schema(path: Path, shown: str, kind: Kind) -> Any:
    """Reads the schema of a file.

    Args:
        path: the file.
        shown: how messages call it.
        kind: which of the two; an Arrow file may be in the file or in the stream format.

    Raises:
        DataError: the file is damaged, or claims to become far larger than it is.
    """
    with _damage_named(shown):
        if kind == "parquet":
            with _open_parquet(path) as file:
                schema = file.schema_arrow
        else:
            with _open_arrow(path, shown) as reader:
                schema = reader.schema
        _ = schema.names  # some of them may not be UTF-8
        return schema


def read_batches(path: Path, shown: str, kind: Kind, names: list[str]) -> Iterator[Any]:
    """Reads columns of a file, valid record batches of at most 64 MB of texts.

    Args:
        path: the file.
        shown: how messages call it.
        kind: see `read_schema`.
        names: of the columns; all others are left unread.

    Raises:
        DataError: see `read_schema`.
    """
    count = _Count(path.stat().st_size, shown)
    rows = 0
    with _damage_named(shown):
        batches = _parquet_batches(path, count, names) if kind == "parquet" else _arrow_batches(path, shown, names)
        for batch in batches:
            for name in names:
                for place in batch.schema.get_all_field_indices(name):
                    _check(batch.column(place), f"{shown}:{{}}: column '{name}'", rows)
            rows += batch.num_rows
            yield from count.pieces(batch)


class _Count:
    """Counts what comes out of a file."""

    def __init__(self, file_bytes: int, shown: str) -> None:
        self._file_bytes = file_bytes
        self._shown = shown
        self._left = max(ALWAYS_ALLOWED_BYTES, GROWTH * file_bytes)

    def pieces(self, batch: Any) -> Iterator[Any]:
        """Cuts a batch.

        Raises:
            DataError: more has come out than is allowed.
        """
        size = sum(map(_decoded_bytes, batch.columns))
        self.check_room(size)
        if size > _PIECE_BYTES and batch.num_rows > 1:
            half = batch.num_rows // 2
            yield from self.pieces(batch.slice(0, half))
            yield from self.pieces(batch.slice(half))
            return
        self._left -= size
        yield batch

    def check_room(self, size: int) -> None:
        """Refuses what is known to come out before it does.

        Raises:
            DataError: it would be more than is allowed.
        """
        if size > self._left:
            raise DataError(
                f"{self._shown}: more comes out of its {self._file_bytes:,} bytes than any table holds "
                f"(limit: {max(ALWAYS_ALLOWED_BYTES, GROWTH * self._file_bytes):,} bytes)",
                hint="fetch or write the file again; if it is right, write it as .csv or .jsonl",
            )


def _decoded_bytes(array: Any) -> int:
    """Returns the size of an array's values as Python objects."""
    import pyarrow.compute as compute
    import pyarrow.types as types

    kind, size = array.type, len(array) * _VALUE_BYTES
    if types.is_dictionary(kind):
        if is_text(kind.value_type):
            lengths = compute.binary_length(_plain_text(array.dictionary))
            size += compute.sum(lengths.take(array.indices)).as_py() or 0
    elif is_text(kind):
        size += compute.sum(compute.binary_length(_plain_text(array))).as_py() or 0
    elif is_list(kind):
        size += _decoded_bytes(array.flatten())
    return size


def _plain_text(array: Any) -> Any:
    import pyarrow

    return array.cast(pyarrow.large_string()) if pyarrow.types.is_string_view(array.type) else array


def is_text(kind: Any) -> bool:
    """Tells whether an Arrow type is one of text."""
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_list(kind: Any) -> bool:
    """Tells whether an Arrow type is one of lists."""
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _check(column: Any, place: str, rows_before: int) -> None:
    """Refuses a column that cannot be read safely; what is no UTF-8 is told with its row.

    Raises:
        DataError: a text is not UTF-8.
        pyarrow.ArrowInvalid: anything else.
    """
    import pyarrow

    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid:
        if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
            raise
        # The same bytes without the claim that they are text: if these are whole, only the text is at fault.
        column.view(
            pyarrow.large_binary() if pyarrow.types.is_large_string(column.type) else pyarrow.binary()
        ).validate(full=True)
        row = rows_before + 1 + _first_undecodable(column)
        raise DataError(f"{place.format(row)} holds bytes that are not UTF-8") from None


def _first_undecodable(column: Any) -> int:
    for position in range(len(column)):
        try:
            column[position].as_py()
        except UnicodeDecodeError:
            return position
    return 0


@contextmanager
def _damage_named(shown: str) -> Iterator[None]:
    """Turns what pyarrow says about a damaged file into one line that names it.

    A size that is nonsense is asked for before it is found to be so, which is a memory error; and what pyarrow's own
    Python code does with names that are not UTF-8 is a UnicodeDecodeError or SystemError.
    """
    import pyarrow

    try:
        yield
    except (
        pyarrow.ArrowException,
        OSError,
        SystemError,
        EOFError,
        ValueError,
        LookupError,
        ArithmeticError,
        struct.error,
    ) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{shown} is damaged or cut short: {first_line}", hint=_AGAIN) from error


def _open_parquet(path: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)


def _parquet_batches(path: Path, count: _Count, names: list[str]) -> Iterator[Any]:
    with _open_parquet(path) as file:
        columns = read_layout(path, names)
        count.check_room(file.metadata.num_rows * len(names) * _VALUE_BYTES)
        count.check_room(sum(column.bytes for column in columns))
        rows = min(map(_rows_at_once, columns), default=_MOST_ROWS)
        yield from file.iter_batches(batch_size=rows, columns=names)


def _rows_at_once(column: ColumnLayout) -> int:
    """Returns how many rows can be decoded at once without more than some pieces' worth of bytes."""
    rows = _PIECE_BYTES * column.values // max(column.bytes, 1)
    if column.repeats:
        # Each row may be the largest value.
        rows = min(rows, 2 * _PIECE_BYTES // max(column.largest, 1))
    return max(1, min(rows, _MOST_ROWS))


def _arrow_batches(path: Path, shown: str, names: list[str]) -> Iterator[Any]:
    with _open_arrow(path, shown, names) as reader:
        if hasattr(reader, "num_record_batches"):
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield from reader


@contextmanager
def _open_arrow(path: Path, shown: str, names: list[str] | None = None) -> Iterator[Any]:
    """Opens the file format where the file begins with its magic, else the stream format (`datasets` caches)."""
    import pyarrow
    import pyarrow.ipc

    with pyarrow.memory_map(str(path)) as source:
        check_declared_sizes(source, shown, allowed=ALWAYS_ALLOWED_BYTES, growth=GROWTH)
        source.seek(0)
        opener = pyarrow.ipc.open_file if source.read(6) == b"ARROW1" else pyarrow.ipc.open_stream
        source.seek(0)
        options = None
        if names is not None:
            with opener(source) as reader:
                places = [place for name in names for place in reader.schema.get_all_field_indices(name)]
                options = pyarrow.ipc.IpcReadOptions(included_fields=places)
            source.seek(0)
        with opener(source, options=options) as reader:
            yield reader
