"""The tensors of weight files, safetensors or of `torch.save`: checked before anything is allocated, and never run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bertune.checkpoints.safetensors_header import read_header
from bertune.checkpoints.torch_file import TorchFile, is_torch_file
from bertune.errors import CheckpointError

_FLOAT_TYPES = {"F64", "F32", "F16", "BF16"}
_START_BYTES = 9


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the header of a file describes it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


class TensorFiles:
    """The tensors of one or several weight files, by name.

    What is called `.safetensors` has to be that; of other files the content tells which of both formats they have.

    Args:
        files: whose descriptions of tensors are read and checked against the files' sizes.

    Raises:
        CheckpointError: a file is missing, truncated, or of neither format; names the file and the tensor.
    """

    def __init__(self, files: list[Path]) -> None:
        self.tensors: dict[str, StoredTensor] = {}
        self._of_torch: dict[Path, TorchFile] = {}
        for file in files:
            for name, (shape, dtype) in self._describe(file).items():
                if name in self.tensors:
                    raise CheckpointError(f"{file}: tensor {name} is also in {self.tensors[name].file}")
                self.tensors[name] = StoredTensor(file, shape, dtype)

    def _describe(self, file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
        """Returns shape and type of each tensor of a file."""
        start = _start_of(file)
        # The length of a safetensors header can look like the start of a pickle; its brace cannot.
        if file.suffix != ".safetensors" and is_torch_file(start) and start[-1:] != b"{":
            found = self._of_torch[file] = TorchFile(file)
            return {name: (tensor.shape, tensor.dtype) for name, tensor in found.tensors.items()}
        with file.open("rb") as stream:
            entries = read_header(stream, file.stat().st_size, file)
        return {name: (entry.shape, entry.dtype) for name, entry in entries.items()}

    def read(self, name: str) -> Tensor:
        """Reads one tensor as fp32.

        Raises:
            CheckpointError: it is not a floating-point tensor, or holds NaN or infinity.
        """
        stored = self.tensors[name]
        if stored.dtype not in _FLOAT_TYPES:
            raise CheckpointError(f"{stored.file}: tensor {name} is {stored.dtype}, expected a floating-point type")
        if stored.file in self._of_torch:
            tensor = self._of_torch[stored.file].read(name).to(torch.float32)
        else:
            with reading(stored.file) as source:
                tensor = source.get_tensor(name).to(torch.float32)
        # The extremes carry NaN and infinity, and are found several times faster than isfinite looks at each number.
        if tensor.numel() and not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
            raise CheckpointError(
                f"{stored.file}: tensor {name} holds NaN or infinite numbers",
                hint="its training diverged or the file is damaged: take an earlier checkpoint, or download it again",
            )
        return tensor


@contextmanager
def reading(file: Path) -> Iterator[Any]:
    """Opens a safetensors file whose header was checked."""
    try:
        with safe_open(file, framework="pt") as source:
            yield source
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a valid safetensors file ({error})") from error


def _start_of(file: Path) -> bytes:
    # A named pipe would wait for ever.
    if file.exists() and not file.is_file():
        raise CheckpointError(f"{file}: not a file")
    try:
        with file.open("rb") as stream:
            return stream.read(_START_BYTES)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
