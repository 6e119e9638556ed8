"""How fast a run goes, for whatever shows its progress."""

import time
from typing import TYPE_CHECKING, Final

from bertune.wording.metric_text import loss_text

# It imports torch, which whoever shows other progress need not wait for.
if TYPE_CHECKING:
    from bertune.training.step import StepResult

# The loss that is shown follows the steps slowly enough to be read.
_SMOOTHING: Final = 0.9


class Pace:
    """How fast a run goes and where its loss is, from its steps.

    Args:
        total_steps: of the run.
    """

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps
        self._steps = self._examples = self._first = 0
        self._started = time.perf_counter()
        self.loss: float | None = None

    def add(self, result: "StepResult") -> None:
        """Takes a step."""
        self.loss = result.loss if self.loss is None else _SMOOTHING * self.loss + (1 - _SMOOTHING) * result.loss
        if not self._examples:  # of a run that goes on it is not 0
            self._first = result.step
        self._examples += result.examples
        self._steps = result.step + 1

    def state(self) -> str:
        """Says examples a second and the loss, smoothed over some steps."""
        rate = self._examples / max(time.perf_counter() - self._started, 1e-9)
        return f"{rate:.0f} examples/s  loss {'' if self.loss is None else loss_text(self.loss)}"

    def line(self) -> str:
        """Says all in one line: step, loss, examples a second and the seconds that are left."""
        passed = max(time.perf_counter() - self._started, 1e-9)
        left = passed / max(self._steps - self._first, 1) * (self._total - self._steps)
        loss = "" if self.loss is None else f"  loss {loss_text(self.loss)}"
        return f"step {self._steps}/{self._total}{loss}  {self._examples / passed:.0f} examples/s  {left:.0f} s left"
