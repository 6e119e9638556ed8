"""Folders that are committed: every file on disk and digested, the list of digests last, then one rename.

A crash at any moment leaves a folder with a whole list, or no folder: what is half written has a temporary name. What
changed afterwards, be it one bit, is found when the folder is read.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError, ResourceError
from bertune.system.atomic import errors_naming, flush, put_in_place, temporary_name
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import read_json_object

MANIFEST: Final = "MANIFEST.json"
"""Sizes and SHA-256 of all other files; a folder without it was not committed."""

_AGAIN: Final = "bring it back from a copy, or resume from another checkpoint"
_AT_ONCE: Final = 1 << 24
# What the file system itself needs beside the content.
_SPARE: Final = 1.2
_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES})

Chunks = Iterable[bytes | memoryview]
"""The content of a file, piece by piece."""


@dataclass(frozen=True)
class CommittedFile:
    """What the list says of a file.

    Args:
        bytes: its size.
        sha256: of its content.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    """The list of a folder's files.

    Args:
        files: by their names.
        sha256: of the entry `files`, as it is written.
    """

    files: dict[str, CommittedFile]
    sha256: str


def commit_folder(place: Path, files: Mapping[str, Chunks], *, needed: int) -> None:
    """Writes a folder, whole or not at all.

    Args:
        place: of the folder; one that is there already is replaced.
        files: content by name.
        needed: bytes of all files together.

    Raises:
        ResourceError: the disk is full, cannot be written, or would be full; nothing is left of the attempt.
    """
    temporary = temporary_name(place)
    with _told_of_the_disk(place, needed):
        place.parent.mkdir(parents=True, exist_ok=True)
        _check_free(place, needed)
        try:
            with errors_naming(place, temporary):
                temporary.mkdir()
                entries = {name: _write(temporary / name, chunks) for name, chunks in files.items()}
                flush(temporary)
                _write(temporary / MANIFEST, [_manifest_text(entries)])
                flush(temporary)
                put_in_place(temporary, place)
                flush(place.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Compares every file of a committed folder with the list.

    Raises:
        CheckpointError: the list is missing or damaged, or a file is missing, cut, changed, or not in the list; names
            the file.
    """
    entries = _read_manifest(folder)
    for name, entry in entries.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise CheckpointError(f"{file}: missing", hint=_AGAIN)
        size = file.stat().st_size
        if size != entry.bytes:
            raise CheckpointError(f"{file}: {size:,} bytes, {MANIFEST} says {entry.bytes:,}", hint=_AGAIN)
        if _digest_of(file) != entry.sha256:
            raise CheckpointError(f"{file}: damaged: its SHA-256 is not the one in {MANIFEST}", hint=_AGAIN)
    if unlisted := sorted({file.name for file in folder.iterdir()} - entries.keys() - {MANIFEST}):
        raise CheckpointError(f"{folder / unlisted[0]}: not in {MANIFEST}", hint=_AGAIN)


def is_committed(folder: Path) -> bool:
    """Whether a folder has a list; whether that is true only `check_folder` tells."""
    return (folder / MANIFEST).is_file()


def _read_manifest(folder: Path) -> dict[str, CommittedFile]:
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{path}: missing: the folder was not completed", hint=_AGAIN)
    values = read_json_object(path)
    try:
        manifest = from_json(_Manifest, values)
    except MisfitError as error:
        raise CheckpointError(f"{path}: damaged ({error})", hint=_AGAIN) from error
    # Byte by byte, so that nothing of it can have changed, be it a space or the name of a key.
    if path.read_bytes() != _manifest_text(manifest.files):
        raise CheckpointError(f"{path}: damaged: its own SHA-256 does not fit", hint=_AGAIN)
    if any(Path(name).name != name or name in ("", ".", "..") for name in manifest.files):
        raise CheckpointError(f"{path}: names a file outside of the folder", hint=_AGAIN)
    return manifest.files


def _manifest_text(files: Mapping[str, CommittedFile]) -> bytes:
    listed = {name: to_json(files[name]) for name in sorted(files)}
    digest = hashlib.sha256(_json(listed)).hexdigest()
    return _json({"files": listed, "sha256": digest}) + b"\n"


def _json(values: Any) -> bytes:
    return json.dumps(values, indent=1, allow_nan=False).encode()


def _write(path: Path, chunks: Chunks) -> CommittedFile:
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as stream:
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            digest.update(rest)
            size += len(rest)
            while len(rest):  # a disk that is nearly full takes a part
                rest = rest[stream.write(rest[:_AT_ONCE]) :]
        os.fsync(stream.fileno())
    return CommittedFile(size, digest.hexdigest())


def _digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_free(place: Path, needed: int) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < needed * _SPARE:
        raise _no_room(place, needed, "not enough room on the disk")


@contextmanager
def _told_of_the_disk(place: Path, needed: int) -> Iterator[None]:
    """Makes errors of the disk say how much was needed, and how much there is."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        raise _no_room(place, needed, os.strerror(error.errno)) from error


def _no_room(place: Path, needed: int, why: str) -> ResourceError:
    nearest = next(folder for folder in (place.parent, *place.parent.parents) if folder.is_dir())
    free = shutil.disk_usage(nearest).free
    return ResourceError(
        f"{place}: cannot be written ({why}): {needed:,} bytes are needed, {free:,} bytes are free",
        hint="free some space, or make the disk writable",
    )
