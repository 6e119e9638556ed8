"""Live progress of a download from an address: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bertune.cli.terminal import say
from bertune.fetch.download import FetchProgress

_SECONDS_BETWEEN_LINES = 10.0


class FetchingProgress:
    """Shows bytes, rate and time left of one file after another, and what people should know of them.

    Args:
        enabled: False shows nothing.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        console = Console(stderr=True)
        self._enabled = enabled
        self._is_terminal = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._progress.add_task("", total=None)
        self._file = ""
        self._started = self._last_line = time.perf_counter()
        self._before = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, now: FetchProgress) -> None:
        """Moves the bar; off a terminal a line every ten seconds."""
        if not self._enabled:
            return
        if now.note:
            # The bar comes back with the next bytes, if there are any.
            self._progress.stop()
            say(now.note)
            return
        if now.file != self._file:
            self._file, self._before, self._started = now.file, now.done, time.perf_counter()
            self._progress.reset(self._task, description=now.file, total=now.total)
        self._progress.update(self._task, completed=now.done, total=now.total)
        if self._is_terminal:
            self._progress.start()
        elif time.perf_counter() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.perf_counter()
            say(self._line(now, self._last_line - self._started))

    def _line(self, now: FetchProgress, seconds: float) -> str:
        # What an earlier try has fetched says nothing of the rate.
        rate = max(now.done - self._before, 0) / max(seconds, 1e-9)
        line = f"{now.file}: {now.done / 1e6:,.1f} MB"
        if now.total is not None:
            line = f"{now.file}: {now.done / 1e6:,.1f} of {now.total / 1e6:,.1f} MB"
        line += f", {rate / 1e6:,.1f} MB/s"
        return line if now.total is None or not rate else f"{line}, {(now.total - now.done) / rate:.0f} s left"
