"""One run at a time in one folder, and no more: locks that end with their process, even one that was killed.

The lock is `flock` on a small file beside the folder, `.lock-NAME`. The system gives it back when the process ends, so
a file that a killed run left behind stops nobody. Where there is no `flock` (not POSIX, some network file systems), or
nothing can be written beside the folder, runs are not kept apart.
"""

import contextlib
import errno
import importlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertune.errors import ConfigError

_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
# A named pipe of that name would wait for ever.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
# Who only looks holds the lock for microseconds.
_TRIES, _SECONDS_BETWEEN = 200, 0.005
# Who waits for a run to end has time.
_SECONDS_OF_WAITING = 0.25


class AnotherRunError(ConfigError):
    """Another run is writing where this one would."""


@contextmanager
def only_run_in(folder: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Keeps other runs out of a folder, or away from a file, until the block ends.

    Args:
        folder: need not exist; its parent must.
        shared: keeps out only those that want it for themselves: others that share it come in.
        wait: for another run to end, however long it takes.

    Raises:
        AnotherRunError: another run is writing into it.
    """
    path = _lock_file(folder)
    descriptor = _acquire(path, folder, shared=shared, wait=wait)
    try:
        yield
    finally:
        if descriptor is not None:
            # Deleted while it is still held: whoever opened it meanwhile sees that it is not the one in the folder.
            # What cannot be deleted, a file of somebody else's, stays and stops nobody. The last of several deletes it.
            if not shared or take_lock(descriptor):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            _release(descriptor)


def refuse_second_run(folder: Path) -> None:
    """Looks whether another run is writing into a folder; makes nothing.

    Raises:
        ConfigError: there is one.
    """
    try:
        descriptor = os.open(_lock_file(folder), os.O_RDONLY | _AT_ONCE)
    except OSError:
        return
    try:
        if not take_lock(descriptor, shared=True):
            raise _another_run(folder)
    finally:
        _release(descriptor)


def take_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Takes the lock of an open file or folder; False where another process or thread holds it.

    Args:
        descriptor: of the file or folder.
        shared: only to look: any number may, but not while somebody has the lock for good.
    """
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(descriptor, (_fcntl.LOCK_SH if shared else _fcntl.LOCK_EX) | _fcntl.LOCK_NB)
    except OSError as error:
        # Anything else means that this file system has no locks.
        return error.errno not in _HELD
    return True


def is_alive(process: int) -> bool:
    """Whether a process of this number is there; where that cannot be asked without harm, it is taken to be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _lock_file(folder: Path) -> Path:
    folder = Path(os.path.realpath(folder))
    return folder.with_name(f".lock-{folder.name}")


def _acquire(path: Path, folder: Path, *, shared: bool, wait: bool) -> int | None:
    tries = 0
    while True:
        descriptor = _open(path)
        if descriptor is None:
            return None
        if take_lock(descriptor, shared=shared):
            if _is_at(descriptor, path):
                return descriptor
            # The run that held it ended and deleted it between the two calls.
            os.close(descriptor)
            continue
        only_looked_at = take_lock(descriptor, shared=True)
        _release(descriptor)
        tries += 1
        if not wait and (not only_looked_at or tries == _TRIES):
            raise _another_run(folder)
        time.sleep(_SECONDS_BETWEEN if tries < _TRIES else _SECONDS_OF_WAITING)


def _open(path: Path) -> int | None:
    """Opens the file of a lock, made where there is none; None where that is not allowed."""
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # its run has just ended
                return _open_existing(path)
            continue
        except OSError as error:
            if error.errno in _NOT_ALLOWED:
                return None
            raise
        if os.name == "posix":
            # Other users can look whether it is held, whatever the umask: there is nothing in it.
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o444)
        return descriptor


def _open_existing(path: Path) -> int | None:
    # That of another user can be locked as well: to read is enough.
    for flags in (os.O_RDWR, os.O_RDONLY):
        try:
            return os.open(path, flags | _AT_ONCE)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _release(descriptor: int) -> None:
    if _fcntl is not None:
        # Said, not only closed: a child process may have a copy of the descriptor.
        with contextlib.suppress(OSError):
            _fcntl.flock(descriptor, _fcntl.LOCK_UN)
    os.close(descriptor)


def _another_run(folder: Path) -> AnotherRunError:
    return AnotherRunError(f"another run is writing into {folder}", hint="wait for it to end, or name another folder")
