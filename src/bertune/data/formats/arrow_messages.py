"""Declared sizes of the parts of an Arrow file, read before anything is decompressed.

Source: https://arrow.apache.org/docs/format/Columnar.html and the FlatBuffers tables Message.fbs and File.fbs there.
pyarrow allocates the size that stands in front of each compressed buffer, whatever it is, and has no limit of its own.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

from bertune.errors import DataError

_MAGIC: Final = b"ARROW1"
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
#: Before compression was part of the format, a key of the message's own metadata stood for it.
_EARLY_COMPRESSION: Final = b"ARROW:experimental_compression"


class _Table:
    """A table of a FlatBuffer: fields by their number, absent ones are 0."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        self._fields = at - _number(content, at, "<i")
        self._size = _number(content, self._fields, "<H")

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return _number(self._content, place, form) if place else 0

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return _Table(self._content, place + _number(self._content, place, "<I")) if place else None

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """Gives the entries of a vector of structs."""
        place = self._place(field)
        if not place:
            return
        start = place + _number(self._content, place, "<I")
        count, size = _number(self._content, start, "<I"), struct.calcsize(form)
        if start + 4 + count * size > len(self._content):
            raise ValueError("a list is longer than its message")
        yield from struct.iter_unpack(form, self._content[start + 4 : start + 4 + count * size])

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        offset = _number(self._content, self._fields + entry, "<H") if entry < self._size else 0
        return self._at + offset if offset else 0


def check_declared_sizes(source: Any, shown: str, *, allowed: int, growth: int) -> None:
    """Refuses an Arrow file whose compressed parts claim to become far larger than they are.

    Args:
        source: the opened file, a `pyarrow.NativeFile` at its beginning.
        shown: how messages call it.
        allowed: bytes that a part may always have.
        growth: how many times larger than it is a part may become beyond that.

    Raises:
        DataError: a part, or all dictionaries together, claims more.
        ValueError, struct.error, pyarrow.ArrowException, OSError: the file is damaged.
    """
    dictionaries = packed_dictionaries = 0
    for message in _messages(source):
        metadata = message.metadata.to_pybytes()
        table = _Table(metadata, _number(metadata, 0, "<I"))
        kind = table.number(1, "<B")
        batch = table.table(2)
        if batch is not None and kind == _DICTIONARY_BATCH:
            batch = batch.table(1)
        if batch is None or kind not in (_RECORD_BATCH, _DICTIONARY_BATCH):
            continue
        is_compressed = batch.table(3) is not None or _EARLY_COMPRESSION in metadata
        claimed = _claimed(batch, message.body, is_compressed=is_compressed)
        packed = message.body.size
        if kind == _DICTIONARY_BATCH:
            dictionaries, packed_dictionaries = dictionaries + claimed, packed_dictionaries + packed
            claimed, packed = dictionaries, packed_dictionaries
        if claimed > max(allowed, growth * packed):
            raise DataError(
                f"{shown}: {packed:,} bytes of it claim to become {claimed:,}, more than any table does",
                hint="fetch or write the file again; if it is right, write it uncompressed",
            )


def _messages(source: Any) -> Iterator[Any]:
    import pyarrow.ipc

    size = source.size()
    if source.read(len(_MAGIC)) != _MAGIC:
        source.seek(0)
        yield from pyarrow.ipc.MessageReader.open_stream(source)
        return
    source.seek(size - len(_MAGIC) - 4)
    length = _number(source.read(4), 0, "<I")
    if length > size - 2 * len(_MAGIC) - 4:
        raise ValueError("the footer is longer than the file")
    source.seek(size - len(_MAGIC) - 4 - length)
    footer = source.read(length)
    table = _Table(footer, _number(footer, 0, "<I"))
    for blocks in (2, 3):
        for start, _, _ in table.structs(blocks, "<qi4xq"):
            if not 0 <= start < size:
                raise ValueError("a part lies outside of the file")
            source.seek(start)
            yield pyarrow.ipc.read_message(source)


def _claimed(batch: _Table, body: Any, *, is_compressed: bool) -> int:
    """Adds up what the buffers of a batch become; an uncompressed one stays as it is."""
    total = 0
    for start, length in batch.structs(2, "<qq"):
        if start < 0 or length < 0 or start + length > body.size:
            raise ValueError("a buffer lies outside of its part")
        # Minus one stands before a buffer that was not worth compressing.
        claimed = _number(body.slice(start, 8).to_pybytes(), 0, "<q") if is_compressed and length >= 8 else -1
        total += length if claimed == -1 else claimed
        if claimed < -1:
            raise ValueError("a buffer claims a size below 0")
    return total


def _number(content: bytes, at: int, form: str) -> int:
    if at < 0:
        raise ValueError("an offset lies before the message")
    value: int = struct.unpack_from(form, content, at)[0]
    return value
