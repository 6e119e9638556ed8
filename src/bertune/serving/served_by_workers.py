"""One server of several processes, from its models to its end."""

import asyncio
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

from bertune.errors import ConfigError
from bertune.serving.event_log import EventLog
from bertune.serving.http_server import BACKLOG
from bertune.serving.mapped_models import map_models
from bertune.serving.open_model import Computing
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.worker import WorkerOrder
from bertune.serving.worker_pool import PoolSettings, WorkerPool
from bertune.serving.worker_process import WorkerProcess, WorkerStart
from bertune.system.json_file import JsonObject
from bertune.system.processors import threads_of_workers, usable_processors

_MOST_A_PROCESSOR: Final = 4
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
_COUNTER_BYTES: Final = 8


@dataclass(frozen=True, kw_only=True)
class SharedServing:
    """What several workers serve, and how.

    Args:
        folders: of the models by their names.
        computing: how runs and models do.
        limits: of requests.
        api_key: that requests must show; None asks for none.
        show_rows: see `ServingSettings`.
        as_json: see `EventLog`, as for the next.
        quiet: of all logs.
    """

    folders: dict[str, Path]
    computing: Computing
    limits: ServingLimits
    api_key: bytes | None
    show_rows: bool
    as_json: bool
    quiet: bool


def check_workers(count: int) -> None:
    """Refuses a number of workers that cannot work.

    Raises:
        ConfigError: says which can.
    """
    most = _MOST_A_PROCESSOR * usable_processors()
    if not 1 <= count <= most:
        raise ConfigError(
            f"--workers must be from 1 to {most} here, {_MOST_A_PROCESSOR} for each processor, not {count}"
        )


def serve_by_workers(
    serving: SharedServing, listening: socket.socket, count: int, log: EventLog, *, on_ready: Callable[[], None]
) -> None:
    """Serves models by several processes until a signal comes.

    Args:
        serving: what they do.
        listening: bound, not yet listening: nobody connects before all workers are ready.
        count: of workers.
        log: of this process's events.
        on_ready: told once, when they are.

    Raises:
        BertuneError: a model cannot be read, or a worker cannot begin; see `WorkerPool`.
        SystemExit: by a second signal.
    """
    threads = threads_of_workers(count)
    with tempfile.TemporaryDirectory(prefix="bertune-serve-") as temporary:
        folder = Path(temporary)
        order = _order(serving, listening, folder, count)

        def tell(told: list[JsonObject]) -> None:
            for model, ready in zip(order.models, told[0]["models"], strict=True):
                log.event("serving", model=model.name, computed_by=ready["computed_by"], folder=model.folder)
            log.event("workers", count=count, threads_of_each=int(threads["OMP_NUM_THREADS"]))
            listening.listen(BACKLOG)
            on_ready()

        def forget(worker: WorkerProcess) -> None:
            mark_process_dead(worker.pid, order.metrics)  # type: ignore[no-untyped-call]
            with Path(order.connections).open("r+b") as file:
                file.seek(_COUNTER_BYTES * (worker.number - 1))
                file.write(bytes(_COUNTER_BYTES))

        settings = PoolSettings(
            count=count,
            drain_timeout=serving.limits.drain_timeout,
            on_ready=tell,
            on_stop=listening.close,
            on_end=forget,
        )
        start = WorkerStart(
            module="bertune.serving.worker",
            order=order.to_dict(),
            files=(listening.fileno(),),
            environment=threads | {_METRICS: order.metrics},
        )
        try:
            killed_by = asyncio.run(WorkerPool(start, settings, log).run())
        finally:
            log.close()
    if killed_by is not None:
        raise SystemExit(128 + killed_by)


def _order(serving: SharedServing, listening: socket.socket, folder: Path, count: int) -> WorkerOrder:
    metrics, connections = folder / "metrics", folder / "connections"
    metrics.mkdir()
    connections.write_bytes(bytes(_COUNTER_BYTES * count))
    return WorkerOrder(
        models=tuple(map_models(serving.folders, serving.computing, folder / "models")),
        computing=serving.computing,
        limits=serving.limits,
        api_key=None if serving.api_key is None else serving.api_key.decode("ascii"),
        show_rows=serving.show_rows,
        as_json=serving.as_json,
        quiet=serving.quiet,
        listening=listening.fileno(),
        metrics=str(metrics),
        connections=str(connections),
        folder=str(folder),
    )
