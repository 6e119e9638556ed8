"""Files and folders that are there whole or not at all."""

import contextlib
import ctypes
import errno
import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertune.folder_lock import is_alive, take_lock

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LEFTOVER = re.compile(r"\.tmp-(?P<name>.+)-(?P<process>\d+)-\d+")
_numbers = itertools.count()


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill; it takes the place of `folder` when the block ends without an error.

    Everything is flushed to disk before the exchange, which is one system call on Linux: a crash leaves the old folder
    or the new one. Where the system cannot exchange folders there is a moment between two renames; a crash in it leaves
    the old folder whole, beside its place, as `.old-NAME-…`.

    Args:
        folder: to be made or replaced; a link to a folder stays, and what it leads to is replaced.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(folder, "tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with _marked_as_used(temporary):
            yield temporary
            for path in temporary.rglob("*"):
                _flush(path)
            _flush(temporary)
            _put_in_place(temporary, folder)
            _flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write; it takes the place of `path` when the block ends without an error.

    Args:
        path: to be made or replaced; a link to a file stays, and what it leads to is replaced.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():  # told before anything is written, and by its own name
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, "tmp")
    try:
        temporary.touch()
        permissions = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        # A library that fills it by way of a file of its own may have left one that only its owner can read.
        temporary.chmod(permissions)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a small file, whole or not at all."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path, *, of: str | None = None) -> None:
    """Removes what processes that were killed left unfinished in a folder: `.tmp-NAME-PROCESS-NUMBER`.

    Nothing is removed whose process may be alive, and no folder that somebody is filling, be it in another container
    with process numbers of its own.

    Args:
        folder: to look in.
        of: the name of what was being written; None for anything.
    """
    for entry in folder.glob(".tmp-*"):
        parts = _LEFTOVER.fullmatch(entry.name)
        if parts is None or (of is not None and parts["name"] != of) or is_alive(int(parts["process"])):
            continue
        if not entry.is_dir():
            entry.unlink(missing_ok=True)
        elif not _is_used(entry):
            shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _marked_as_used(folder: Path) -> Iterator[None]:
    """Locks a folder as long as it is filled; the lock ends with the process."""
    if os.name != "posix":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        take_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _is_used(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not take_lock(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, kind: str) -> Path:
    """A name in the same folder, so on the same file system, that no other process or thread uses now."""
    return path.with_name(f".{kind}-{path.name}-{os.getpid()}-{next(_numbers)}")


def _put_in_place(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    if _exchange(temporary, folder):
        return  # the old folder now has the temporary name, and goes with it
    old = _beside(folder, "old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one step; False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def _flush(path: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, nor a file for reading be flushed
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems do not flush folders; the rename itself has happened all the same.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
