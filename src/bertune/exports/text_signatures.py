"""The signatures of a SavedModel that takes strings: from texts to tokens, logits, names of labels and probabilities.

Like `tensorflow_program`, which alone imports it, this runs in a process of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from bertune.data.task_kind import TaskKind
from bertune.exports.program_description import TextDescription
from bertune.exports.word_piece_graph import WordPieceGraph
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.word_piece_tables import WordPieceTables

#: Takes what `serving_default` takes in a SavedModel without strings.
IDS: Final = "token_ids"
#: Takes strings and gives the arrays that `IDS` takes.
TOKENS: Final = "tokens"
_USUAL_THRESHOLD: Final = 0.5
# Batches of these sizes follow one another.
_BATCH_ROWS: Final = (1, 7, 32)


def text_signatures(serve_ids: Any, described: TextDescription) -> dict[str, Any]:
    """Builds the signatures.

    Args:
        serve_ids: the function of token ids.
        described: texts and answers.

    Returns:
        `serving_default` from strings to answers, `tokens` from strings to token ids, and `token_ids` from these to
        logits.
    """
    with np.load(described.tables, allow_pickle=False) as stored:
        tables = WordPieceTables(**stored)
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in described.names]

    def tokens(*texts: Any) -> dict[str, Any]:
        return WordPieceGraph(tables, described).rows(texts)

    to_tokens = tf.function(tokens, input_signature=specs, autograph=False)

    def serve(*texts: Any) -> dict[str, Any]:
        answered: dict[str, Any] = serve_ids(**to_tokens(*texts))
        return answered | _answers(answered["logits"], described)

    served = tf.function(serve, input_signature=specs, autograph=False)
    return {"serving_default": served, TOKENS: to_tokens, IDS: serve_ids}


def _answers(logits: Any, described: TextDescription) -> dict[str, Any]:
    """Adds what is answered, as `bertune.evaluation.answer_kinds` decides it, in float64 as there."""
    exact = tf.cast(logits, tf.float64)
    if described.kind is TaskKind.REGRESSION:
        low, high = described.target_range or (-np.inf, np.inf)
        return {"value": tf.cast(tf.clip_by_value(exact[:, 0], low, high), tf.float32)}
    labels = tf.constant(described.labels)
    names = {"labels": tf.tile(labels[tf.newaxis], [tf.shape(logits)[0], 1])}
    thresholds = tf.constant(described.thresholds or _USUAL_THRESHOLD, tf.float64)
    if described.kind is TaskKind.MULTI_LABEL:
        return {**names, "given": tf.sigmoid(exact) >= thresholds}
    shares = tf.nn.softmax(exact)
    decided = tf.cast(shares[:, 1] >= thresholds[0], tf.int64) if described.thresholds else tf.argmax(shares, axis=1)
    return {**names, "class_id": decided, "class": tf.gather(labels, decided)}


def answer_texts(signatures: Mapping[str, Any], rows: ProofRows, out: Path, on_rows: Callable[[int], None]) -> Any:
    """Gives the strings of a proof to a SavedModel, and writes its tokens and answers to a file.

    Args:
        signatures: of the SavedModel.
        rows: of the proof.
        out: file for the flat `token_ids`, the `lengths` and `first_lengths` of the rows, and for the answers under
            their names.
        on_rows: called with the number of rows done in each batch.

    Returns:
        Logits, (texts, outputs).
    """
    serve, tokens = signatures["serving_default"], signatures[TOKENS]
    names = list(serve.structured_input_signature[1])
    found: list[dict[str, Any]] = []
    for start, count in _batches(len(rows.strings[0])):
        texts = [[text.encode() for text in column[start : start + count]] for column in rows.strings]
        given = {name: tf.constant(column) for name, column in zip(sorted(names), texts, strict=True)}
        made = {name: array.numpy() for name, array in tokens(**given).items()}
        answers = {name: array.numpy() for name, array in serve(**given).items()}
        mask = made["input_mask"] == 1
        answers["token_ids"] = made["input_word_ids"][mask]
        answers["lengths"] = mask.sum(axis=1)
        answers["first_lengths"] = (mask & (made["input_type_ids"] == 0)).sum(axis=1)
        found.append(answers)
        on_rows(count)
    whole = {name: np.concatenate([answers[name] for answers in found]) for name in found[0]}
    # Strings are objects in TensorFlow's arrays; a file of arrays has none.
    plain = {name: array.astype(bytes) if array.dtype == object else array for name, array in whole.items()}
    with out.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **plain)
    return whole["logits"]


def _batches(rows: int) -> Iterator[tuple[int, int]]:
    start = number = 0
    while start < rows:
        count = min(_BATCH_ROWS[number % len(_BATCH_ROWS)], rows - start)
        yield start, count
        start, number = start + count, number + 1
