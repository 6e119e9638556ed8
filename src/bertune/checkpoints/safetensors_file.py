"""Reading safetensors files: checked before anything is allocated, and never a pickle."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bertune.errors import CheckpointError

_MAX_HEADER_BYTES = 100_000_000
_FLOAT_TYPES = {"F64", "F32", "F16", "BF16"}
_PICKLE_HINT = "pickled weights can run any code; take the model's .safetensors file, or convert it once on a machine that trusts it"


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the header of a file describes it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


class TensorFiles:
    """The tensors of one or several safetensors files, by name.

    Args:
        files: whose headers are read and checked against the files' sizes.

    Raises:
        CheckpointError: a file is missing, truncated, not safetensors, or a pickle; names the file and the tensor.
    """

    def __init__(self, files: list[Path]) -> None:
        self.tensors: dict[str, StoredTensor] = {}
        for file in files:
            for name, stored in _read_header(file).items():
                if name in self.tensors:
                    raise CheckpointError(f"{file}: tensor {name} is also in {self.tensors[name].file}")
                self.tensors[name] = stored

    def read(self, name: str) -> Tensor:
        """Reads one tensor as fp32.

        Raises:
            CheckpointError: it is not a floating-point tensor, or holds NaN or infinity.
        """
        stored = self.tensors[name]
        if stored.dtype not in _FLOAT_TYPES:
            raise CheckpointError(f"{stored.file}: tensor {name} is {stored.dtype}, expected a floating-point type")
        with reading(stored.file) as source:
            tensor: Tensor = source.get_tensor(name).to(torch.float32)
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{stored.file}: tensor {name} holds NaN or infinite numbers")
        return tensor


@contextmanager
def reading(file: Path) -> Iterator[Any]:
    """Opens a safetensors file whose header was checked."""
    try:
        with safe_open(file, framework="pt") as source:
            yield source
    except SafetensorError as error:
        raise CheckpointError(f"{file}: not a valid safetensors file ({error})") from error


def find_tensor_files(path: Path) -> list[Path]:
    """Returns the safetensors files of a model folder, or the file itself.

    Raises:
        CheckpointError: there is none; says what is there instead.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such file or folder")
    index = path / "model.safetensors.index.json"
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"]
    if index.is_file():
        return _files_of_index(index)
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
    if pickles:
        raise CheckpointError(
            f"{path}: only pickled weights ({pickles[0]}), which bertune does not read", hint=_PICKLE_HINT
        )
    raise CheckpointError(
        f"{path}: no model.safetensors in this folder",
        hint="name a folder with config.json, vocab.txt and model.safetensors",
    )


def _files_of_index(index: Path) -> list[Path]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        # A shard is a plain file name: anything else could reach outside the folder.
        if not shards or any(Path(shard).name != shard for shard in shards):
            raise ValueError("a shard is not a plain file name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of safetensors files ({error})") from error
    return [index.parent / shard for shard in shards]


def _read_header(file: Path) -> dict[str, StoredTensor]:
    """Reads and checks a header, so that no length in it is believed before the file's size confirms it."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            _refuse_other_formats(file, start, size)
            header_bytes = int.from_bytes(start, "little")
            if header_bytes > min(size - 8, _MAX_HEADER_BYTES):
                raise CheckpointError(
                    f"{file}: truncated or not safetensors: the header claims {header_bytes} bytes, the file has {size}",
                    hint="download the file again and compare its size and SHA-256",
                )
            header = json.loads(stream.read(header_bytes))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{file}: the safetensors header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{file}: the safetensors header is not a JSON object")
    header.pop("__metadata__", None)
    return {name: _stored_tensor(file, name, entry, size - 8 - header_bytes) for name, entry in header.items()}


def _stored_tensor(file: Path, name: str, entry: Any, data_bytes: int) -> StoredTensor:
    try:
        begin, end = entry["data_offsets"]
        stored = StoredTensor(file, tuple(int(length) for length in entry["shape"]), str(entry["dtype"]))
        end = int(end)
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: the header's entry for tensor {name} is malformed") from error
    if not 0 <= int(begin) <= end:
        raise CheckpointError(f"{file}: tensor {name} ends before it begins ({begin} to {end})")
    if end > data_bytes:
        raise CheckpointError(
            f"{file}: truncated: tensor {name} needs {end:,} bytes of data, the file has {data_bytes:,}",
            hint="download the file again and compare its size and SHA-256",
        )
    return stored


def _refuse_other_formats(file: Path, start: bytes, size: int) -> None:
    """Judges by content, not by suffix."""
    if size < 8:
        raise CheckpointError(f"{file}: only {size} bytes, not a safetensors file", hint="download the file again")
    zip_archive = start.startswith(b"PK\x03\x04")
    if zip_archive or (start[0] == 0x80 and start[1] <= 5):
        raise CheckpointError(f"{file}: a pickle, which bertune does not read", hint=_PICKLE_HINT)
    if start.startswith(b"version "):
        raise CheckpointError(
            f"{file}: a Git LFS pointer, not the weights", hint="run `git lfs pull` in the folder it came from"
        )
