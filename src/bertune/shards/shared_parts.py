"""What several processes that make one folder tell each other: small files in `.parts`, each written by one of them.

A process writes what it has found or finished into a file of its own, whole or not at all, and never into one of
another. So nothing is lost when two finish at the same time, whatever the file system knows of locks.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from bertune.data.row_source import RowSource, stamp_of
from bertune.errors import DataError
from bertune.system.atomic import write_text
from bertune.system.folder_lock import AnotherRunError, only_run_in
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.system.shard_number import ShardNumber

PARTS_NAME: Final = ".parts"
Value = TypeVar("Value")


def write_part(folder: Path, name: str, value: Any, *, about: str) -> None:
    """Writes a part.

    Args:
        folder: what the processes make together.
        name: of the part.
        value: a dataclass of plain values.
        about: a digest of all that decides the value; who asks about anything else does not find it.
    """
    content = {"about": about, "value": to_json(value)}
    text = json.dumps(content | {"digest": digest_of(content)}, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(_file(folder, name), text + "\n", follow=False)


def read_part(folder: Path, name: str, kind: type[Value], *, about: str) -> Value | None:
    """Reads a part; None where there is none, or none about this, or it is damaged and so must be made again.

    Args:
        folder: as for `write_part`.
        name: of the part.
        kind: a dataclass of plain values.
        about: what it must be about.
    """
    path = _file(folder, name)
    if not path.is_file() or path.is_symlink():
        return None
    try:
        content = read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError)
        digest = content.pop("digest", None)
        if digest != digest_of(content) or content.get("about") != about:
            return None
        return from_json(kind, content.get("value"))
    except (DataError, MisfitError, OSError):
        return None


def remove_parts(folder: Path) -> None:
    """Removes all parts, when none of them is true any more."""
    shutil.rmtree(folder / PARTS_NAME, ignore_errors=True)


@contextlib.contextmanager
def only_process_in(folder: Path, shard: ShardNumber | None, *, is_shared: bool) -> Iterator[None]:
    """Keeps out of a folder who would do the same: other runs, or other processes of the same number.

    Args:
        folder: what is made.
        shard: which process this is; None for one that makes all.
        is_shared: whether other processes may make other shards.

    Raises:
        AnotherRunError: somebody does the same already.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(only_run_in(folder, shared=is_shared))
        if shard is not None:
            (folder / PARTS_NAME).mkdir(exist_ok=True)
            try:
                held.enter_context(only_run_in(folder / PARTS_NAME / f"{shard.number}-of-{shard.count}"))
            except AnotherRunError as error:
                raise AnotherRunError(
                    f"another process is making shard {shard} of {folder}",
                    hint="it goes on; this one has nothing to do",
                ) from error
        yield


def digest_of(values: Any) -> str:
    """SHA-256 over plain values, in one form whatever their order and spaces."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _file(folder: Path, name: str) -> Path:
    return folder / PARTS_NAME / f"{name}.json"


class SharedReading(Generic[Value]):
    """Reads every file once, whichever of several processes does it, and tells the others.

    What was read of a file holds as long as it has the same size and time. Where locks are not known, each process
    reads all files for itself.

    Args:
        folder: what the processes make together.
        kind: what is found in a file, a dataclass of plain values.
        about: a digest of all but the files that decides what is found.
    """

    def __init__(self, folder: Path, kind: type[Value], about: str) -> None:
        self._folder = folder
        self._kind = kind
        self._about = about

    def all_of(self, sources: Sequence[RowSource], read: Callable[[RowSource], Value]) -> list[Value]:
        """Gives what is in each file, in their order.

        A file that another process is reading is passed over, and waited for at the end.

        Args:
            sources: the files.
            read: finds what is in one; what it raises is raised.
        """
        found: dict[int, Value] = {}
        for wait in (False, True):
            for place, source in enumerate(sources):
                if place not in found and (one := self.one(place, source, read, wait=wait)) is not None:
                    found[place] = one
        return [found[place] for place in range(len(sources))]

    def one(self, place: int, source: RowSource, read: Callable[[RowSource], Value], *, wait: bool) -> Value | None:
        """Gives what is in one file; None where another process is reading it, unless it is waited for."""
        stamp = stamp_of(source)
        if stamp is None or not stamp.is_settled:
            # It may change without a trace: nobody else could know that it has not.
            return read(source)
        name, about = f"file-{place:05d}", f"{self._about} {stamp.bytes} {stamp.modified}"
        known = read_part(self._folder, name, self._kind, about=about)
        if known is not None:
            return known
        part = _file(self._folder, name)
        part.parent.mkdir(exist_ok=True)
        try:
            with only_run_in(part, wait=wait):
                known = read_part(self._folder, name, self._kind, about=about)
                if known is None:
                    known = read(source)
                    if stamp_of(source) == stamp:
                        write_part(self._folder, name, known, about=about)
        except AnotherRunError:
            return None
        return known

    def work(self, sources: Sequence[RowSource], read: Callable[[RowSource], Value]) -> "_ReadingWork[Value]":
        """Makes work of it for an engine: each file is a piece, whose number is its place."""
        return _ReadingWork(self, tuple(sources), read)


@dataclass(frozen=True)
class _ReadingWork(Generic[Value]):
    reading: SharedReading[Value]
    sources: tuple[RowSource, ...]
    read: Callable[[RowSource], Value]

    def open(self) -> Callable[[int], Value]:
        return self._one

    def _one(self, place: int) -> Value:
        found = self.reading.one(place, self.sources[place], self.read, wait=True)
        assert found is not None
        return found
