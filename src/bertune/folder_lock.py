"""One run at a time in one folder, and no more: locks that end with their process, even one that was killed.

The lock is `flock` on a small file beside the folder, `.lock-NAME`. The system gives it back when the process ends, so
a file that a killed run left behind stops nobody. Where there is no `flock` (not POSIX, some network file systems), or
nothing can be written beside the folder, runs are not kept apart.
"""

import contextlib
import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertune.errors import ConfigError

_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keeps other runs out of a folder until the block ends.

    Args:
        folder: need not exist; its parent must.

    Raises:
        ConfigError: another run is writing into it.
    """
    path = _lock_file(folder)
    descriptor = _acquire(path, folder)
    try:
        yield
    finally:
        if descriptor is not None:
            # Deleted while it is still held: whoever opened it meanwhile sees that it is not the one in the folder.
            path.unlink(missing_ok=True)
            _release(descriptor)


def refuse_second_run(folder: Path) -> None:
    """Looks whether another run is writing into a folder; makes nothing.

    Raises:
        ConfigError: there is one.
    """
    try:
        descriptor = os.open(_lock_file(folder), os.O_RDONLY)
    except OSError:
        return
    try:
        if not take_lock(descriptor):
            raise _another_run(folder)
    finally:
        _release(descriptor)


def take_lock(descriptor: int) -> bool:
    """Takes the lock of an open file or folder; False where another process or thread holds it."""
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
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


def _acquire(path: Path, folder: Path) -> int | None:
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return None
            raise
        if not take_lock(descriptor):
            os.close(descriptor)
            raise _another_run(folder)
        if _is_at(descriptor, path):
            return descriptor
        # The run that held it ended and deleted it between the two calls.
        os.close(descriptor)


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


def _another_run(folder: Path) -> ConfigError:
    return ConfigError(f"another run is writing into {folder}", hint="wait for it to end, or name another folder")
