"""Files and folders that are there whole or not at all."""

import contextlib
import ctypes
import errno
import itertools
import os
import re
import shutil
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertune.system.folder_lock import is_alive, take_lock

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a disk says when it takes no more, often without the name of a file.
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_EARLIER = ".earlier-"
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
    remove_leftovers(folder.parent, of=folder.name)
    temporary = temporary_name(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with errors_naming(folder, temporary), _marked_as_used(temporary):
            yield temporary
            for path in temporary.rglob("*"):
                flush(path)
            flush(temporary)
            put_in_place(temporary, folder)
            flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_file(path: Path, *, follow: bool = True) -> Iterator[Path]:
    """Gives a temporary file to write; it takes the place of `path` when the block ends without an error.

    Args:
        path: to be made or replaced.
        follow: a link to a file stays, and what it leads to is replaced; otherwise the link is. Files in a folder that
            may come from somebody else are not followed: a link there could lead anywhere.
    """
    path = Path(os.path.realpath(path if follow else path.parent)) / ("" if follow else path.name)
    if path.is_dir():  # told before anything is written, and by its own name
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, of=path.name)
    temporary = temporary_name(path)
    try:
        with errors_naming(path, temporary):
            temporary.touch()
            permissions = stat.S_IMODE(temporary.stat().st_mode)
            with _marked_as_used(temporary):
                yield temporary
            # A library that fills it by way of a file of its own may have left one that only its owner can read.
            temporary.chmod(permissions)
            put_file_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def errors_naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Lets errors of the system say which file they are about, by the name that people know.

    Args:
        path: what is being written; named where a full disk names nothing.
        temporary: under what name; replaced in errors.
    """
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        if error.filename is None and error.errno in _OF_THE_DISK:
            error.filename = str(path)
        elif named is not None and temporary is not None and named.is_relative_to(temporary):
            error.filename = str(path / named.relative_to(temporary))
        raise


def write_text(path: Path, text: str, *, follow: bool = True) -> None:
    """Writes a small file, whole or not at all; for `follow` see `replaced_file`."""
    with replaced_file(path, follow=follow) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a small file, whole or not at all; see `write_text`."""
    with replaced_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def signals_held() -> Iterator[None]:
    """Lets interrupts and the like wait until the block ends; for two renames that belong together.

    By handlers, not by a mask: a mask is one thread's, and the system gives a signal to any thread that takes it.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler runs
        yield
        return
    came: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


def temporary_name(path: Path) -> Path:
    """Returns a name beside a file or folder that nobody uses now; `remove_leftovers` knows it."""
    return _beside(path, "tmp")


def place_aside(folder: Path) -> Path:
    """Returns where a folder stands aside while this process makes what is to replace it: `.earlier-NAME-PROCESS`."""
    return folder.with_name(f"{_EARLIER}{folder.name}-{os.getpid()}")


def stepped_aside(folder: Path) -> list[Path]:
    """Returns what stands aside for a folder, of this process and of others."""
    prefix = f"{_EARLIER}{folder.name}-"
    places = folder.parent.iterdir() if folder.parent.is_dir() else ()
    return [place for place in places if place.name.startswith(prefix) and place.name[len(prefix) :].isdecimal()]


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is something half written."""
    return _LEFTOVER.fullmatch(name) is not None


def remove_leftovers(folder: Path, *, of: str | None = None) -> None:
    """Removes what processes that were killed left unfinished in a folder: `.tmp-NAME-PROCESS-NUMBER`.

    Nothing is removed whose process may be alive, and nothing that somebody is filling, be it in another container with
    process numbers of its own. A file or folder that is written again removes its own.

    Args:
        folder: to look in.
        of: the name of what was being written; None for anything.
    """
    for entry in folder.glob(".tmp-*"):
        parts = _LEFTOVER.fullmatch(entry.name)
        if parts is None or (of is not None and parts["name"] != of) or is_alive(int(parts["process"])):
            continue
        if entry.is_symlink() or _is_used(entry):
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # somebody else's
                entry.unlink(missing_ok=True)


@contextmanager
def _marked_as_used(place: Path) -> Iterator[None]:
    """Locks a file or folder as long as it is filled; the lock ends with the process."""
    if os.name != "posix":
        yield
        return
    descriptor = os.open(place, os.O_RDONLY)
    try:
        take_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _is_used(place: Path) -> bool:
    try:
        descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a named pipe would wait
    except OSError:
        return True
    try:
        return not take_lock(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, kind: str) -> Path:
    """A name in the same folder, so on the same file system, that no other process or thread uses now."""
    return path.with_name(f".{kind}-{path.name}-{os.getpid()}-{next(_numbers)}")


def put_in_place(temporary: Path, folder: Path) -> None:
    """Gives a folder its place; what was there before has the temporary name then, or is gone.

    Args:
        temporary: beside the place.
        folder: the place.
    """
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


def put_file_in_place(temporary: Path, path: Path) -> None:
    """Gives a file that is written its place, so that a crash leaves the one before or this one, whole.

    Args:
        temporary: beside the place.
        path: the place.
    """
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one step; False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def flush(path: Path) -> None:
    """Waits until a file's content, or the names in a folder, are on disk.

    What has a name is on disk only when its folder is, too: the order is the file, its rename, the folder.
    """
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, nor a file for reading be flushed
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not flush folders; the rename itself has happened all the same.
        if error.errno in _OF_THE_DISK or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
