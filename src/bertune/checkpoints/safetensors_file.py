"""Reading safetensors files: checked before anything is allocated, and never a pickle."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bertune.checkpoints.safetensors_header import PICKLE_HINT, HeaderEntry, read_header
from bertune.errors import CheckpointError
from bertune.json_file import read_json_object

_FLOAT_TYPES = {"F64", "F32", "F16", "BF16"}
_PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_MAX_INDEX_BYTES = 2_000_000


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
            for name, entry in _header_of(file).items():
                if name in self.tensors:
                    raise CheckpointError(f"{file}: tensor {name} is also in {self.tensors[name].file}")
                self.tensors[name] = StoredTensor(file, entry.shape, entry.dtype)

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
        # The extremes carry NaN and infinity, and are found several times faster than isfinite looks at each number.
        if tensor.numel() and not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
            raise CheckpointError(f"{stored.file}: tensor {name} holds NaN or infinite numbers")
        return tensor


@contextmanager
def reading(file: Path) -> Iterator[Any]:
    """Opens a safetensors file whose header was checked."""
    try:
        with safe_open(file, framework="pt") as source:
            yield source
    except (SafetensorError, OSError) as error:
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
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(
            f"{path}: only pickled weights ({pickles[0]}), which bertune does not read", hint=PICKLE_HINT
        )
    raise CheckpointError(
        f"{path}: no model.safetensors in this folder",
        hint="name a folder with config.json, vocab.txt and model.safetensors",
    )


def _files_of_index(index: Path) -> list[Path]:
    try:
        shards = sorted(set(read_json_object(index, max_bytes=_MAX_INDEX_BYTES)["weight_map"].values()))
        # A shard is a plain file name: anything else could reach outside the folder.
        if not shards or any(Path(shard).name != shard or not shard.isprintable() for shard in shards):
            raise ValueError("a shard is not a plain file name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of safetensors files ({error})") from error
    return [index.parent / shard for shard in shards]


def _header_of(file: Path) -> dict[str, HeaderEntry]:
    # A named pipe would wait for ever.
    if file.exists() and not file.is_file():
        raise CheckpointError(f"{file}: not a file")
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            return read_header(stream, size, file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
