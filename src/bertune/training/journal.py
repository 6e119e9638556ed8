"""`metrics.jsonl`: every step and every epoch, one JSON object a line, flushed as it happens.

Epochs are counted from 1, as everywhere a user sees them; steps from 0, as the schedule counts them.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from bertune.system.atomic import errors_naming
from bertune.system.json_file import JsonObject
from bertune.training.callback import Callback
from bertune.training.history import EpochResult
from bertune.training.step import StepResult


class Journal(Callback):
    """Writes what a run does, as it does it; a `Callback` of `fit`.

    Args:
        path: the file; an existing one is continued.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: TextIO = path.open("a", encoding="utf-8")
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with errors_naming(self._path):
            self._stream.close()

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Writes the size of the run."""
        self.write("start", {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "precision": precision})

    def on_step(self, result: StepResult) -> None:
        """Writes one optimizer step."""
        self.write("step", asdict(result))

    def on_epoch(self, result: EpochResult) -> None:
        """Writes one epoch with its scores."""
        values = {
            "epoch": result.epoch,
            "train_loss": result.train_loss,
            "train_seconds": result.train_seconds,
            "examples_per_second": result.examples_per_second,
            "is_best": result.is_best,
            "validation": None if result.scores is None else result.scores.to_dict(),
        }
        self.write("epoch", values)

    def write(self, event: str, values: JsonObject) -> None:
        """Writes one line: the event, the seconds since the run began, the values."""
        record = {"event": event, "seconds": round(time.perf_counter() - self._started, 3), **values}
        with errors_naming(self._path):
            self._stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            self._stream.flush()
