"""Runs an ONNX file, in a process that imports no torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from bertune.exports.padded_rows import ProofRows

_NAMES: Final = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> dict[str, str]:
    """Loads the file of a folder and writes its logits; the work of the fresh process.

    Args:
        folder: of the export.
        rows: file with the rows.
        out: file for the logits.
        on_rows: called with the number of rows done in each batch.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]
    answers = []
    for batch in ProofRows.read(rows).padded_batches():
        given = {name: batch[_NAMES[name]].astype(np.int64) for name in names}
        answers.append(session.run(["logits"], given)[0])
        on_rows(len(answers[-1]))
    np.save(out, np.concatenate(answers))
    return {"onnxruntime": onnxruntime.__version__}
