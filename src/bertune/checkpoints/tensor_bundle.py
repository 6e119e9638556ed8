"""TensorFlow checkpoints (`.index` and `.data-00000-of-00001`, …), read without TensorFlow.

Every length is checked against the files before anything is allocated; the data files are mapped, not read; the CRC32C
of a tensor is checked when it is read.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc describes the files.
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.bundle_entries import (
    STRING,
    BundleEntry,
    parse_entry,
    parse_header,
    slice_key,
    slice_shape,
)
from bertune.checkpoints.table_file import AGAIN, read_table
from bertune.errors import CheckpointError
from bertune.system.masked_crc import crc32c, masked
from bertune.system.protobuf_wire import WireError, read_varint

_NUMPY = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "BF16": "<u2",
    "C64": "<c8",
    "BOOL": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}
_FLOATS = {"F32", "F64", "F16", "BF16"}
_MAX_SHARDS = 10_000
_MAX_NAME_CHARACTERS = 1000
# The object graph of a hub's BERT-large takes 1.5 MB.
_MAX_STRING_BYTES = 8_000_000
_MAX_STRINGS = 100_000


class TensorBundle:
    """The tensors of a TensorFlow checkpoint, by name.

    Args:
        prefix: the path without `.index`.

    Attributes:
        tensors: the entry of each tensor; the parts of partitioned tensors are not listed on their own.

    Raises:
        CheckpointError: a file is missing, truncated, damaged or of another format, or a tensor has an unknown type;
            names the file, and the tensor or the offset.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.index = prefix.with_name(prefix.name + ".index")
        table = read_table(self.index)
        self._num_shards = self._read_header(table.pop(b"", None))
        parts = {key: value for key, value in table.items() if key.startswith(b"\x00")}
        self.tensors = {
            self._name(key): self._parse(self._name(key), value) for key, value in table.items() if key not in parts
        }
        self._parts = self._parse_parts(parts)
        self._maps: dict[int, mmap.mmap | bytes] = {}
        for name, entry in [*self.tensors.items(), *((name, part) for name, part in self._parts.values())]:
            self._check_place(name, entry)

    def shard_file(self, shard: int) -> Path:
        """Returns the path of a data file."""
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self._num_shards:05d}")

    def read(self, name: str) -> NDArray[Any]:
        """Reads a tensor of numbers; bf16 comes as fp32. An unpartitioned tensor is a view of the mapped file.

        Raises:
            CheckpointError: its CRC32C is wrong, or it holds strings.
        """
        entry = self.tensors[name]
        if entry.dtype == STRING:
            raise CheckpointError(f"{self.index}: tensor {name} holds strings, expected numbers")
        if not entry.slices:
            return self._array(name, entry)
        whole = np.zeros(entry.shape, np.float32 if entry.dtype == "BF16" else _NUMPY[entry.dtype])
        for extents in entry.slices:
            _, part = self._parts[slice_key(name, extents)]
            place = tuple(slice(start, None if length == -1 else start + length) for start, length in extents)
            whole[place] = self._array(name, part)
        return whole

    def read_float(self, name: str) -> NDArray[np.float32]:
        """Reads a tensor of floating-point numbers as fp32.

        Raises:
            CheckpointError: it is of another type, its CRC32C is wrong, or it holds NaN or infinity.
        """
        if self.tensors[name].dtype not in _FLOATS:
            raise CheckpointError(
                f"{self.index}: tensor {name} is {self.tensors[name].dtype}, expected a floating-point type"
            )
        with np.errstate(over="ignore"):
            values: NDArray[np.float32] = self.read(name).astype(np.float32, copy=False)
        # The sum of a whole row tells of NaN and infinity without an array of truth values.
        if not np.isfinite(values.sum(dtype=np.float64)):
            raise CheckpointError(
                f"{self.index}: tensor {name} holds NaN or infinite numbers",
                hint="its training diverged or the file is damaged: take an earlier checkpoint, or download it again",
            )
        return values

    def read_strings(self, name: str) -> list[bytes]:
        """Reads a tensor of strings, in the order of its elements.

        Raises:
            CheckpointError: it is damaged, of another type, or larger than an object graph is.
        """
        entry = self.tensors[name]
        count = math.prod(entry.shape)
        if entry.dtype != STRING or entry.size > _MAX_STRING_BYTES or count > min(entry.size, _MAX_STRINGS):
            raise CheckpointError(
                f"{self.index}: tensor {name} ({entry.dtype}, {entry.size:,} bytes) is not {count:,} strings"
            )
        data = self._bytes(entry)
        try:
            return _strings(data, count, entry.crc)
        except WireError as error:
            raise CheckpointError(f"{self.shard_file(entry.shard)}: tensor {name}: {error}", hint=AGAIN) from error

    def release(self, name: str) -> None:
        """Tells the system that the pages of a tensor are not needed any more; views of it stay valid."""
        entry = self.tensors[name]
        mapped = self._maps.get(entry.shard)
        start = entry.offset - entry.offset % mmap.PAGESIZE
        if isinstance(mapped, mmap.mmap) and not entry.slices and entry.size > mmap.PAGESIZE:
            mapped.madvise(mmap.MADV_DONTNEED, start, entry.offset + entry.size - start)

    def _read_header(self, value: bytes | None) -> int:
        if value is None:
            raise CheckpointError(f"{self.index}: no header; not the index of a TensorFlow checkpoint", hint=AGAIN)
        try:
            num_shards, little_endian = parse_header(value)
        except WireError as error:
            raise CheckpointError(f"{self.index}: the header is damaged ({error})", hint=AGAIN) from error
        if not little_endian:
            raise CheckpointError(f"{self.index}: the numbers are big-endian, which bertune does not read")
        if not 0 < num_shards <= _MAX_SHARDS:
            raise CheckpointError(f"{self.index}: the header claims {num_shards:,} data files", hint=AGAIN)
        return num_shards

    def _name(self, key: bytes) -> str:
        name = key.decode("utf-8", errors="replace")
        # Names are shown to people: line ends and terminal codes in them could show something else.
        if len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
            raise CheckpointError(f"{self.index}: the tensor name {name[:40]!a} is too long or not printable")
        return name

    def _parse(self, name: str, value: bytes) -> BundleEntry:
        try:
            return parse_entry(value)
        except WireError as error:
            raise CheckpointError(f"{self.index}: tensor {name}: {error}", hint=AGAIN) from error

    def _parse_parts(self, stored: dict[bytes, bytes]) -> dict[bytes, tuple[str, BundleEntry]]:
        """Returns the name and the entry of each part, having checked that the parts make up their tensors."""
        parts: dict[bytes, tuple[str, BundleEntry]] = {}
        for name, entry in self.tensors.items():
            elements = 0
            for extents in entry.slices:
                key = slice_key(name, extents)
                if key not in stored or key in parts:
                    raise CheckpointError(f"{self.index}: tensor {name}: a slice is missing", hint=AGAIN)
                part = self._parse(name, stored[key])
                if part.slices or part.dtype != entry.dtype or part.shape != slice_shape(extents, entry.shape):
                    raise CheckpointError(f"{self.index}: tensor {name}: a slice does not fit the tensor", hint=AGAIN)
                parts[key] = (name, part)
                elements += math.prod(part.shape)
            if entry.slices and (elements != math.prod(entry.shape) or _overlap(entry)):
                raise CheckpointError(f"{self.index}: tensor {name}: its slices do not make up the whole", hint=AGAIN)
        if len(parts) != len(stored):
            raise CheckpointError(f"{self.index}: holds slices that belong to no tensor", hint=AGAIN)
        return parts

    def _check_place(self, name: str, entry: BundleEntry) -> None:
        if entry.slices:
            return
        if entry.shard >= self._num_shards:
            raise CheckpointError(
                f"{self.index}: tensor {name} is in data file {entry.shard}, of {self._num_shards}", hint=AGAIN
            )
        size = len(self._map(entry.shard))
        if entry.offset + entry.size > size:
            raise CheckpointError(
                f"{self.shard_file(entry.shard)}: truncated: tensor {name} needs {entry.offset + entry.size:,} bytes, "
                f"the file has {size:,}",
                hint=AGAIN,
            )

    def _map(self, shard: int) -> mmap.mmap | bytes:
        if shard in self._maps:
            return self._maps[shard]
        file = self.shard_file(shard)
        if not file.is_file():
            raise CheckpointError(
                f"{file}: no such file, but the index names it", hint=f"put it beside {self.index.name}"
            )
        try:
            with file.open("rb") as stream:
                # An empty file cannot be mapped; a file of empty tensors is empty.
                empty = file.stat().st_size == 0
                self._maps[shard] = b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file}: cannot be read ({error})") from error
        return self._maps[shard]

    def _bytes(self, entry: BundleEntry) -> memoryview:
        return memoryview(self._map(entry.shard))[entry.offset : entry.offset + entry.size]

    def _array(self, name: str, entry: BundleEntry) -> NDArray[Any]:
        data = self._bytes(entry)
        if masked(crc32c([data])) != entry.crc:
            raise CheckpointError(
                f"{self.shard_file(entry.shard)}: damaged: the CRC32C of tensor {name} (offset {entry.offset:,}, "
                f"{entry.size:,} bytes) is wrong",
                hint=AGAIN,
            )
        array = np.frombuffer(data, _NUMPY[entry.dtype]).reshape(entry.shape)
        if entry.dtype == "BF16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(np.bool_) if entry.dtype == "BOOL" else array


def _overlap(entry: BundleEntry) -> bool:
    """Tells whether two slices of a tensor share an element."""
    filled = [extents for extents in entry.slices if 0 not in slice_shape(extents, entry.shape)]
    apart = np.eye(len(filled), dtype=bool)
    for axis, size in enumerate(entry.shape):
        starts = np.array([extents[axis][0] for extents in filled], dtype=np.int64)
        ends = np.array([size if length == -1 else start + length for start, length in (e[axis] for e in filled)])
        before = ends[:, None] <= starts[None, :]
        apart |= before | before.T
    return not bool(apart.all())


def _strings(data: memoryview, count: int, crc: int) -> list[bytes]:
    """Takes strings apart: all lengths, a CRC32C of the lengths, then all bytes."""
    lengths: list[int] = []
    position = 0
    for _ in range(count):
        length, position = read_varint(data, position)
        lengths.append(length)
    # The checksum runs over the lengths as numbers of 4 bytes, not over their written form.
    if any(length >> 32 for length in lengths) or position + 4 + sum(lengths) != len(data):
        raise WireError("damaged: the lengths of its strings do not add up to its size")
    heads = b"".join(length.to_bytes(4, "little") for length in lengths)
    if masked(crc32c([heads])) != int.from_bytes(data[position : position + 4], "little"):
        raise WireError("damaged: the CRC32C of the lengths of its strings is wrong")
    if masked(crc32c([heads, data[position:]])) != crc:
        raise WireError("damaged: its CRC32C is wrong")
    return list(_cut(data[position + 4 :], lengths))


def _cut(data: memoryview, lengths: list[int]) -> Iterator[bytes]:
    position = 0
    for length in lengths:
        yield bytes(data[position : position + length])
        position += length
