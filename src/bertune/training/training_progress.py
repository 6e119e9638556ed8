"""Live progress of a training run: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bertune.training.callback import Callback
from bertune.training.pace import Pace
from bertune.wording.counts import counted
from bertune.wording.metric_text import epoch_text, loss_text, metric_name, metric_text
from bertune.wording.printed_lines import lines_on, say

# They import torch, which whoever shows other progress need not wait for.
if TYPE_CHECKING:
    from bertune.training.history import EpochResult, Evaluation
    from bertune.training.step import SkippedStep, StepResult

_SECONDS_WITHOUT_WORD = 30.0


class TrainingProgress(Callback):
    """Shows examples a second, loss and time left on standard error; a `Callback` of `fit`.

    Args:
        name: of the run, where there are several: a line begins with it.
        progress: shows the bars of several runs together; None makes one.
    """

    def __init__(self, name: str = "", progress: Progress | None = None) -> None:
        self._progress = training_bars() if progress is None else progress
        self._prefix = f"{name}: " if name else ""
        self._task = self._progress.add_task(name or "training", total=None, state="", visible=not name)
        self._is_terminal = self._progress.console.is_terminal
        self._epochs = 0
        self._is_told = False
        self._pace = Pace(0)
        self._last_line = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Says how long the run will be."""
        self._epochs = -(-total_steps // steps_per_epoch)
        self._progress.update(self._task, total=total_steps, visible=True)
        steps, epochs = counted(total_steps, "step"), counted(self._epochs, "epoch")
        say(f"{self._prefix}training {steps} ({epochs} of {steps_per_epoch:,}) in {precision}")
        self._pace = Pace(total_steps)
        self._last_line = time.perf_counter()
        self._progress.start()

    def on_step(self, result: "StepResult") -> None:
        """Moves the bar; off a terminal a line where nothing was said for half a minute."""
        self._pace.add(result)
        self._progress.update(self._task, completed=result.step + 1, state=self._pace.state())
        now = time.perf_counter()
        if not self._is_terminal and now - self._last_line >= _SECONDS_WITHOUT_WORD:
            self._last_line = now
            say(f"{self._prefix}{self._pace.line()}")

    def on_skipped_step(self, skipped: "SkippedStep") -> None:
        """Says what was not finite."""
        self._say(f"warning: a step was left out: {skipped.reason}; metrics.jsonl has the rows of its batch")

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        """Says that memory was at its end."""
        self._say(f"warning: out of memory at step {step}: from here on {micro_batch_size} examples at a time")

    def _say(self, line: str) -> None:
        """Writes a line, above the bar where there is one."""
        line = f"{self._prefix}{line}"
        self._last_line = time.perf_counter()
        if self._is_terminal:
            for part in lines_on(sys.stderr, line):
                self._progress.console.print(part, highlight=False, markup=False, soft_wrap=True)
        else:
            say(line)

    def on_evaluation(self, result: "Evaluation") -> None:
        """Says what an evaluation within an epoch came to; of one at its end the line of the epoch does."""
        self._is_told = result.is_within_epoch
        if self._is_told:
            self._say_scores(f"epoch {epoch_text(result.epoch)}/{self._epochs}  step {result.step:,}", result)

    def on_epoch(self, result: "EpochResult") -> None:
        """Says what the epoch came to; nothing where the evaluation that was told last has ended the run within it."""
        if not self._is_told:
            self._say_scores(f"epoch {result.epoch}/{self._epochs}", result)
        if self._prefix and result.epoch == self._epochs:
            self._progress.update(self._task, visible=False)

    def _say_scores(self, place: str, result: "EpochResult | Evaluation") -> None:
        parts = [place, f"loss {loss_text(result.train_loss)}"]
        if result.scores is not None:
            values = result.scores.values.items()
            parts += [f"{metric_name(name)} {metric_text(name, value)}" for name, value in values]
        parts.append(f"{result.examples_per_second:.0f} examples/s")
        if result.is_best:
            parts.append("best")
        self._say("  ".join(parts))


def training_bars() -> Progress:
    """Makes the bars of training runs: none off a terminal, and nothing is left of them at the end."""
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
