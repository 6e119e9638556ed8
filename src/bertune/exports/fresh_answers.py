"""Predictions of an export, computed in a fresh process and passed in files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bertune.exports.formats import Answers
from bertune.exports.fresh_process import call_in_fresh_process
from bertune.exports.padded_rows import ProofRows

#: Where the logits are, among the files in between.
LOGITS_FILE = "logits.npy"


def answers_of(
    module: str,
    rows: ProofRows,
    folder: Path,
    between: Path,
    on_rows: Callable[[int], None],
    *,
    environment: Mapping[str, str] | None = None,
) -> Answers:
    """Lets an export answer the rows of a proof in a fresh process.

    Args:
        module: with a function `answer_rows` that takes `folder`, `rows` and `out` as paths, and `on_rows`; it writes
            logits, (rows, outputs), to `out` and returns the versions of the packages that computed them.
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
    versions = call_in_fresh_process(f"{module}:answer_rows", arguments, on_rows=on_rows, environment=environment)
    return Answers(np.load(between / LOGITS_FILE), versions)
