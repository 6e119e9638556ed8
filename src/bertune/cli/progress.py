"""Live progress of a training run: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bertune.cli.terminal import say
from bertune.evaluation.metrics import METRICS
from bertune.text.findings import counted
from bertune.tokens.reencode import ReencodeProgress
from bertune.training.loop import EpochResult
from bertune.training.step import StepResult

_SECONDS_BETWEEN_LINES = 10.0
# The loss that is shown follows the steps slowly enough to be read.
_SMOOTHING = 0.9


class TrainingProgress:
    """Shows examples a second, loss and time left; an `Observer` of `fit`.

    Args:
        name: of the run, where there are several: a line begins with it.
        progress: shows the bars of several runs together; None makes one.
    """

    def __init__(self, name: str = "", progress: Progress | None = None) -> None:
        self._progress = _training_bars() if progress is None else progress
        self._prefix = f"{name}: " if name else ""
        self._task = self._progress.add_task(name or "training", total=None, state="", visible=not name)
        self._is_terminal = self._progress.console.is_terminal
        self._total = 0
        self._epochs = 0
        self._loss: float | None = None
        self._examples = 0
        self._started = self._last_line = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Says how long the run will be."""
        self._total = total_steps
        self._epochs = total_steps // steps_per_epoch
        self._progress.update(self._task, total=total_steps, visible=True)
        steps, epochs = counted(total_steps, "step"), counted(self._epochs, "epoch")
        say(f"{self._prefix}training {steps} ({epochs} of {steps_per_epoch:,}) in {precision}")
        self._started = self._last_line = time.perf_counter()
        self._progress.start()

    def on_step(self, result: StepResult) -> None:
        """Moves the bar; off a terminal a line every ten seconds."""
        self._loss = result.loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * result.loss
        self._examples += result.examples
        now = time.perf_counter()
        rate = self._examples / (now - self._started)
        self._progress.update(
            self._task, completed=result.step + 1, state=f"{rate:.0f} examples/s  loss {self._loss:.4f}"
        )
        if not self._is_terminal and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (now - self._started) / (result.step + 1) * (self._total - result.step - 1)
            say(
                f"{self._prefix}step {result.step + 1}/{self._total}  loss {self._loss:.4f}  "
                f"{rate:.0f} examples/s  {left:.0f} s left"
            )

    def on_epoch(self, result: EpochResult) -> None:
        """Says what the epoch came to."""
        parts = [f"{self._prefix}epoch {result.epoch}/{self._epochs}", f"loss {result.train_loss:.4f}"]
        if result.scores is not None:
            values = result.scores.values.items()
            parts += [f"{name} {value:{'.2%' if METRICS[name].as_percentage else '.4f'}}" for name, value in values]
            parts.append("best so far" if result.is_best else "not better")
        parts.append(f"{result.examples_per_second:.0f} examples/s")
        line = "  ".join(parts)
        if self._is_terminal:
            self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            say(line)
        if self._prefix and result.epoch == self._epochs:
            self._progress.update(self._task, visible=False)


class SeedsProgress:
    """The bars of several seeds, one below the other where they are trained together.

    Args:
        seeds: how many there are.
        enabled: False shows nothing.
    """

    def __init__(self, seeds: int, *, enabled: bool = True) -> None:
        self._seeds = seeds
        self._progress = _training_bars() if enabled else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def observer_of(self, seed: int, place: int) -> TrainingProgress | None:
        """Makes what shows one seed.

        Args:
            seed: its number.
            place: among all, from 1.
        """
        if self._progress is None:
            return None
        number = "" if seed == place else f" (seed {seed})"
        return TrainingProgress(f"seed {place} of {self._seeds}{number}", self._progress)


def _training_bars() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class RowsProgress:
    """A bar over rows that are evaluated or predicted; nothing off a terminal.

    Args:
        name: of what is done.
        rows: in all; None where that is not known.
        enabled: False shows nothing.
    """

    def __init__(self, name: str, rows: int | None, *, enabled: bool = True) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._progress.add_task(name, total=rows)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, rows: int) -> None:
        """Moves the bar."""
        self._progress.advance(self._task, rows)


class EncodingProgress:
    """Rows that are re-encoded, with rows a second and time left: a bar on a terminal, plain lines elsewhere.

    Args:
        name: of the split.
        enabled: False shows nothing.
    """

    def __init__(self, name: str, *, enabled: bool = True) -> None:
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

    def show(self, done: ReencodeProgress) -> None:
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
