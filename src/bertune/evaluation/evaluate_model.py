"""Scores of a fine-tuned model on labelled examples."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import decisions, scaled
from bertune.evaluation.given_texts import labelled_rows_of
from bertune.evaluation.given_types import GivenLabelled
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.predict_texts import predict
from bertune.evaluation.predictions import Predictions, baseline_of
from bertune.evaluation.scores import Scores, Scoring, score
from bertune.nn.precision import Precision


def evaluate(
    model: LoadedModel,
    examples: GivenLabelled | LabelledRows,
    *,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    label: str | int | None = None,
    precision: Precision = "fp32",
    on_batch: Callable[[int], None] | None = None,
) -> tuple[Scores, Predictions]:
    """Scores a model; nothing is trained or chosen.

    Args:
        model: from `load`.
        examples: labelled, and labels must be among the model's: a pair of texts and labels, a table in memory with a
            column of labels, `Examples`, or re-encoded examples. The texts are given as to `predict`; a label is a word
            or a number, or for a multi-label model a list of words.
        text_a: the table's column of the (first) texts; None takes the one of that name in training.
        text_b: the table's column of the second texts, for a pair model; None as above.
        label: the table's column of labels or targets; None as above.
        precision: see `predict`.
        on_batch: called with the number of examples done in each batch.

    Returns:
        The scores, and the answers in the order of the examples.

    Raises:
        ConfigError: single texts for a pair model, or pairs for a single-text model; a column that the table does not
            have; or examples that were encoded for another model.
        DataError: a label that is missing or that the model does not have; names file and line, or row.

    Example:
        >>> model = bertune.load("runs/questions/model")
        >>> pairs = [("Where is my parcel?", "When will my order arrive?"), ("Can I pay by card?", "Where are you?")]
        >>> scores, predictions = bertune.evaluate(model, (pairs, ["duplicate", "different"]))
        >>> scores.rows, len(predictions), list(scores.values)
        (2, 2, ['accuracy'])
    """
    rows = labelled_rows_of(model.signature, examples, text_a=text_a, text_b=text_b, label=label)
    targets = rows.targets_for(model.signature)
    predictions = predict(model, rows, precision=precision, on_batch=on_batch)
    return score_logits(predictions.logits, targets, model.signature), predictions


def score_logits(logits: NDArray[Any], targets: NDArray[Any], signature: ModelSignature) -> Scores:
    """Scores the answers of a model, by its temperature, thresholds and range.

    Args:
        logits: (rows, labels), as the model gives them.
        targets: of the same rows, as `LabelledRows.targets_for` gives them.
        signature: of the model.
    """
    decided = decisions(logits, signature)
    return score(
        scaled(logits, signature) if signature.kind.has_labels else decided,
        targets,
        Scoring(signature.kind, signature.metrics, signature.labels or None),
        train_targets=baseline_of(signature),
        decisions=decided if signature.kind.has_labels else None,
    )
