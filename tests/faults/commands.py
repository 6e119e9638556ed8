"""The command line in processes forked from one that has everything imported, stopped at points inside it.

What a fork has more than a new process is what was imported; a kill ends it in the same way.
"""

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRELOADED = (
    *("bertune.cli.app", "bertune.cli.train", "bertune.training.run", "bertune.reports.run_report"),
    *("bertune.kernels.library", "rich.console", "cyclopts", "bertune.api.resumed_run"),
)
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Args:
        code: of its exit; negative for the signal that ended it.
        output: what it printed on both streams.
        seconds: until then, since it was started.
    """

    code: int
    output: str
    seconds: float


class Command:
    """A command that was started.

    Args:
        arguments: of `bertune`.
        folder: in which it runs.
        log: the file that it prints into.
        hook: done in its process before it begins.
    """

    def __init__(self, arguments: list[str], folder: Path, log: Path, hook: Callable[[], None] = lambda: None) -> None:
        preload()
        self._log, self._started = log, time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if self.process == 0:
            _become(arguments, folder, log, hook)

    def send(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self.process, number)

    def has_printed(self, words: str) -> bool:
        """Whether some words stand in what it printed."""
        return self._log.is_file() and words in self._log.read_text(errors="replace")

    def wait_for(self, words: str) -> bool:
        """Waits until some words were printed; False where it ended before."""
        while not self.has_printed(words):
            if os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
            time.sleep(0.001)
        return True

    def wait(self) -> Ended:
        """Waits for its end."""
        status = os.waitpid(self.process, 0)[1]
        seconds = time.monotonic() - self._started
        return Ended(os.waitstatus_to_exitcode(status), self._log.read_text(errors="replace"), seconds)


def preload() -> None:
    """Imports what commands need."""
    import importlib

    for name in _PRELOADED:
        importlib.import_module(name)


def run(arguments: list[str], folder: Path, log: Path, hook: Callable[[], None] = lambda: None) -> Ended:
    """Runs a command to its end; see `Command`."""
    return Command(arguments, folder, log, hook).wait()


def _become(arguments: list[str], folder: Path, log: Path, hook: Callable[[], None]) -> None:
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        # Whatever stands there instead, as where pytest captures what is printed.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        os.environ |= {"HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
        sys.argv = ["bertune", *arguments]
        from bertune.__main__ import start

        hook()
        code = start()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class DiskCalls:
    """Counts the calls that change files below a folder, and does something in the place of one of them.

    Args:
        below: where they are counted.
        at: which one, from 1; 0 for none.
        fault: what is done there.
    """

    def __init__(self, below: Path, at: int, fault: Callable[[], None]) -> None:
        self.count = 0
        self._below, self._at, self._fault = os.path.realpath(below), at, fault

    def install(self) -> None:
        """Begins to count, in this process and for ever."""
        real_sync = os.fsync

        def sync(descriptor: int) -> None:
            self._call(f"/proc/self/fd/{descriptor}")
            real_sync(descriptor)

        os.fsync = sync
        sys.addaudithook(self._audited)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and (flags or 0) & _WRITES:
                self._call(path)
        elif event in _CHANGES and isinstance(arguments[0], str | bytes | os.PathLike):
            self._call(arguments[0])

    def _call(self, path: Any) -> None:
        if not os.path.realpath(os.fsdecode(path)).startswith(self._below):
            return
        self.count += 1
        if self.count == self._at:
            self._fault()


def kill() -> None:
    """Ends the process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    """Says that the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
