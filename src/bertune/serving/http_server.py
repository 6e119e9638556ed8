"""The process that serves: its socket, its signals, and its end without a lost answer."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette

from bertune.errors import ConfigError
from bertune.serving.event_log import EventLog
from bertune.serving.heeded_signals import heeding_signals
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_state import ServingState
from bertune.serving.timed_connection import connection_class

#: Connections that wait to be taken.
BACKLOG: Final = 2048
# Weights, libraries, streams.
_OTHER_FILES: Final = 100
_KEEP_ALIVE: Final = 75
# Connections that are open when the server is told to stop may ask once more: each answer says that it is the last.
_LAST_REQUESTS: Final = 1.0


def listening_socket(host: str, port: int) -> socket.socket:
    """Takes an address, before anything is loaded.

    Args:
        host: name or number of an interface of this machine.
        port: 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host}: there is no such address ({error})") from error
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.set_inheritable(True)
    except OSError as error:
        listening.close()
        raise _address_error(host, port, error) from error
    return listening


def allow_connections(limits: ServingLimits) -> None:
    """Raises how many files this process may open, as far as it may, so that all connections find one.

    Raises:
        ConfigError: the most connections are more than that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = limits.max_connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigError(
            f"--max-connections {limits.max_connections} is more than this process may open files ({hard})",
            hint=f"--max-connections {max(1, hard - _OTHER_FILES)}, or a higher limit: ulimit -Hn",
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def address_of(listening: socket.socket) -> str:
    """Returns the address of a socket as clients write it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _address_error(host: str, port: int, error: OSError) -> ConfigError:
    place = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"{place} is in use", hint="stop what listens there, or take another: --port 0 finds a free one"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(f"{place}: this user may not listen there", hint="take a port from 1024 on")
    return ConfigError(f"{place}: {error.strerror}", hint="--host names an interface of this machine")


class DrainingServer(uvicorn.Server):
    """Uvicorn's server, which at the first signal answers what it has taken, and then ends.

    Args:
        app: from `application`.
        limits: of connections, and of the time that the end may take.
        backlog: connections that wait, and that are taken at a time.
        in_all: see `connection_class`.
    """

    def __init__(
        self, app: Starlette, limits: ServingLimits, *, backlog: int = BACKLOG, in_all: Callable[[int], int] = int
    ) -> None:
        config = uvicorn.Config(
            app,
            http=connection_class(limits, in_all),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=backlog,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        super().__init__(config)
        self.state: ServingState = app.state.serving
        self._limits = limits
        self._told = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to take connections."""
        # Vocabularies, models and modules stay until the end. To look for garbage in them, from time to time, would
        # keep all requests waiting for a tenth of a second.
        gc.collect()
        gc.freeze()
        await super().startup(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes the signals for as long as it serves: uvicorn would raise them once more at the end."""
        with heeding_signals(self._heed):
            yield

    def _heed(self, number: int) -> None:
        if self.state.is_stopping:
            self.state.log.event("killed", signal=signal.Signals(number).name)
            self.state.log.close(0.2)
            os._exit(128 + number)
        self.stop(signal=signal.Signals(number).name)

    def stop(self, **why: str) -> None:
        """Begins the end; the log says why."""
        if self.state.is_stopping:
            return
        self._told = time.monotonic()
        self.state.is_stopping = True
        self.should_exit = True
        self.state.log.event("stopping", **why, connections=len(self.server_state.connections))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections, answers what is in flight, and closes the rest."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        await self._until_closed(_LAST_REQUESTS)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        left = self._limits.drain_timeout - (time.monotonic() - self._told)
        await self._until_closed(left)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        lost = len(self.server_state.tasks)
        self.state.log.event("stopped", seconds=round(time.monotonic() - self._told, 3), unanswered=lost)

    async def _until_closed(self, seconds: float) -> None:
        """Waits for all connections, and for what is computed for them, for some seconds."""
        ends = time.monotonic() + seconds
        while (self.server_state.connections or self.server_state.tasks) and time.monotonic() < ends:
            await asyncio.sleep(0.02)


class _ToEventLog(logging.Handler):
    """What uvicorn has to say, as events."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Logs a message."""
        self._log.event("connection", message=record.getMessage())


def heed_uvicorn(log: EventLog) -> None:
    """Has uvicorn's messages written as events, and nowhere else."""
    logger = logging.getLogger("uvicorn")
    logger.handlers = [_ToEventLog(log)]
    logger.propagate = False
    # A client that sends nonsense is no news to whoever reads the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.handlers = [_ToEventLog(log)]
    asyncio_logger.propagate = False
