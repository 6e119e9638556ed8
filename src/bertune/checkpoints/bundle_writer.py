"""Writes the `.index` and the data file of a TensorFlow checkpoint.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc and https://github.com/google/leveldb/blob/main/doc/table_format.md.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.system.masked_crc import crc32c, masked
from bertune.system.protobuf_wire import delimited, varint

_TYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "bool": 10, "float16": 19}
_STRING = 7
_MAGIC = bytes.fromhex("57fb808b247547db")
_BLOCK_BYTES = 1 << 16


def message(*parts: tuple[int, int | bytes]) -> bytes:
    """Returns a protocol buffer of numbered numbers, texts and messages, in the given order; zeros are left out."""
    written = b""
    for number, value in parts:
        if isinstance(value, bytes):
            written += delimited(number, value)
        elif value:
            written += varint(number << 3) + varint(value)
    return written


def write_bundle(prefix: Path, tensors: Iterable[tuple[str, NDArray[Any] | bytes]]) -> None:
    """Writes a checkpoint with one data file.

    Args:
        prefix: the path without `.index`; files that are there are overwritten.
        tensors: names and values, each written as it comes; bytes become a scalar of one string.
    """
    entries = {b"": message((1, 1), (3, message((1, 1))))}
    with prefix.with_name(f"{prefix.name}.data-00000-of-00001").open("wb") as stream:
        for name, value in tensors:
            offset = stream.tell()
            if isinstance(value, bytes):
                kind, shape = _STRING, b""
                head = len(value).to_bytes(4, "little")
                heads_crc = masked(crc32c([head])).to_bytes(4, "little")
                # The lengths are summed as numbers of 4 bytes, and written as base-128.
                crc = masked(crc32c([head, heads_crc, value]))
                content = memoryview(varint(len(value)) + heads_crc + value)
            else:
                kind = _TYPES[value.dtype.name]
                shape = b"".join(message((2, message((1, size)) or b"")) for size in value.shape)
                # A view of one axis: the bytes of a scalar or an empty tensor too.
                content = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
                crc = masked(crc32c([content]))
            stream.write(content)
            entries[name.encode()] = message((1, kind), (2, shape), (4, offset), (5, len(content))) + (
                varint(6 << 3 | 5) + crc.to_bytes(4, "little")
            )
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries))


def table(entries: dict[bytes, bytes]) -> bytes:
    """Returns a sorted table with these entries, uncompressed."""
    written = bytearray()
    index: list[tuple[bytes, bytes]] = []
    waiting: list[tuple[bytes, bytes]] = []
    for key in sorted(entries):
        waiting.append((key, entries[key]))
        if sum(len(k) + len(v) for k, v in waiting[-64:]) > _BLOCK_BYTES or len(waiting) >= 512:
            index.append((key, _append_block(written, waiting)))
            waiting = []
    if waiting:
        index.append((waiting[-1][0], _append_block(written, waiting)))
    footer = _append_block(written, []) + _append_block(written, index)
    return bytes(written) + footer.ljust(40, b"\x00") + _MAGIC


def _append_block(written: bytearray, entries: list[tuple[bytes, bytes]]) -> bytes:
    """Adds a block and returns its place; every entry is a restart, so no key is shortened."""
    block, restarts = b"", []
    for key, value in entries:
        restarts.append(len(block))
        block += varint(0) + varint(len(key)) + varint(len(value)) + key + value
    restarts = restarts or [0]
    block += b"".join(place.to_bytes(4, "little") for place in [*restarts, len(restarts)])
    place = varint(len(written)) + varint(len(block))
    trailer = b"\x00"
    written += block + trailer + masked(crc32c([block, trailer])).to_bytes(4, "little")
    return place
