"""Predictions of an export, computed in a fresh process and passed in files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.runtime.export_speed import ExportSpeed, measured
from bertune.runtime.padded_rows import ProofRows
from bertune.system.fresh_process import call_in_fresh_process
from bertune.system.hinted_values import from_json
from bertune.system.json_file import JsonObject
from bertune.system.processors import threads_of_products
from bertune.tokenization.encoded_examples import EncodedExamples

#: Where the logits are, among the files in between.
LOGITS_FILE = "logits.npy"
# By which torch and TensorFlow learn it; ONNX Runtime is told.
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(frozen=True)
class Answers:
    """Predictions of an export in a fresh process.

    Args:
        logits: (rows, outputs), fp32, in the order of the rows.
        versions: of the packages that computed them.
        speed: in that process; the size is not known there.
    """

    logits: NDArray[Any]
    versions: Mapping[str, str]
    speed: ExportSpeed

    def of_size(self, size: int) -> ExportSpeed:
        """Returns the speed with the size of the export's files in bytes."""
        return replace(self.speed, bytes=size)


def answers_of(
    module: str,
    rows: ProofRows,
    folder: Path,
    between: Path,
    on_rows: Callable[[int], None],
    *,
    environment: Mapping[str, str] | None = None,
) -> Answers:
    """Lets an export answer the rows of a proof in a fresh process, and measures there how fast it is.

    Args:
        module: with a function `answer_rows` that takes `folder`, `rows` and `out` as paths, and `on_rows`; it writes
            logits, (rows, outputs), to `out` and returns what `told_by` makes.
        rows: of the proof.
        folder: of the export.
        between: for the files.
        on_rows: called with the number of rows done in each batch.
        environment: variables that differ from this process's.

    Raises:
        BertuneError: the process failed.
    """
    rows.save(between / "rows.npz")
    arguments = {"folder": str(folder), "rows": str(between / "rows.npz"), "out": str(between / LOGITS_FILE)}
    given = {name: str(threads_of_products()) for name in _THREADS} | dict(environment or {})
    told = call_in_fresh_process(f"{module}:answer_rows", arguments, on_rows=on_rows, environment=given)
    return Answers(np.load(between / LOGITS_FILE), told["versions"], from_json(ExportSpeed, told["speed"]))


def told_by(versions: Mapping[str, str], answer: Callable[[EncodedExamples], object], rows: ProofRows) -> JsonObject:
    """Returns what a fresh process tells beside the logits it wrote, after having measured itself.

    Args:
        versions: of the packages that computed.
        answer: computes the logits of sequences.
        rows: that were answered.
    """
    speed = measured(answer, rows, threads=threads_of_products())
    return {"versions": dict(versions), "speed": speed.to_dict()}
