"""One shard of a re-encoded data set while it is written."""

import contextlib
import hashlib
import os
import platform
import re
import time
from pathlib import Path
from typing import IO, Final

from bertune.errors import ResourceError
from bertune.shards.chunk_encoding import EncodedChunk
from bertune.shards.manifest import Manifest, Shard
from bertune.shards.store_writer import StoreWriter
from bertune.system.atomic import put_file_in_place
from bertune.system.folder_lock import is_alive

_BLOCK_BYTES: Final = 1 << 20
_PARTIAL: Final = ".partial-"
_SECONDS_OF_A_DAY: Final = 86_400


def sha256_of(path: Path) -> str:
    """Hashes a file, a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def partial_name(path: Path) -> Path:
    """Returns where this process writes a file before it has its name: no other process of any machine does there."""
    return path.with_name(f"{_PARTIAL}{path.name}-{_machine()}-{os.getpid()}")


def remove_partials(path: Path) -> None:
    """Removes what processes that were killed left of a file: those of this machine, others after a day."""
    for found in path.parent.glob(f"{_PARTIAL}{path.name}*"):
        rest = found.name.removeprefix(f"{_PARTIAL}{path.name}")
        owner = re.match(r"-(?P<machine>.+)-(?P<process>\d+)(\..*)?$", rest)
        with contextlib.suppress(FileNotFoundError):
            if owner is None:  # of an earlier version, whose runs kept each other out
                found.unlink()
            elif owner["machine"] != _machine():
                if time.time() - found.stat().st_mtime > _SECONDS_OF_A_DAY:
                    found.unlink()
            elif not is_alive(int(owner["process"])):
                found.unlink()


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", platform.node()) or "unnamed"


class ShardFile:
    """A shard being written: under a temporary name until it is finished.

    Args:
        folder: where it will be.
        name: what it will be called.
        manifest: of the data set.
    """

    def __init__(self, folder: Path, name: str, manifest: Manifest) -> None:
        self._final = folder / name
        self._partial = partial_name(self._final)
        self._store: StoreWriter | None = None
        self._file: IO[bytes] | None = None
        self.rows = self._tokens = self._truncated = 0
        if manifest.recipe.format == "store":
            metadata = {"tokenizer_digest": manifest.recipe.tokenizer_digest, "shard": name}
            self._store = StoreWriter(self._partial, metadata)
        else:
            self._file = self._partial.open("wb")

    def __enter__(self) -> "ShardFile":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._store is not None:
            self._store.close()
        self._partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ResourceError(f"{self._final} cannot be written: {error}", hint="check the free space") from error

    def add(self, chunk: EncodedChunk) -> None:
        """Appends a chunk."""
        if self._file is not None:
            self._file.write(chunk.records)
        elif self._store is not None and chunk.encoded is not None:
            self._store.add(chunk.encoded, chunk.targets)
        self.rows += chunk.rows
        self._tokens += chunk.tokens
        self._truncated += chunk.truncated

    def finish(self) -> Shard:
        """Flushes to disk, gives the file its name, and describes it."""
        if self._store is not None:
            self._store.finish()
        if self._file is not None:
            self._file.close()
        digest, size = sha256_of(self._partial), self._partial.stat().st_size
        put_file_in_place(self._partial, self._final)
        return Shard(self._final.name, self.rows, self._tokens, self._truncated, size, digest)
