"""Encoded examples in one safetensors file, read back memory-mapped."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bertune.errors import CheckpointError, DataError, ResourceError
from bertune.system.atomic import replaced_file
from bertune.system.bounded_file import refuse_pipe
from bertune.system.json_file import parse_json
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongText

FORMAT: Final = "bertune-store-1"
_ARRAYS: Final = ("token_ids", "offsets", "first_lengths", "truncated")
_MORE_ARRAYS: Final = ("labels", "example_offsets")
_TYPES: Final = {"U16": "<u2", "I32": "<i4", "I64": "<i8", "F32": "<f4", "F64": "<f8", "BOOL": "|b1"}
TYPE_NAMES: Final = {kind: name for name, kind in _TYPES.items()}
_REBUILD: Final = "delete the file; it is made again from the texts"


@dataclass(frozen=True, eq=False)
class Store:
    """What a store file holds.

    Attributes:
        encoded: the examples; their arrays are read from the file as they are used.
        labels: (examples,) as they were saved, or None.
        metadata: what was saved beside them.
    """

    encoded: EncodedExamples
    labels: NDArray[Any] | None
    metadata: dict[str, str]


def store_key(
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    *,
    tokenizer_digest: str,
    code_digest: str,
    max_length: int,
    long_text: LongText = "first",
    window_stride: int | None = None,
) -> str:
    """Hashes all that decides the content of a store: SHA-256, hexadecimal.

    Each text goes in with its length, so no two tables run together.

    Args:
        texts_a: first texts.
        texts_b: second texts; None for single ones.
        tokenizer_digest: `Tokenizer.digest`.
        code_digest: `Tokenizer.code_digest`.
        max_length: in tokens.
        long_text: what becomes of longer ones.
        window_stride: for windows.
    """
    mode = "" if long_text == "first" else f" {long_text} {window_stride}"
    digest = hashlib.sha256(f"{FORMAT} {tokenizer_digest} {code_digest} {max_length}{mode}".encode())
    for texts in (texts_a, texts_b):
        digest.update(b"none" if texts is None else f"{len(texts)} texts".encode())
        for text in texts or ():
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def save_store(
    encoded: EncodedExamples,
    labels: NDArray[Any] | None,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str],
) -> None:
    """Writes examples and labels; the file is there whole or not at all.

    Args:
        encoded: the examples.
        labels: (examples,) class ids (int64) or values (float32); None where they are not known.
        path: the file to write.
        metadata: kept with them, such as `key` (see `store_key`) and `tokenizer_digest`. `format`, `max_length` and
            `content_digest` are added.

    Raises:
        DataError: there are more or fewer labels than examples, or metadata uses an added name.
        ResourceError: the file cannot be written.
    """
    if labels is not None and len(labels) != len(encoded):
        raise DataError(f"{len(labels)} labels for {len(encoded)} examples")
    arrays = {name: np.ascontiguousarray(getattr(encoded, name)) for name in _ARRAYS}
    if labels is not None:
        arrays["labels"] = np.ascontiguousarray(labels)
    if encoded.example_offsets is not None:
        arrays["example_offsets"] = encoded.example_offsets
    own = {
        "format": FORMAT,
        "max_length": str(encoded.max_length),
        "content_digest": _content_digest(arrays, encoded.max_length),
    }
    if taken := sorted(own.keys() & metadata.keys()):
        raise DataError(f"metadata may not set {', '.join(taken)}: the store does")
    try:
        with replaced_file(Path(path)) as temporary:
            save_file(arrays, temporary, {**metadata, **own})
    except (OSError, SafetensorError) as error:
        raise ResourceError(f"{path}: the store cannot be written ({error})", hint="check the free space") from error


def load_store(path: str | os.PathLike[str], *, key: str | None = None) -> Store:
    """Reads a store.

    Args:
        path: the file.
        key: what `metadata["key"]` must be (see `store_key`); None takes any.

    Raises:
        CheckpointError: the file is missing, cut off, changed, or no store.
        DataError: it holds other examples than `key` says.
    """
    path = Path(path)
    refuse_pipe(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
        arrays = _map_arrays(path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable store ({error})", hint=_REBUILD) from error
    missing = [name for name in _ARRAYS if name not in arrays]
    if metadata.get("format") != FORMAT or missing:
        raise CheckpointError(f"{path}: not a store of this version (expected {FORMAT})", hint=_REBUILD)
    if arrays.keys() - {*_ARRAYS, *_MORE_ARRAYS} or any(array.ndim != 1 for array in arrays.values()):
        raise CheckpointError(f"{path}: holds other arrays than a store does", hint=_REBUILD)
    if metadata.get("content_digest") != _content_digest(arrays, metadata.get("max_length")):
        raise CheckpointError(f"{path}: the content is not what was written", hint=_REBUILD)
    if key is not None and metadata.get("key") != key:
        raise DataError(f"{path}: made from other texts, another tokenizer or another max_length", hint=_REBUILD)
    labels = arrays.pop("labels", None)
    if not metadata["max_length"].isdecimal():
        raise CheckpointError(f"{path}: max_length is no number", hint=_REBUILD)
    encoded = EncodedExamples(**arrays, max_length=int(metadata["max_length"]))
    if labels is not None and len(labels) != len(encoded):
        raise CheckpointError(f"{path}: {len(labels)} labels for {len(encoded)} examples", hint=_REBUILD)
    return Store(encoded, labels, metadata)


def _map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Maps every array of a safetensors file: 8 bytes of header length, JSON header, data."""
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(header_length))
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
        start = 8 + header_length + entry["data_offsets"][0]
        # An empty array has no bytes to map.
        arrays[name] = np.memmap(path, kind, "r", start, shape) if np.prod(shape) else np.empty(shape, kind)
    return arrays


def _content_digest(arrays: Mapping[str, NDArray[Any]], max_length: object) -> str:
    digest = hashlib.sha256(f"{max_length} ".encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape} ".encode())
        digest.update(arrays[name].data)
    return digest.hexdigest()
