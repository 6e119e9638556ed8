"""Workers that serve together: begun at once, replaced when they die, ended without a lost answer."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from bertune.errors import BertuneError
from bertune.serving.event_log import EventLog
from bertune.serving.heeded_signals import heeding_signals
from bertune.serving.worker_process import WorkerProcess, WorkerStart
from bertune.system.json_file import JsonObject

Result = TypeVar("Result")
#: Seconds before a worker begins again whose last so many beginnings failed; after as many the server ends.
BACK_OFF: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
#: A worker that lives so many seconds has begun well.
STEADY_SECONDS: Final = 10.0
# Beyond what a worker may take for its end.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What a pool keeps to.

    Args:
        count: of workers.
        drain_timeout: seconds that what is in flight has at the end.
        on_ready: told once, when all workers are ready, with what each tells of itself; they begin to serve after it.
        on_stop: told when no connection is to be taken any more.
        on_end: told of a worker that is gone.
        back_off: see `BACK_OFF`.
        steady_seconds: see `STEADY_SECONDS`.
    """

    count: int
    drain_timeout: float
    on_ready: Callable[[list[JsonObject]], None]
    on_stop: Callable[[], None] = field(default=lambda: None)
    on_end: Callable[[WorkerProcess], None] = field(default=lambda _worker: None)
    back_off: tuple[float, ...] = BACK_OFF
    steady_seconds: float = STEADY_SECONDS


class WorkerPool:
    """Several workers, until a signal comes.

    Args:
        start: how each is started.
        settings: of the pool.
        log: of its events.
    """

    def __init__(self, start: WorkerStart, settings: PoolSettings, log: EventLog) -> None:
        self._start = start
        self._settings = settings
        self._log = log
        self._workers: dict[int, WorkerProcess] = {}
        self._stopping = asyncio.Event()
        self._error: BertuneError | None = None
        self._killed_by: int | None = None
        self._told = 0.0

    async def run(self) -> int | None:
        """Serves until a signal comes, and all workers have ended.

        Returns:
            The number of a second signal, which ended all of them at once.

        Raises:
            BertuneError: a worker cannot begin; or workers die again and again, or one dies at the end with what it
                had to answer.
        """
        try:
            for number in range(1, self._settings.count + 1):
                self._workers[number] = WorkerProcess(number, self._start)
            told = await _all_of([worker.ready() for worker in self._workers.values()])
            with heeding_signals(self._heed):
                for worker in self._workers.values():
                    self._say_ready(worker)
                self._settings.on_ready(told)
                for worker in self._workers.values():
                    worker.tell("go")
                await _all_of([self._keep(number) for number in self._workers])
        finally:
            for worker in self._workers.values():
                worker.close()
        self._log.event("stopped", seconds=round(time.monotonic() - self._told, 3))
        if self._error is not None and self._killed_by is None:
            raise self._error
        return self._killed_by

    async def _keep(self, number: int) -> None:
        """Has a worker of this number serve until the end."""
        failures = 0
        while True:
            error, seconds = await self._life_of(number)
            if self._stopping.is_set():
                return
            is_steady = seconds >= self._settings.steady_seconds
            failures = 0 if error is None else 1 if is_steady else failures + 1
            if error is not None and failures > len(self._settings.back_off):
                again = f"{error.message} ({failures} times in a row, within {self._settings.steady_seconds:g} seconds)"
                self._fail(type(error)(again, hint=error.hint))
                self._stop(reason="workers end again and again")
                return
            if failures:
                await self._pause(self._settings.back_off[failures - 1])
            if self._stopping.is_set():
                return

    async def _life_of(self, number: int) -> tuple[BertuneError | None, float]:
        """Serves with a worker, a new one where there is none, until it ends.

        Returns:
            What ended it, None where it was asked to end; and for how many seconds it served.
        """
        worker, since = self._workers[number], time.monotonic()
        error: BertuneError | None
        try:
            if not worker.is_ready:
                worker = self._workers[number] = WorkerProcess(number, self._start)
                await worker.ready()
                since = time.monotonic()
                self._say_ready(worker)
                worker.tell("stop" if self._stopping.is_set() else "go")
            error = await worker.ended()
        except BertuneError as raised:
            error = raised
        was_ready = worker.is_ready
        seconds = time.monotonic() - since if was_ready else 0.0
        worker.close()
        self._settings.on_end(worker)
        if not self._stopping.is_set():
            told = {} if error is None else {"error": error.message}
            self._log.event("worker_ended", worker=worker.number, pid=worker.pid, **told)
        elif error is not None and was_ready and self._killed_by is None:
            self._fail(BertuneError(f"{error.message}, before all that it had taken was answered"))
        return error, seconds

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _say_ready(self, worker: WorkerProcess) -> None:
        self._log.event("worker_ready", worker=worker.number, pid=worker.pid)

    def _fail(self, error: BertuneError) -> None:
        self._error = self._error or error

    def _heed(self, number: int) -> None:
        name = signal.Signals(number).name
        if not self._stopping.is_set():
            self._stop(signal=name)
        elif self._killed_by is None:
            self._killed_by = number
            self._log.event("killed", signal=name)
            self._kill_all()

    def _stop(self, **why: str) -> None:
        """Has each worker answer what it has taken, and end."""
        self._stopping.set()
        self._told = time.monotonic()
        self._log.event("stopping", **why)
        self._settings.on_stop()
        for worker in self._workers.values():
            if worker.is_ready:
                worker.tell("stop")
            else:
                worker.kill()
        asyncio.get_running_loop().call_later(self._settings.drain_timeout + _PATIENCE, self._kill_all)

    def _kill_all(self) -> None:
        for worker in self._workers.values():
            worker.kill()


async def _all_of(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Waits for all, and raises the first error."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
