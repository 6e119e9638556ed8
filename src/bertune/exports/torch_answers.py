"""Answers of a format that torch reads, in the fresh process of a proof."""

from collections.abc import Callable

import numpy as np

from bertune.evaluation.logits import computing_logits
from bertune.models.classifier import Classifier
from bertune.runtime.fresh_answers import told_by
from bertune.runtime.padded_rows import ProofRows
from bertune.system.json_file import JsonObject


def write_answers(classifier: Classifier, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Writes the logits of a classifier that was read from an export.

    Args:
        classifier: of the export.
        rows: file with the rows.
        out: file for the logits.
        on_rows: called with the number of rows done in each batch.

    Returns:
        What the fresh process tells, see `answers_of`.
    """
    asked = ProofRows.read(rows)
    with computing_logits(classifier, tokens=len(asked.encoded.token_ids)) as compute:
        np.save(out, compute(asked.encoded, on_batch=on_rows))
        return told_by({}, compute, asked)
