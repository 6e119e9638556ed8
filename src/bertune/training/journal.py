"""`metrics.jsonl`: every step, evaluation and epoch, one JSON object a line, flushed as it happens.

Epochs are counted from 1, as everywhere a user sees them; steps from 0, as the schedule counts them. An evaluation says
how many steps and epochs are behind it. It has a line of its own where there may be some within epochs; otherwise the
epoch's line says all of it.
"""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from bertune.errors import CheckpointError
from bertune.system.atomic import errors_naming
from bertune.system.json_file import JsonObject
from bertune.training.callback import Callback
from bertune.training.history import EpochResult, Evaluation
from bertune.training.step import SkippedStep, StepResult

TIMES: Final = frozenset({"seconds", "train_seconds", "examples_per_second"})
"""Entries of its lines that no two runs have in common."""


@dataclass(frozen=True)
class JournalMark:
    """A place in a journal: what stands before it belongs to a checkpoint.

    Args:
        bytes: before it.
        sha256: of them.
        seconds: since the run began, pauses left out.
    """

    bytes: int
    sha256: str
    seconds: float


class Journal(Callback):
    """Writes what a run does, as it does it; a `Callback` of `fit`.

    Args:
        path: the file; an existing one is continued.
        after: where a run that goes on had got to: what follows is cut off, and its start stands there already.
        tells_evaluations: whether each has a line of its own.

    Raises:
        CheckpointError: the file has not what stood before that place.
    """

    def __init__(self, path: Path, *, after: JournalMark | None = None, tells_evaluations: bool = False) -> None:
        self._path = path
        self._tells_evaluations = tells_evaluations
        self._digest = hashlib.sha256()
        self._size = 0
        self._is_started = after is not None
        if after is not None:
            self._cut(after)
        self._stream: BinaryIO = path.open("ab")
        self._started = time.perf_counter() - (0.0 if after is None else after.seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with errors_naming(self._path):
            try:
                os.fsync(self._stream.fileno())
            finally:
                self._stream.close()

    def _cut(self, after: JournalMark) -> None:
        kept = read_bytes_before(self._path, after.bytes)
        self._digest.update(kept)
        self._size = len(kept)
        if self._digest.hexdigest() != after.sha256:
            raise CheckpointError(f"{self._path}: was changed since the checkpoint", hint="bring it back from a copy")
        os.truncate(self._path, after.bytes)

    def mark(self) -> JournalMark:
        """Returns where the journal has got to, with all before it on disk."""
        with errors_naming(self._path):
            os.fsync(self._stream.fileno())
        return JournalMark(self._size, self._digest.hexdigest(), round(time.perf_counter() - self._started, 3))

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Writes the size of the run, once."""
        if not self._is_started:
            values = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "precision": precision}
            self.write("start", values)

    def on_step(self, result: StepResult) -> None:
        """Writes one optimizer step."""
        self.write("step", asdict(result))

    def on_skipped_step(self, skipped: SkippedStep) -> None:
        """Writes a step that was not applied, with the rows of its batch."""
        self.write("skipped_step", asdict(skipped))

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        """Writes that memory was at its end."""
        self.write("smaller_parts", {"step": step, "micro_batch_size": micro_batch_size})

    def on_evaluation(self, result: Evaluation) -> None:
        """Writes one evaluation with its scores, where they have lines of their own."""
        if self._tells_evaluations:
            self.write("evaluation", {"step": result.step, **_values_of(result)})

    def on_epoch(self, result: EpochResult) -> None:
        """Writes one epoch with its scores."""
        self.write("epoch", _values_of(result))

    def write(self, event: str, values: JsonObject) -> None:
        """Writes one line: the event, the seconds since the run began, the values."""
        record = {"event": event, "seconds": round(time.perf_counter() - self._started, 3), **values}
        line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with errors_naming(self._path):
            self._stream.write(line)
            self._stream.flush()
        self._digest.update(line)
        self._size += len(line)


def _values_of(result: EpochResult | Evaluation) -> JsonObject:
    return {
        "epoch": result.epoch,
        "train_loss": result.train_loss,
        "train_seconds": result.train_seconds,
        "examples_per_second": result.examples_per_second,
        "is_best": result.is_best,
        "validation": None if result.scores is None else result.scores.to_dict(),
    }


def read_bytes_before(path: Path, end: int) -> bytes:
    """Returns the beginning of a file, less where it is shorter; nothing of one that is not there."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(end)
