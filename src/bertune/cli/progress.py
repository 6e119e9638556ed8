"""Live progress of what the command line does: a bar on a terminal, plain lines elsewhere.

rich, which draws bars, is imported where one may be drawn: whoever asks for nothing need not wait for it.
"""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bertune.cli.terminal import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from bertune.fetch.download import FetchProgress
    from bertune.shards.reencode import ReencodeProgress
    from bertune.training.training_progress import TrainingProgress

_SECONDS_BETWEEN_LINES = 10.0


class SeedsProgress:
    """The bars of several seeds, one below the other where they are trained together.

    Args:
        seeds: how many there are.
        enabled: False shows nothing.
    """

    def __init__(self, seeds: int, *, enabled: bool = True) -> None:
        self._seeds = seeds
        self._progress: Progress | None = None
        if enabled:
            from bertune.training.training_progress import training_bars

            self._progress = training_bars()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def callback_of(self, seed: int, place: int) -> "TrainingProgress | None":
        """Makes what shows one seed.

        Args:
            seed: its number.
            place: among all, from 1.
        """
        number = "" if seed == place else f" (seed {seed})"
        return self.callback_named(f"seed {place} of {self._seeds}{number}")

    def callback_named(self, name: str) -> "TrainingProgress | None":
        """Makes what shows one of several trainings.

        Args:
            name: with which its lines begin.
        """
        if self._progress is None:
            return None
        from bertune.training.training_progress import TrainingProgress

        return TrainingProgress(name, self._progress)


class RowsProgress:
    """A bar over rows that are evaluated or predicted; nothing off a terminal.

    Args:
        name: of what is done.
        rows: in all; None where that is not known.
        enabled: False shows nothing.
    """

    def __init__(self, name: str, rows: int | None, *, enabled: bool = True) -> None:
        self._progress = _bar_of_rows(name, rows) if enabled else None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal that shows it."""
        return self._progress is not None

    def total(self, rows: int) -> None:
        """Says how many rows there are, where that was not known before."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], total=rows)

    def advance(self, rows: int) -> None:
        """Moves the bar."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0], rows)


def _bar_of_rows(name: str, rows: int | None) -> "Progress | None":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    progress = Progress(*columns, console=console, transient=True)
    progress.add_task(name, total=rows)
    return progress


class EncodingProgress:
    """Rows that are re-encoded, with rows a second and time left: a bar on a terminal, plain lines elsewhere.

    Args:
        name: of the split.
        enabled: False shows nothing.
    """

    def __init__(self, name: str, *, enabled: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._name = name
        self._enabled = enabled
        self._is_terminal = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} rows/s"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._progress.add_task(name, total=None, rate=0.0)
        self._stage = ""
        self._rows_before = 0
        self._started = self._last_line = time.perf_counter()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, done: "ReencodeProgress") -> None:
        """Moves the bar; off a terminal a line every ten seconds."""
        now = time.perf_counter()
        if done.stage != self._stage:
            self._stage, self._started = done.stage, now
            # The first report of a stage comes after its first rows; they would make the rate infinite.
            self._rows_before = done.rows
        rate = (done.rows - self._rows_before) / max(now - self._started, 1e-9)
        self._progress.update(
            self._task, description=f"{done.stage} {self._name}", completed=done.rows, total=done.total, rate=rate
        )
        if self._enabled and not self._is_terminal and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            of_total, left = "", ""
            if done.total is not None:
                of_total = f" of {done.total:,}"
                left = f", {(done.total - done.rows) / max(rate, 1e-9):.0f} s left"
            say(f"{done.stage} {self._name}: {done.rows:,}{of_total} rows, {rate:,.0f} rows/s{left}")


class FetchingProgress:
    """A download: bytes, rate and time left of one file after another, and what people should know of them.

    Args:
        enabled: False shows nothing.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

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

    def show(self, now: "FetchProgress") -> None:
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

    def _line(self, now: "FetchProgress", seconds: float) -> str:
        # What an earlier try has fetched says nothing of the rate.
        rate = max(now.done - self._before, 0) / max(seconds, 1e-9)
        line = f"{now.file}: {now.done / 1e6:,.1f} MB"
        if now.total is not None:
            line = f"{now.file}: {now.done / 1e6:,.1f} of {now.total / 1e6:,.1f} MB"
        line += f", {rate / 1e6:,.1f} MB/s"
        return line if now.total is None or not rate else f"{line}, {(now.total - now.done) / rate:.0f} s left"
