"""A manifest that several processes complete, each by the shards that it has finished."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from bertune.shards.shared_parts import PARTS_NAME, read_part, write_part

_SHOWN: Final = 12


class NamedShard(Protocol):
    """A finished file."""

    @property
    def name(self) -> str:
        """Of the file."""


class SharedManifest(Protocol):
    """What a folder of shards holds, finished or not."""

    @property
    def about(self) -> str:
        """A digest of all that decides the bytes of the shards."""

    @property
    def shard_names(self) -> list[str]:
        """Names of all shards, finished or not, in their order."""

    @property
    def shards(self) -> tuple[Any, ...]:
        """The finished ones."""

    @property
    def shard_kind(self) -> type[Any]:
        """The type of their entries."""

    def with_shards(self, shards: Iterable[Any]) -> Self:
        """Takes these as the finished ones."""

    def write(self, folder: Path) -> None:
        """Writes it, whole or not at all."""

    @classmethod
    def written_in(cls, folder: Path) -> Self | None:
        """Reads what was written, without what parts add to it; None where there is nothing."""


M = TypeVar("M", bound=SharedManifest)


def missing_of(manifest: SharedManifest) -> tuple[int, ...]:
    """Gives the numbers of the shards that are not finished."""
    finished = {shard.name for shard in manifest.shards}
    return tuple(number for number, name in enumerate(manifest.shard_names) if name not in finished)


def told_missing(manifest: SharedManifest) -> str:
    """Says in one line which shards are not finished."""
    missing = missing_of(manifest)
    numbers = ", ".join(map(str, missing[:_SHOWN])) + (", …" if len(missing) > _SHOWN else "")
    are = "is" if len(missing) == 1 else "are"
    return f"{len(missing)} of {len(manifest.shard_names)} shards {are} not finished: {numbers}"


def with_shard(manifest: M, shard: NamedShard) -> M:
    """Adds a finished shard; one of the same name gives way."""
    return manifest.with_shards((*(other for other in manifest.shards if other.name != shard.name), shard))


def with_parts(manifest: M, folder: Path) -> M:
    """Adds the shards that other processes have finished since it was written."""
    if not (folder / PARTS_NAME).is_dir():
        return manifest
    names = [manifest.shard_names[number] for number in missing_of(manifest)]
    parts = [(name, read_part(folder, name, manifest.shard_kind, about=manifest.about)) for name in names]
    finished = [part for name, part in parts if part is not None and part.name == name]
    return manifest.with_shards((*manifest.shards, *finished)) if finished else manifest


def publish_shard(manifest: M, shard: NamedShard, folder: Path) -> M:
    """Tells the other processes of a finished shard; see `publish`."""
    write_part(folder, shard.name, shard, about=manifest.about)
    return publish(with_shard(manifest, shard), folder)


def publish(manifest: M, folder: Path) -> M:
    """Writes the manifest with the shards that any process has finished.

    Each process looks again after it has written: who finishes last has looked after all the others have told of
    theirs, so that the manifest ends complete without anybody waiting.

    Returns:
        What was written.
    """
    manifest = with_parts(manifest, folder)
    while True:
        if type(manifest).written_in(folder) != manifest:
            manifest.write(folder)
        now = with_parts(manifest, folder)
        if now == manifest:
            return manifest
        manifest = now
