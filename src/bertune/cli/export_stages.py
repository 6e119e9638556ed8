"""The stages of an export as the command line shows them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertune.cli.progress import RowsProgress
    from bertune.exports.proved_export import ExportProgress

_STAGES = {
    "predicting": "the model answers {rows:,} rows",
    "writing": "writing the export",
    "checking": "the export answers them in a fresh process",
    "quantized": "the export in int8 answers {rows:,} labelled rows",
}


class ExportStages:
    """A line and, on a terminal, a bar for each stage of an export."""

    def __init__(self, tell: Callable[[str], None], *, enabled: bool) -> None:
        self._tell = tell
        self._enabled = enabled
        self._stage = ""
        self._done = 0
        self._bars = ExitStack()
        self._bar: RowsProgress | None = None

    def __enter__(self) -> "ExportStages":
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def show(self, progress: "ExportProgress") -> None:
        """Begins a stage, or moves its bar."""
        from bertune.cli.progress import RowsProgress

        if progress.stage != self._stage:
            self._bars.close()
            self._stage, self._done = progress.stage, 0
            self._tell(_STAGES[progress.stage].format(rows=progress.total))
            bar = RowsProgress(progress.stage, progress.total, enabled=self._enabled and progress.total > 0)
            self._bar = self._bars.enter_context(bar)
        if self._bar is not None:
            self._bar.advance(progress.rows - self._done)
        self._done = progress.rows
