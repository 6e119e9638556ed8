"""Tensors as a safetensors file, piece by piece: whoever writes it can digest each piece, and flush the file itself.

Layout and checks are those of `safetensors_header`; the types are those in which training keeps numbers.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from bertune.checkpoints.safetensors_header import read_header
from bertune.errors import CheckpointError

_NAMES: Final = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.uint8: "U8",
}
_TYPES: Final = {name: dtype for dtype, name in _NAMES.items()}
_LENGTH_BYTES, _ALIGNMENT = 8, 8


def tensor_chunks(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yields the bytes of a safetensors file: its header, then one tensor after another.

    Args:
        tensors: by name, of float32, float64, int64 or uint8; those of an accelerator are copied one at a time.
    """
    yield _header(tensors)
    for tensor in tensors.values():
        if tensor.numel():
            yield _bytes_of(tensor.detach().cpu().contiguous())


def stored_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Returns the size of the file that `tensor_chunks` gives."""
    return len(_header(tensors)) + sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Reads all tensors of such a file, in their own types.

    Raises:
        CheckpointError: the file is damaged or of another format; names the file and the tensor.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        entries = read_header(stream, size, file)
        start = stream.tell()
        found = {}
        for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
            if entry.dtype not in _TYPES:
                raise CheckpointError(f"{file}: tensor {name} is {entry.dtype}, which no checkpoint of a run holds")
            stream.seek(start + entry.begin)
            tensor = torch.empty(entry.shape, dtype=_TYPES[entry.dtype])
            # A buffered file gives all of it, or as much as there is.
            if tensor.numel() and stream.readinto(_bytes_of(tensor)) != entry.end - entry.begin:
                raise CheckpointError(f"{file}: truncated in tensor {name}")
            found[name] = tensor
    return found


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a tensor that is contiguous and not empty."""
    return tensor.view(-1).numpy().data.cast("B")


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries, position = {}, 0
    for name, tensor in tensors.items():
        end = position + math.prod(tensor.shape) * tensor.element_size()
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text
