"""The pages of Parquet files: how large they are, and how large they say that they become.

Source: https://github.com/apache/parquet-format (parquet.thrift), in Thrift's compact protocol. Not by pyarrow's own
metadata: of some damaged files they end the process, where reading the file is an error like any other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

_MAGIC: Final = b"PAR1"
_MOST_FOOTER_BYTES: Final = 16_000_000
_HEADER_BYTES: Final = 4096
_MOST_DEPTH: Final = 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DELTA_BYTE_ARRAY: Final = 7
#: Encodings that write a value, or its beginning, once for many rows; the others are those with a dictionary.
_REPEATING: Final = frozenset({2, _DELTA_BYTE_ARRAY, 8})


@dataclass(frozen=True)
class ColumnLayout:
    """The pages of a column in one row group.

    Args:
        values: how many it holds.
        bytes: what its pages become.
        largest: no value is larger than this.
        repeats: whether it may hold a value once for many rows.
    """

    values: int
    bytes: int
    largest: int
    repeats: bool


def read_layout(path: Path, names: list[str]) -> list[ColumnLayout]:
    """Reads the headers of the pages of some columns.

    Args:
        path: the file.
        names: of the columns, or of the groups that they are in.

    Returns:
        The columns of all row groups, one after another.

    Raises:
        ValueError: the file is damaged.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > min(size - 8, _MOST_FOOTER_BYTES):
            raise ValueError("the footer is not there, or larger than any")
        stream.seek(size - 8 - length)
        footer, _ = _struct(stream.read(length), 0)
        wanted = {name.encode() for name in names}
        try:
            chunks = [chunk[3] for group in footer[4] for chunk in group[1]]
            return [_layout(stream, chunk, size) for chunk in chunks if wanted & {chunk[3][0], b".".join(chunk[3])}]
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"the footer lacks what each has ({error!r})") from error


def _layout(stream: IO[bytes], chunk: dict[int, Any], size: int) -> ColumnLayout:
    dictionary, repeats = 0, bool(_REPEATING.intersection(chunk[2]))
    pages: list[int] = []
    start = min(place for place in (chunk[9], chunk.get(11, 0) or chunk[9]) if place)
    end = start + chunk[7]
    if not 0 < start <= end <= size:
        raise ValueError("a column lies outside of the file")
    while start < end:
        stream.seek(start)
        header, length = _header(stream)
        if min(header[2], header[3]) < 0:
            raise ValueError("a page claims a size below 0")
        if header[1] == 2:  # a page of a dictionary
            dictionary = max(dictionary, header[2])
        pages.append(header[2])
        start += length + header[3]
    # A value that continues the one before it continues one of the same page.
    largest = max(pages, default=0) if _DELTA_BYTE_ARRAY in chunk[2] or not dictionary else dictionary
    return ColumnLayout(chunk[5], sum(pages), largest, repeats)


def _header(stream: IO[bytes]) -> tuple[dict[int, Any], int]:
    """Reads the header of a page, which is short but for the statistics that it may hold."""
    content = stream.read(_HEADER_BYTES)
    try:
        return _struct(content, 0)
    except IndexError:
        content += stream.read(_MOST_FOOTER_BYTES)
        try:
            return _struct(content, 0)
        except IndexError:
            raise ValueError("a page has no header") from None


def _struct(content: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Reads the fields of a struct by their numbers, and where it ends."""
    if depth > _MOST_DEPTH:
        raise ValueError("nested more deeply than Parquet is")
    fields: dict[int, Any] = {}
    number = 0
    while head := content[at]:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            number, at = _signed(content, at)
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(content, at, kind, depth)
    return fields, at + 1


def _value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE, _BYTE):  # in a list, a truth value is a byte
        return content[at], at + 1
    if kind < _DOUBLE:
        return _signed(content, at)
    if kind == _DOUBLE:
        return content[at : at + 8], at + 8
    if kind == _BINARY:
        length, at = _unsigned(content, at)
        if length > len(content) - at:
            raise IndexError("a text is longer than what holds it")
        return content[at : at + length], at + length
    if kind == _STRUCT:
        return _struct(content, at, depth + 1)
    if kind in (_LIST, _SET):
        return _items(content, at, depth + 1)
    if kind == _MAP:
        raise ValueError("a map, of which Parquet has none")
    raise ValueError(f"a value of the unknown kind {kind}")


def _items(content: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _MOST_DEPTH:
        raise ValueError("nested more deeply than Parquet is")
    head, at = content[at], at + 1
    count = head >> 4
    if count == 0x0F:
        count, at = _unsigned(content, at)
    items: list[Any] = []
    for _ in range(count):
        item, at = _value(content, at, head & 0x0F, depth)
        items.append(item)
    return items, at


def _bytes_of_number(content: bytes, at: int) -> Iterator[int]:
    for place in range(at, at + 10):
        yield content[place]
        if content[place] < 0x80:
            return
    raise ValueError("a number of more than ten bytes")


def _unsigned(content: bytes, at: int) -> tuple[int, int]:
    number = length = 0
    for byte in _bytes_of_number(content, at):
        number |= (byte & 0x7F) << (7 * length)
        length += 1
    return number, at + length


def _signed(content: bytes, at: int) -> tuple[int, int]:
    number, at = _unsigned(content, at)
    return number >> 1 ^ -(number & 1), at
