"""The wire format of protocol buffers, read without a schema compiler.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10

Field = tuple[int, "int | memoryview"]


class WireError(ValueError):
    """Bytes that are not a protocol buffer, or end too early."""


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Reads one base-128 number.

    Returns:
        The number, from 0 to 2**64 - 1, and the position behind it.

    Raises:
        WireError: the number is longer than 64 bits or the bytes end in it.
    """
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(data):
            raise WireError("the bytes end inside of a number")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, position + index + 1
    raise WireError("a number of more than 64 bits")


def fields(data: memoryview) -> Iterator[Field]:
    """Yields the fields of a message in their order.

    Yields:
        The field's number, and its value: a whole number, or the bytes of a text or a message inside, not copied.

    Raises:
        WireError: the bytes are not a protocol buffer.
    """
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = read_varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = read_varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise WireError(f"a field of the unknown kind {kind}")
        end = position + length
        if number == 0 or end > len(data):
            raise WireError("a field reaches behind the end of its message")
        part = data[position:end]
        yield number, part if kind == _BYTES else int.from_bytes(part, "little")
        position = end


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
