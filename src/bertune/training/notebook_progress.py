"""Live progress of a training run below the cell of a notebook."""

import sys
import time
from typing import Any

from bertune.training.callback import Callback
from bertune.training.history import Evaluation, evaluation_rows
from bertune.training.pace import Pace
from bertune.training.step import StepResult
from bertune.wording.counts import counted
from bertune.wording.markup import table

_SECONDS_BETWEEN_UPDATES = 0.5


def in_notebook() -> bool:
    """Whether this program runs in a kernel, whose output is shown as HTML below a cell."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class NotebookProgress(Callback):
    """Shows a line that follows the steps, and a row for each evaluation; a `Callback` of `fit`.

    It needs no widgets: the same output is shown again. What is left in the end is the table of the evaluations.
    """

    def __init__(self) -> None:
        self._shown: Any = None
        self._evaluations: list[Evaluation] = []
        self._length = ""
        self._pace = Pace(0)
        self._last_update = 0.0

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Says how long the run will be."""
        from IPython.display import display

        epochs = counted(total_steps // steps_per_epoch, "epoch")
        self._length = f"{counted(total_steps, 'step')} ({epochs} of {steps_per_epoch:,}) in {precision}"
        self._pace = Pace(total_steps)
        self._shown = display(self._content(f"training {self._length}"), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def on_step(self, result: StepResult) -> None:
        """Moves the line, twice a second at most."""
        self._pace.add(result)
        now = time.perf_counter()
        if now - self._last_update >= _SECONDS_BETWEEN_UPDATES:
            self._last_update = now
            self._shown.update(self._content(self._pace.line()), raw=True)

    def on_evaluation(self, result: Evaluation) -> None:
        """Adds a row."""
        self._evaluations.append(result)
        self._shown.update(self._content(self._length), raw=True)

    def _content(self, line: str) -> dict[str, str]:
        rows = evaluation_rows(self._evaluations)
        plain = [line, *("  ".join(filter(None, row)) for row in rows[1:])]
        return {"text/html": table(rows, caption=line), "text/plain": "\n".join(plain)}
