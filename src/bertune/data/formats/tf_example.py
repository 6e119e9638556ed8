"""The wire format of `tf.train.Example`: a map from names to lists of integers, floats or bytes.

The messages (tensorflow/core/example/feature.proto), with their field numbers:

    Example   { features = 1: Features }
    Features  { feature = 1: repeated entry { key = 1: string, value = 2: Feature } }
    Feature   { one of bytes_list = 1, float_list = 2, int64_list = 3, each { value = 1: repeated } }

Numbers are written packed, as every protobuf library writes them here; both packed and unpacked ones are read.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.errors import DataError
from bertune.system.protobuf_wire import (
    FIXED32,
    LENGTH_DELIMITED,
    LONGEST_VARINT,
    VARINT,
    WireError,
    delimited,
    raw_fields,
)

FeatureValue = NDArray[np.int64] | NDArray[np.float32] | list[bytes]

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3


def parse_example(content: bytes, only: Container[str] | None = None) -> dict[str, FeatureValue]:
    """Reads one serialized Example.

    Args:
        content: the bytes of a record.
        only: names of the features whose values are wanted; None reads all.

    Returns:
        Name to values: int64 or float32 array, or a list of bytes. A feature without a list is an empty list.

    Raises:
        DataError: the bytes are no Example; says what is wrong, not where: the caller knows the file.
    """
    features: dict[str, FeatureValue] = {}
    try:
        for number, kind, value in raw_fields(content):
            if (number, kind) != (1, LENGTH_DELIMITED):
                continue
            for entry_number, entry_kind, entry in raw_fields(value):
                if (entry_number, entry_kind) == (1, LENGTH_DELIMITED):
                    name, feature = _entry(entry)
                    if only is None or name in only:
                        features[name] = _values(feature)
    except WireError as error:
        raise DataError(str(error)) from error
    return features


def encode_example(features: Mapping[str, NDArray[Any] | Sequence[bytes]]) -> bytes:
    """Writes an Example; equal features give equal bytes, since names are written in order.

    Args:
        features: name to a one-dimensional array of integers or floats, or to a list of bytes.

    Raises:
        DataError: an array holds something else, or integers beyond 64 bits.
    """
    return example_of({name: _feature(name, features[name]) for name in features})


def example_of(features: Mapping[str, bytes]) -> bytes:
    """Writes an Example of features that are already written (see `integer_feature`, `float_feature`)."""
    body = b"".join(
        delimited(1, delimited(1, name.encode()) + delimited(2, features[name])) for name in sorted(features)
    )
    return delimited(1, body)


def integer_feature(packed: bytes) -> bytes:
    """Writes a Feature of integers that are already varints one after another (see `varints`)."""
    return delimited(_INTEGERS, delimited(1, packed))


def float_feature(values: NDArray[Any]) -> bytes:
    """Writes a Feature of 32-bit floats."""
    return delimited(_FLOATS, delimited(1, np.asarray(values, dtype="<f4").tobytes()))


def varints(values: NDArray[Any]) -> tuple[bytes, NDArray[np.int64]]:
    """Writes many integers at once.

    Args:
        values: (numbers,) of any integer type; negative ones take ten bytes, as two's complement.

    Returns:
        The bytes of all, and where each number begins (numbers + 1).
    """
    numbers = np.asarray(values).astype(np.int64).view(np.uint64)
    sizes = np.ones(len(numbers), np.int64)
    for position in range(1, LONGEST_VARINT):
        longer = numbers >= np.uint64(1 << 7 * position)
        if not longer.any():
            break
        sizes += longer
    starts = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    flat = np.empty(int(starts[-1]), np.uint8)
    for position in range(int(sizes.max(initial=0))):
        has = sizes > position
        more = np.where(sizes[has] > position + 1, 0x80, 0).astype(np.uint8)
        digits = (numbers[has] >> np.uint64(7 * position)) & np.uint64(0x7F)
        flat[starts[:-1][has] + position] = digits.astype(np.uint8) | more
    return flat.tobytes(), starts


def _feature(name: str, values: NDArray[Any] | Sequence[bytes]) -> bytes:
    if isinstance(values, np.ndarray):
        if values.ndim == 1 and values.dtype.kind in "iub" and values.dtype != np.uint64:
            return integer_feature(varints(values)[0])
        if values.ndim == 1 and values.dtype.kind == "f":
            return float_feature(values)
        raise DataError(f"feature '{name}': expected one row of integers or floats, found {values.dtype}")
    return delimited(_BYTES, b"".join(delimited(1, value) for value in values))


def _entry(content: bytes) -> tuple[str, bytes]:
    name, feature = b"", b""
    for number, kind, value in raw_fields(content):
        if kind == LENGTH_DELIMITED and number == 1:
            name = value
        elif kind == LENGTH_DELIMITED and number == 2:
            feature = value
    try:
        return name.decode(), feature
    except UnicodeDecodeError as error:
        raise DataError("the name of a feature is not UTF-8") from error


def _values(content: bytes) -> FeatureValue:
    values: FeatureValue = []
    for number, kind, value in raw_fields(content):
        if kind != LENGTH_DELIMITED:
            continue
        if number == _BYTES:
            values = [piece for inner, form, piece in raw_fields(value) if (inner, form) == (1, LENGTH_DELIMITED)]
        elif number == _FLOATS:
            values = _floats(value)
        elif number == _INTEGERS:
            values = _integers(value)
    return values


def _floats(content: bytes) -> NDArray[np.float32]:
    parts: list[bytes] = []
    for number, kind, value in raw_fields(content):
        if number == 1 and kind in (LENGTH_DELIMITED, FIXED32):
            if len(value) % 4:
                raise DataError(f"a list of floats has {len(value)} bytes, expected a multiple of 4")
            parts.append(value)
    return np.frombuffer(b"".join(parts), "<f4").astype(np.float32)


def _integers(content: bytes) -> NDArray[np.int64]:
    packed = b"".join(
        value for number, kind, value in raw_fields(content) if number == 1 and kind in (LENGTH_DELIMITED, VARINT)
    )
    return _unpack_varints(packed)


def _unpack_varints(packed: bytes) -> NDArray[np.int64]:
    flat = np.frombuffer(packed, np.uint8)
    ends = flat < 0x80
    if ends.all():  # every number is below 128: as in masks and types
        return flat.astype(np.int64)
    last = np.flatnonzero(ends)
    if not len(last) or last[-1] != len(flat) - 1:
        raise DataError("a list of integers ends inside a number")
    starts = np.concatenate([[0], last[:-1] + 1])
    sizes = last - starts + 1
    if int(sizes.max()) > LONGEST_VARINT:
        raise DataError(f"an integer has {int(sizes.max())} bytes, at most {LONGEST_VARINT} are allowed")
    numbers = np.zeros(len(last), np.uint64)
    for position in range(int(sizes.max())):
        has = sizes > position
        digits = (flat[starts[has] + position] & 0x7F).astype(np.uint64)
        numbers[has] |= digits << np.uint64(7 * position)
    return numbers.view(np.int64)
