"""Runs an ONNX file, in a process that imports no torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bertune.runtime.exported_model import MODEL_FILE
from bertune.runtime.fresh_answers import told_by
from bertune.runtime.onnx_session import OnnxSession
from bertune.runtime.padded_rows import ProofRows
from bertune.system.json_file import JsonObject
from bertune.system.processors import threads_of_products


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Loads the file of a folder and writes its logits; the work of the fresh process.

    Args:
        folder: of the export.
        rows: file with the rows.
        out: file for the logits.
        on_rows: called with the number of rows done in each batch.
    """
    return answers_by(OnnxSession(Path(folder) / MODEL_FILE, threads=threads_of_products()), rows, out, on_rows)


def answers_by(session: OnnxSession, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Does what `answer_rows` does, with a session that is open."""
    asked, answers = ProofRows.read(rows), []
    for batch in asked.padded_batches():
        answers.append(session.run(batch["input_word_ids"], batch["input_mask"], batch["input_type_ids"]))
        on_rows(len(answers[-1]))
    np.save(out, np.concatenate(answers))
    return told_by({"onnxruntime": session.version}, session.logits, asked)
