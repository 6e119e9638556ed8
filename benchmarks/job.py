"""What a worker process is told, and what it answers: files in a folder. Needs numpy alone.

`job.json` holds a `Job`, `order.npy` the order of the examples where one is given; `answer.json` and `logits.npz` are
the answer.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Rows, read_rows


@dataclass(frozen=True)
class Job:
    """One training run.

    Args:
        model: the folder of the first weights; without a head's, the worker draws them from the seed.
        tables: the CSV file of each split.
        text_columns: one, or two for pairs.
        target_column: of the label or value.
        labels: in the order of the outputs; None for values.
        seed: of what the worker draws.
        max_length: tokens of an example at most.
        settings: of the training, by the worker's own names.
        budget_seconds: for the worker of the Trainer: how long it may train; None trains as the settings say.
        clock: that times the budget.
    """

    model: str
    tables: dict[str, str]
    text_columns: list[str]
    target_column: str
    labels: list[str] | None
    seed: int
    max_length: int = 128
    settings: dict[str, Any] = field(default_factory=dict)
    budget_seconds: float | None = None
    clock: Literal["wall", "processor"] = "wall"

    def rows(self, split: str) -> Rows:
        return read_rows(Path(self.tables[split]), self.text_columns, self.target_column, self.labels)


def write_job(folder: Path, job: Job, order: NDArray[np.int64] | None = None) -> None:
    """Writes a job, with the (epochs, examples) order of the training examples if there is one."""
    (folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    if order is not None:
        np.save(folder / "order.npy", order)


def read_job(folder: Path) -> tuple[Job, NDArray[np.int64] | None]:
    order = folder / "order.npy"
    job = Job(**json.loads((folder / "job.json").read_text("utf-8")))
    return job, np.load(order) if order.is_file() else None


def write_answer(folder: Path, answer: Mapping[str, Any], logits: Mapping[str, NDArray[np.float32]]) -> None:
    np.savez(folder / "logits.npz", **dict(logits))  # type: ignore[arg-type]
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def read_answer(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    with np.load(folder / "logits.npz") as arrays:
        logits = {name: arrays[name] for name in arrays.files}
    return json.loads((folder / "answer.json").read_text("utf-8")), logits


def checksum(token_ids: NDArray[Any]) -> int:
    """Returns one number for the token ids of all examples, one after another: tokenizers that agree give the same."""
    return zlib.crc32(token_ids.astype(np.int32).tobytes())
