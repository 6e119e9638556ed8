"""Files of `torch.save` that hold a state dict, read without running what they hold.

Two layouts: since 2020 a zip archive of `data.pkl` and one file a storage, none of them compressed; before that
pickles one after another (magic number, version, sizes of the machine, the state dict, the names of the storages) and
behind them the storages' numbers. Both describe tensors with offset and strides in storages that they may share.

Source: `torch/serialization.py`.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from bertune.checkpoints.pickle_data import PickleDataError, TensorData, read_pickle
from bertune.errors import CheckpointError

_TYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION: Final = 1001
# The pickle of BERT-large takes 60 kB, that of the largest encoders with an optimizer's state beside it 1 MB.
_MOST_PICKLE_BYTES: Final = 16_000_000
_MOST_ENTRIES: Final = 100_000
_MOST_NAME_CHARACTERS: Final = 500
_ZIP_START: Final = b"PK\x03\x04"
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
# What training scripts keep a state dict under, beside other things.
_INNER: Final = ("state_dict", "model_state_dict", "model")
# Whatever `zipfile` raises at a damaged archive.
_DAMAGED: Final = (
    *(ValueError, OverflowError, EOFError, OSError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
_AGAIN: Final = "download the file again and compare its size and SHA-256"


def is_torch_file(start: bytes) -> bool:
    """Whether a file that begins so is one of `torch.save`: a zip archive, or a pickle of protocol 2 to 5."""
    return start.startswith(_ZIP_START) or (len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5)


@dataclass(frozen=True)
class _Stretch:
    """Where the numbers of a storage lie.

    Args:
        begin: first byte in the file.
        size: bytes.
        crc: their checksum; None where the layout has none.
    """

    begin: int
    size: int
    crc: int | None


class TorchFile:
    """The tensors of a file of `torch.save`, by name.

    Args:
        path: of the file, whose descriptions are read and checked against its size.

    Raises:
        CheckpointError: it is cut or damaged, holds no state dict, or names a function that no state dict needs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: tuple[str, Tensor] | None = None
        size = _size_of(path)
        try:
            with _opened(path) as stream:
                is_zip = stream.read(len(_ZIP_START)) == _ZIP_START
                stream.seek(0)
                content, self._stretches = _read_zip(stream) if is_zip else _read_legacy(stream, size)
        except _DAMAGED as error:
            raise CheckpointError(f"{path}: not a state dict that torch saved: {error}", hint=_hint(error)) from error
        self.tensors = {name: self._checked(name, tensor) for name, tensor in _tensors_in(content)}
        if not self.tensors:
            raise CheckpointError(f"{path}: no tensors by name in this file, so it is no model's state dict")

    def read(self, name: str) -> Tensor:
        """Reads one tensor in its own type.

        Raises:
            CheckpointError: its numbers are not as they were written.
        """
        tensor = self.tensors[name]
        numbers = self._storage(tensor.storage.key)
        if not numbers.numel():
            return torch.empty(tensor.shape, dtype=_TYPES[tensor.dtype])
        viewed = numbers.view(_TYPES[tensor.dtype])
        return torch.as_strided(viewed, tensor.shape, tensor.strides, tensor.offset).contiguous()

    def _storage(self, key: str) -> Tensor:
        """Returns the bytes of a storage; the last one is kept, as tensors that share one follow each other."""
        if self._kept is None or self._kept[0] != key:
            stretch = self._stretches[key]
            with _opened(self.path) as stream:
                stream.seek(stretch.begin)
                content = bytearray(stream.read(stretch.size))
            if len(content) < stretch.size:
                raise CheckpointError(f"{self.path}: cut short since it was opened", hint=_AGAIN)
            if stretch.crc is not None and zlib.crc32(content) != stretch.crc:
                raise CheckpointError(f"{self.path}: the numbers of storage {key} are damaged (CRC-32)", hint=_AGAIN)
            numbers = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
            self._kept = key, numbers
        return self._kept[1]

    def _checked(self, name: str, tensor: TensorData) -> TensorData:
        if len(name) > _MOST_NAME_CHARACTERS or not name.isprintable():
            raise CheckpointError(f"{self.path}: the tensor name {name[:40]!a} is too long or not printable")
        stretch = self._stretches.get(tensor.storage.key)
        if stretch is None:
            raise CheckpointError(f"{self.path}: the numbers of tensor {name} are not in the file", hint=_AGAIN)
        count, rest = divmod(stretch.size, _TYPES[tensor.dtype].itemsize)
        declared = tensor.storage.count if tensor.storage.dtype else stretch.size
        numbers = math.prod(tensor.shape)
        last = tensor.offset + sum(
            (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        is_whole = declared == (count if tensor.storage.dtype else tensor.storage.count) and not rest
        # A stride of 0 would make a tensor larger than all of its numbers.
        if not is_whole or (numbers and last >= count) or numbers > count:
            raise CheckpointError(
                f"{self.path}: tensor {name} of shape {list(tensor.shape)} does not lie in the {stretch.size:,} bytes "
                "of its storage",
                hint=_AGAIN,
            )
        return tensor


def _tensors_in(content: Any) -> Iterator[tuple[str, TensorData]]:
    """Yields the tensors of a state dict, or of the one inside of what a training script keeps."""
    if not isinstance(content, dict):
        return
    for name in _INNER:
        inner = content.get(name)
        if isinstance(inner, dict) and any(isinstance(value, TensorData) for value in inner.values()):
            content = inner
            break
    yield from ((name, value) for name, value in content.items() if isinstance(value, TensorData))


def _read_zip(stream: BinaryIO) -> tuple[Any, Mapping[str, _Stretch]]:
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()) or len(entries) > _MOST_ENTRIES:
            raise PickleDataError("the archive has an entry twice, or too many of them")
        pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise PickleDataError("an archive without a data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        for name in (pickles[0], f"{folder}byteorder"):
            if name in entries and entries[name].file_size > _MOST_PICKLE_BYTES:
                raise PickleDataError(f"a {name} of {entries[name].file_size:,} bytes")
            if name in entries:
                _stretch_of(stream, entries[name])
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise PickleDataError("its numbers are not little-endian")
        pickle = read_pickle(archive.read(pickles[0]))
        inside = f"{folder}data/"
        stretches = {
            name.removeprefix(inside): _stretch_of(stream, entry)
            for name, entry in entries.items()
            if name.startswith(inside)
        }
    return pickle.value, stretches


def _stretch_of(stream: BinaryIO, entry: zipfile.ZipInfo) -> _Stretch:
    """Finds the bytes of an entry behind its local header, which has lengths of its own."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
        raise PickleDataError(f"the entry {entry.filename!a:.80} is compressed or encrypted, as torch does not write")
    stream.seek(entry.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    signature, name_bytes, more_bytes = _LOCAL_HEADER.unpack(header)
    begin = entry.header_offset + _LOCAL_HEADER.size + name_bytes + more_bytes
    if signature != _ZIP_START or begin + entry.file_size > stream.seek(0, 2):
        raise PickleDataError(f"the entry {entry.filename!a:.80} lies outside of the file")
    return _Stretch(begin, entry.file_size, entry.CRC)


def _read_legacy(stream: BinaryIO, size: int) -> tuple[Any, Mapping[str, _Stretch]]:
    content = stream.read(_MOST_PICKLE_BYTES)
    magic = read_pickle(content)
    if magic.value != _MAGIC:
        raise PickleDataError("a pickle, but none that torch.save wrote")
    version = read_pickle(content, magic.end)
    if version.value != _LEGACY_VERSION:
        raise PickleDataError(f"of version {str(version.value)[:20]} of torch.save, which is not known")
    machine = read_pickle(content, version.end)
    if not isinstance(machine.value, dict) or machine.value.get("little_endian") is not True:
        raise PickleDataError("its numbers are not little-endian")
    pickle = read_pickle(content, machine.end)
    keys = read_pickle(content, pickle.end)
    if not isinstance(keys.value, list) or len(set(map(str, keys.value))) != len(keys.value):
        raise PickleDataError("the names of its storages are no list")
    begin, stretches = keys.end, {}
    for key in keys.value:
        storage = pickle.storages.get(key) if isinstance(key, str) else None
        if storage is None or not storage.dtype:
            raise PickleDataError(f"a storage {str(key)[:40]!a} that no tensor has")
        stream.seek(begin)
        count = int.from_bytes(stream.read(8), "little")
        length = count * _TYPES[storage.dtype].itemsize
        begin += 8
        if begin + length > size:
            raise PickleDataError(f"it ends in the middle: a storage needs {length:,} bytes")
        stretches[key] = _Stretch(begin, length, None)
        begin += length
    return pickle.value, stretches


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _hint(error: Exception) -> str:
    if "which no state dict needs" in str(error):
        return "it holds more than weights, and bertune runs nothing of it: save model.state_dict() alone"
    return _AGAIN
