"""A worker as the process that started it has it: two pipes, and how it ended."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bertune import errors
from bertune.errors import BertuneError, ResourceError
from bertune.system.json_file import JsonObject

# This process's own path: neither the folder one stands in nor a missing PYTHONPATH decides which code runs.
_START: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"
_LONGEST_MESSAGE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WorkerStart:
    """How workers are started.

    Args:
        module: whose `main` a worker runs; see `bertune.serving.worker`.
        order: the first line that it reads.
        files: numbers of open files that it gets.
        environment: variables that differ from this process's.
    """

    module: str
    order: JsonObject
    files: tuple[int, ...]
    environment: Mapping[str, str]


class WorkerProcess:
    """One worker, which begins at once; `close` ends it, whatever it does.

    Args:
        number: of the worker, from 1.
        start: how it is started.

    Raises:
        ResourceError: the system has no room for another process.
    """

    def __init__(self, number: int, start: WorkerStart) -> None:
        path = json.dumps([entry for entry in sys.path if isinstance(entry, str)], allow_nan=False)
        command = [sys.executable, "-P", "-c", _START.format(module=start.module), path, str(number)]
        try:
            with _signals_blocked():
                self._process = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=start.files,
                    env=os.environ | dict(start.environment),
                )
        except OSError as error:
            raise ResourceError(
                f"worker {number} cannot be started: {error.strerror}", hint="give --workers a smaller number"
            ) from error
        self.number = number
        self.pid = self._process.pid
        self.is_ready = False
        self._messages: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._raised: BertuneError | None = None
        self._send(json.dumps(start.order, allow_nan=False))

    async def ready(self) -> JsonObject:
        """Waits until it can answer.

        Returns:
            What it tells of itself.

        Raises:
            BertuneError: it cannot; that which it raised, of its own class.
        """
        while line := await self._line():
            message = json.loads(line)
            if "ready" in message:
                self.is_ready = True
                told: JsonObject = message["ready"]
                return told
            self._raised = _raised(message)
        raise self._end() or BertuneError(f"worker {self.number} ended before it was ready")

    def tell(self, word: str) -> None:
        """Sends `go`, to begin to serve, or `stop`, to end after what is in flight is answered."""
        self._send(word)

    async def ended(self) -> BertuneError | None:
        """Waits for its end.

        Returns:
            What it raised, or what it was ended by; None where it ended as it was told to.
        """
        while line := await self._line():
            self._raised = _raised(json.loads(line))
        return self._end()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def close(self) -> None:
        """Ends it at once, and waits until it is gone."""
        self.is_ready = False
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._transport is None:
            self._process.stdout.close()
        else:
            self._transport.close()

    def _end(self) -> BertuneError | None:
        code = self._process.wait()
        if self._raised is not None or code == 0:
            return self._raised
        if code == -signal.SIGKILL:
            return ResourceError(
                f"worker {self.number} was killed, as the system does when memory runs out",
                hint="give --workers a smaller number",
            )
        told = f"exit code {code}" if code > 0 else signal.strsignal(-code) or f"signal {-code}"
        return BertuneError(f"worker {self.number} ended: {told}")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        # Where it has ended, that is noticed by the other pipe.
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    async def _line(self) -> bytes:
        if self._messages is None:
            loop, messages = asyncio.get_running_loop(), asyncio.StreamReader(_LONGEST_MESSAGE)
            self._messages = messages
            self._transport, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(messages), self._process.stdout
            )
        return await self._messages.readline()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Holds signals back while a process begins, which inherits that.

    What a terminal or a service sends to all processes is for this one; a worker takes SIGTERM when it can.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _raised(message: JsonObject) -> BertuneError:
    values = message["raised"]
    kind: type[BertuneError] = getattr(errors, values["kind"])
    return kind(values["message"], hint=values["hint"])
