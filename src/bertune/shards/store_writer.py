"""A store written piece by piece, at constant memory and with the same bytes every time.

`save_store` holds all examples and lets the safetensors library order the metadata, which it does differently in each
process. Here the arrays grow in temporary files and the header is written in a fixed order; `load_store` reads both.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.errors import DataError
from bertune.shards.store import FORMAT, TYPE_NAMES
from bertune.tokenization.encoded_examples import EncodedExamples

_BLOCK_BYTES: Final = 1 << 20


class StoreWriter:
    """Takes examples and at the end writes them as one store.

    Args:
        path: the file to write, and the stem of the temporary files beside it.
        metadata: kept with the examples.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self._path = path
        self._metadata = dict(metadata)
        self._files: dict[str, IO[bytes]] = {}
        self._kinds: dict[str, np.dtype[Any]] = {}
        self._sizes: dict[str, int] = {}
        self._tokens = 0
        self._max_length = 0

    def add(self, encoded: EncodedExamples, targets: NDArray[Any] | None) -> None:
        """Appends examples.

        Raises:
            DataError: they are of another kind than those before.
        """
        self._max_length = encoded.max_length
        if not self._files:
            self._append("offsets", np.zeros(1, np.int64))
        self._append("offsets", encoded.offsets[1:] + self._tokens)
        self._append("token_ids", encoded.token_ids)
        self._append("first_lengths", encoded.first_lengths)
        self._append("truncated", encoded.truncated)
        if targets is not None:
            self._append("labels", targets)
        self._tokens += len(encoded.token_ids)

    def finish(self) -> None:
        """Writes the file and takes the temporary ones away."""
        names = sorted(self._files, key=lambda name: (-self._kinds[name].itemsize, name))
        metadata = self._metadata | {
            "format": FORMAT,
            "max_length": str(self._max_length),
            "content_digest": self._content_digest(),
        }
        header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
        start = 0
        for name in names:
            end = start + self._sizes[name] * self._kinds[name].itemsize
            header[name] = {
                "dtype": TYPE_NAMES[self._kinds[name].newbyteorder("<").str],
                "shape": [self._sizes[name]],
                "data_offsets": [start, end],
            }
            start = end
        text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of eight, as the library writes them
        with self._path.open("wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                self._files[name].seek(0)
                shutil.copyfileobj(self._files[name], out, _BLOCK_BYTES)
        self.close()

    def close(self) -> None:
        """Takes the temporary files away."""
        for name, file in self._files.items():
            file.close()
            self._part(name).unlink(missing_ok=True)
        self._files.clear()

    def _append(self, name: str, values: NDArray[Any]) -> None:
        if name not in self._files:
            self._files[name] = self._part(name).open("w+b")
            self._kinds[name], self._sizes[name] = values.dtype, 0
        if values.dtype != self._kinds[name]:
            raise DataError(f"{self._path}: {name} are {values.dtype}, those before {self._kinds[name]}")
        self._files[name].write(np.ascontiguousarray(values).data)
        self._sizes[name] += len(values)

    def _part(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{name}")

    def _content_digest(self) -> str:
        """The digest that `load_store` checks, over the arrays in the order of their names."""
        digest = hashlib.sha256(f"{self._max_length} ".encode())
        for name in sorted(self._files):
            digest.update(f"{name} {self._kinds[name].str} {(self._sizes[name],)} ".encode())
            self._files[name].seek(0)
            while block := self._files[name].read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()
