"""One of several processes that serve at one address."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from starlette.applications import Starlette

from bertune import errors
from bertune.errors import BertuneError, ResourceError
from bertune.serving.application import ServingSettings, application
from bertune.serving.event_log import EventLog
from bertune.serving.http_server import DrainingServer, heed_uvicorn
from bertune.serving.mapped_models import MappedModel, open_mapped
from bertune.serving.open_model import Computing
from bertune.serving.served_run import start_models
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ServingMetrics
from bertune.serving.supervision import Supervision
from bertune.system.json_file import JsonObject

# Each worker takes one connection at a time, so that none takes all that wait while others have nothing to do.
_TAKEN_AT_A_TIME: Final = 1


@dataclass(frozen=True, kw_only=True)
class WorkerOrder:
    """What a worker is to serve, and how.

    Args:
        models: that are laid out; the first answers where no name is given.
        computing: how runs and models do.
        limits: of requests.
        api_key: that requests must show; None asks for none.
        show_rows: see `ServingSettings`.
        as_json: see `EventLog`, as for the next.
        quiet: of its log.
        listening: the number of the open socket.
        metrics: the folder of the numbers of all workers.
        connections: file with the number of connections of each worker.
        folder: all that the other process keeps for its workers; removed by them should it be killed.
    """

    models: tuple[MappedModel, ...]
    computing: Computing
    limits: ServingLimits
    api_key: str | None
    show_rows: bool
    as_json: bool
    quiet: bool
    listening: int
    metrics: str
    connections: str
    folder: str

    def to_dict(self) -> JsonObject:
        """Returns JSON-ready values."""
        return asdict(self)

    @classmethod
    def of(cls, values: JsonObject) -> "WorkerOrder":
        """Reads what `to_dict` made."""
        return cls(
            **values
            | {
                "models": tuple(MappedModel(**each) for each in values["models"]),
                "computing": Computing(**values["computing"]),
                "limits": ServingLimits(**values["limits"]),
            }
        )


class WorkerServer(DrainingServer):
    """A server that ends by SIGTERM or when it is told to, and when a model of it has failed.

    The other process decides on a second signal; one that all processes of a terminal or a service get at once is no
    second one.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes SIGTERM, which was held back so far."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: self.stop(signal="SIGTERM"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    @property
    def has_failed(self) -> bool:
        """Whether a model answers no more."""
        return not all(model.is_alive for model in self.state.models.values())

    async def on_tick(self, counter: int) -> bool:
        """Looks ten times a second whether there is a reason to end."""
        if self.has_failed:
            self.stop(reason="a model has stopped working")
        return await super().on_tick(counter)


class _Shared(socket.socket):
    """The listening socket, on which the other process listens."""

    def listen(self, _backlog: int = 0) -> None:
        """Does nothing: it would set how many connections may wait for all workers."""


def main() -> None:
    """Serves as it is told to, with its number as the argument."""
    number = int(sys.argv[2])
    supervision = Supervision()
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    try:
        asyncio.run(_serve(WorkerOrder.of(supervision.read()), number, supervision))
        code = 0
    except Exception as error:
        if os.environ.get("BERTUNE_TRACEBACK"):
            traceback.print_exc()
        told = told_as(error)
        # Errors of other modules are told as what they are by their exit code.
        kind = next(each.__name__ for each in type(told).__mro__ if each.__module__ == errors.__name__)
        supervision.tell(raised={"kind": kind, "message": told.message, "hint": told.hint})
        code = told.exit_code
    # All is said and closed; to take modules and weights down one by one takes seconds.
    os._exit(code)


async def _serve(order: WorkerOrder, number: int, supervision: Supervision) -> None:
    loop, go = asyncio.get_running_loop(), asyncio.Event()
    servers: list[WorkerServer] = []

    def stop() -> None:
        for server in servers:
            server.stop(reason="told to")
        go.set()

    words = {"go": go.set, "stop": stop}
    supervision.heed(order.folder, lambda word: loop.call_soon_threadsafe(words[word]))
    log = EventLog(as_json=order.as_json, quiet=order.quiet, of={"worker": number, "pid": os.getpid()})
    settings = ServingSettings(
        limits=order.limits,
        metrics=ServingMetrics(Path(order.metrics)),
        log=log,
        api_key=None if order.api_key is None else order.api_key.encode(),
        show_rows=order.show_rows,
    )
    models = await start_models([open_mapped(model, order.computing) for model in order.models], settings)
    heed_uvicorn(log)
    app = application({model.name: model for model in models}, settings)
    server = _server(app, order, number)
    servers.append(server)
    supervision.tell(ready={"models": [{"model": model.name, "computed_by": model.computed_by} for model in models]})
    await go.wait()
    try:
        await server.serve(sockets=[_Shared(fileno=order.listening)])
    finally:
        for model in models:
            model.stop()
        log.close()
    if server.has_failed:
        raise BertuneError(f"worker {number}: a model has stopped working")


def _server(app: Starlette, order: WorkerOrder, number: int) -> WorkerServer:
    of_each = np.memmap(order.connections, np.int64, "r+")

    def in_all(own: int) -> int:
        of_each[number - 1] = own
        return int(of_each.sum())

    return WorkerServer(app, order.limits, backlog=_TAKEN_AT_A_TIME, in_all=in_all)


def told_as(error: Exception) -> BertuneError:
    """Returns an error of bertune's own for whatever ended a worker."""
    if isinstance(error, BertuneError):
        return error
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return ResourceError("not enough memory for so many workers", hint="give --workers a smaller number")
    return BertuneError(
        f"a worker failed: unexpected {type(error).__name__}: {error}",
        hint="this is a fault of bertune; run again with BERTUNE_TRACEBACK=1 and report what it prints",
    )
