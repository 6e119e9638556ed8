"""Entries of a TensorFlow checkpoint's index.

Source: tensorflow/core/protobuf/tensor_bundle.proto and tensorflow/core/lib/strings/ordered_code.h.
"""

import math
from dataclasses import dataclass

from bertune.system.protobuf_wire import WireError, as_bytes, as_int, fields

STRING = "STRING"
# TensorFlow's number of a type -> its name here (that of safetensors) and the bytes of an element.
DTYPES = {
    1: ("F32", 4),
    2: ("F64", 8),
    3: ("I32", 4),
    4: ("U8", 1),
    5: ("I16", 2),
    6: ("I8", 1),
    7: (STRING, 0),
    8: ("C64", 8),
    9: ("I64", 8),
    10: ("BOOL", 1),
    14: ("BF16", 2),
    17: ("U16", 2),
    19: ("F16", 2),
    22: ("U32", 4),
    23: ("U64", 8),
}
_MAX_DIMENSIONS = 16
_MAX_SLICES = 512

Extent = tuple[int, int]


@dataclass(frozen=True)
class BundleEntry:
    """One tensor, or one slice of a partitioned tensor.

    Args:
        dtype: in the words of safetensors, such as `F32`, or `STRING`.
        shape: of the tensor, of the whole for a partitioned one.
        shard: number of the data file.
        offset: its first byte there.
        size: its bytes.
        crc: masked CRC32C of its bytes.
        slices: for a partitioned tensor, start and length along each axis, for each part; the parts have entries.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: tuple[tuple[Extent, ...], ...] = ()


def parse_header(value: bytes) -> tuple[int, bool]:
    """Reads `BundleHeaderProto`.

    Returns:
        The number of data files, and whether the numbers in them are little-endian.

    Raises:
        WireError: the bytes are not such a header.
    """
    numbers = {number: content for number, content in fields(memoryview(value)) if number in (1, 2)}
    return as_int(numbers.get(1, 0)), as_int(numbers.get(2, 0)) == 0


def parse_entry(value: bytes) -> BundleEntry:
    """Reads `BundleEntryProto`.

    Raises:
        WireError: the bytes are not such an entry, the type is unknown, or the size does not hold the shape.
    """
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    slices: list[memoryview] = []
    for number, content in fields(memoryview(value)):
        if number in numbers:
            numbers[number] = as_int(content)
        elif number == 2:
            shape = _parse_shape(as_bytes(content))
        elif number == 7:
            slices.append(as_bytes(content))
    if numbers[1] not in DTYPES:
        raise WireError(f"unknown dtype {numbers[1]}")
    dtype, element_bytes = DTYPES[numbers[1]]
    if len(slices) > _MAX_SLICES:
        raise WireError(f"{len(slices):,} slices")
    parts = tuple(_parse_slice(part, shape) for part in slices)
    if not parts and dtype != STRING and numbers[5] != math.prod(shape) * element_bytes:
        raise WireError(f"{numbers[5]:,} bytes do not hold the shape {shape} of {dtype}")
    return BundleEntry(dtype, shape, numbers[3], numbers[4], numbers[5], numbers[6], parts)


def _parse_shape(data: memoryview) -> tuple[int, ...]:
    sizes: list[int] = []
    for number, content in fields(data):
        if number == 2:
            axis = {key: as_int(size) for key, size in fields(as_bytes(content)) if key == 1}
            sizes.append(axis.get(1, 0))
        elif number == 3 and content:
            raise WireError("a shape of unknown rank")
    if len(sizes) > _MAX_DIMENSIONS or any(size >= 1 << 63 for size in sizes):
        raise WireError("a shape that no tensor has")
    return tuple(sizes)


def _parse_slice(data: memoryview, shape: tuple[int, ...]) -> tuple[Extent, ...]:
    extents: list[Extent] = []
    for number, content in fields(data):
        if number == 1:
            extent = {key: as_int(size) for key, size in fields(as_bytes(content)) if key in (1, 2)}
            # Without a length it is the whole axis.
            extents.append((extent.get(1, 0), extent.get(2, -1)))
    if len(extents) != len(shape):
        raise WireError("a slice of another rank than its tensor")
    for (start, length), size in zip(extents, shape, strict=True):
        if start + max(length, 0) > size or (length == -1 and start != 0):
            raise WireError("a slice outside of its tensor")
    return tuple(extents)


def slice_shape(extents: tuple[Extent, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of one slice of a tensor."""
    return tuple(size if length == -1 else length for (_, length), size in zip(extents, shape, strict=True))


def slice_key(name: str, extents: tuple[Extent, ...]) -> bytes:
    """Returns the key under which the index keeps a slice of a partitioned tensor."""
    escaped = name.encode().replace(b"\xff", b"\xff\x00").replace(b"\x00", b"\x00\xff")
    key = b"\x00" + escaped + b"\x00\x01" + _ordered_unsigned(len(extents))
    for start, length in extents:
        key += _ordered_signed(start) + _ordered_signed(length)
    return key


def _ordered_unsigned(number: int) -> bytes:
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "big")


def _ordered_signed(number: int) -> bytes:
    """Writes a number so that the order of bytes is the order of numbers.

    As many ones as there are bytes, then the number in two's complement, every byte holding 7 bits of it; for negative
    numbers all bits of the head are flipped.
    """
    length = next(n for n in range(1, 11) if -(1 << (7 * n - 1)) <= number < 1 << (7 * n - 1))
    head = ((1 << length) - 1) << (7 * length)
    return ((number & ((1 << (8 * length)) - 1)) ^ head).to_bytes(length, "big")
