"""The wire format of protocol buffers, read and written without a schema compiler.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator
from typing import TypeVar

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10

Content = TypeVar("Content", bytes, memoryview)
Field = tuple[int, "int | memoryview"]


class WireError(ValueError):
    """Bytes that are not a protocol buffer, or end too early; says what is wrong, not where: the caller knows."""


def varint(value: int) -> bytes:
    """Writes one number, 0 to 2**64 - 1: seven bits a byte, the lowest first, the high bit set in all but the last."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def delimited(number: int, content: bytes) -> bytes:
    """Writes a field of bytes, a text or a message inside."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Reads one base-128 number.

    Returns:
        The number, from 0 to 2**64 - 1, and the position behind it.

    Raises:
        WireError: the number is longer than 64 bits or the bytes end in it.
    """
    if position < len(data) and (byte := data[position]) < 0x80:  # most are: tags, lengths of short fields
        return byte, position + 1
    value = 0
    for index in range(LONGEST_VARINT):
        if position + index >= len(data):
            raise WireError("the message ends inside a number")
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 64:
                raise WireError("a number has more than 64 bits")
            return value, position + index + 1
    raise WireError(f"a number has more than {LONGEST_VARINT} bytes")


def raw_fields(data: Content) -> Iterator[tuple[int, int, Content]]:
    """Walks over the fields of a message.

    Args:
        data: the message; parts of a memoryview are not copied.

    Yields:
        The field's number, its wire type, and its value as it stands there: a varint as its own bytes.

    Raises:
        WireError: the bytes are not a protocol buffer.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == LENGTH_DELIMITED:
            size, position = read_varint(data, position)
        elif kind == VARINT:
            size = read_varint(data, position)[1] - position
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise WireError(f"field {number} has the unknown wire type {kind}")
        if size > end - position:
            raise WireError(f"field {number} has {size:,} bytes, but only {end - position:,} follow")
        if number == 0:
            raise WireError("a field has the number 0")
        yield number, kind, data[position : position + size]
        position += size


def fields(data: memoryview) -> Iterator[Field]:
    """Walks over the fields of a message.

    Yields:
        The field's number, and its value: a whole number, or the bytes of a text or a message inside, not copied.

    Raises:
        WireError: the bytes are not a protocol buffer.
    """
    for number, kind, value in raw_fields(data):
        if kind == LENGTH_DELIMITED:
            yield number, value
        else:
            yield number, read_varint(value, 0)[0] if kind == VARINT else int.from_bytes(value, "little")


def as_bytes(value: "int | memoryview") -> memoryview:
    """Returns the value of a text or message field.

    Raises:
        WireError: the field holds a number.
    """
    if isinstance(value, int):
        raise WireError("a number where a message or a text belongs")
    return value


def as_int(value: "int | memoryview") -> int:
    """Returns the value of a number field.

    Raises:
        WireError: the field holds a text or a message.
    """
    if not isinstance(value, int):
        raise WireError("a message or a text where a number belongs")
    return value


def as_text(value: "int | memoryview") -> str:
    """Returns the value of a text field.

    Raises:
        WireError: the field holds a number, or bytes that are not UTF-8.
    """
    try:
        return bytes(as_bytes(value)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a text that is not UTF-8") from error
