"""From logits to probabilities and answers, by the signature's temperature, thresholds and range: the one place for it.

Prediction, evaluation and exports all ask here, so that a model gives the same answer wherever it is used.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answer_kinds import ANSWERS


def scaled(logits: NDArray[Any], signature: ModelSignature) -> NDArray[np.float64]:
    """Returns logits divided by the signature's temperature, float64."""
    return np.asarray(logits, dtype=np.float64) / signature.temperature


def probabilities(logits: NDArray[Any], signature: ModelSignature) -> NDArray[np.float64]:
    """Returns probabilities: softmax over the labels, or for multi-label the sigmoid of each; (rows, labels).

    Args:
        logits: (rows, labels), not yet divided by the temperature.
        signature: of the model; of a regression, which has values, there are no labels.
    """
    return ANSWERS[signature.kind].probabilities(scaled(logits, signature))


def decide(probabilities: NDArray[np.float64], signature: ModelSignature) -> NDArray[np.int64]:
    """Returns what is answered.

    Args:
        probabilities: (rows, labels), as the function of this name gives them.
        signature: of the model; no regression.

    Returns:
        (rows,) ids of the labels; for multi-label (rows, labels), 1 where a label is given.
    """
    return ANSWERS[signature.kind].decide(probabilities, signature.thresholds)


def values(logits: NDArray[Any], signature: ModelSignature) -> NDArray[np.float64]:
    """Returns the values of a regression, (rows,); those beyond the signature's range become its nearest end."""
    low, high = signature.target_range or (-np.inf, np.inf)
    return np.clip(np.asarray(logits, dtype=np.float64)[:, 0], low, high)


def decisions(logits: NDArray[Any], signature: ModelSignature) -> NDArray[Any]:
    """Returns what is answered, whatever the kind of task: ids of labels, rows of 0 and 1, or values.

    Args:
        logits: (rows, outputs), as the model gives them.
        signature: of the model.
    """
    if not signature.kind.has_labels:
        return values(logits, signature)
    return decide(probabilities(logits, signature), signature)


def targets_of(kept: Sequence[Any], signature: ModelSignature) -> NDArray[Any]:
    """Returns targets in the form of `decisions`, from what a run keeps of them: a label, the labels, or a number.

    Raises:
        KeyError, TypeError, ValueError: one that the model does not have.
    """
    return ANSWERS[signature.kind].targets(kept, signature.labels)


def kept_of(decision: Any, signature: ModelSignature) -> str | tuple[str, ...] | float:
    """Returns one row's answer or target as a run keeps it: a label, the labels, or a number."""
    return ANSWERS[signature.kind].kept(decision, signature.labels)


def words_of(decision: Any, signature: ModelSignature) -> str:
    """Returns one row's answer or target as people read it."""
    return ANSWERS[signature.kind].words(decision, signature.labels)
