"""From logits to probabilities and answers, by the contract's temperature, thresholds and range: the one place for it.

Prediction, evaluation and exports all ask here, so that a model gives the same answer wherever it is used.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import Contract
from bertune.evaluation.answer_kinds import ANSWERS


def scaled(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns logits divided by the contract's temperature, float64."""
    return np.asarray(logits, dtype=np.float64) / contract.temperature


def probabilities(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns probabilities: softmax over the labels, or for multi-label the sigmoid of each; (rows, labels).

    Args:
        logits: (rows, labels), not yet divided by the temperature.
        contract: of the model; of a regression, which has values, there are no labels.
    """
    return ANSWERS[contract.kind].probabilities(scaled(logits, contract))


def decide(probabilities: NDArray[np.float64], contract: Contract) -> NDArray[np.int64]:
    """Returns what is answered.

    Args:
        probabilities: (rows, labels), as the function of this name gives them.
        contract: of the model; no regression.

    Returns:
        (rows,) ids of the labels; for multi-label (rows, labels), 1 where a label is given.
    """
    return ANSWERS[contract.kind].decide(probabilities, contract.thresholds)


def values(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns the values of a regression, (rows,); those beyond the contract's range become its nearest end."""
    low, high = contract.target_range or (-np.inf, np.inf)
    return np.clip(np.asarray(logits, dtype=np.float64)[:, 0], low, high)


def decisions(logits: NDArray[Any], contract: Contract) -> NDArray[Any]:
    """Returns what is answered, whatever the kind of task: ids of labels, rows of 0 and 1, or values.

    Args:
        logits: (rows, outputs), as the model gives them.
        contract: of the model.
    """
    if not contract.kind.has_labels:
        return values(logits, contract)
    return decide(probabilities(logits, contract), contract)


def targets_of(kept: Sequence[Any], contract: Contract) -> NDArray[Any]:
    """Returns targets in the form of `decisions`, from what a run keeps of them: a label, the labels, or a number.

    Raises:
        KeyError, TypeError, ValueError: one that the model does not have.
    """
    return ANSWERS[contract.kind].targets(kept, contract.labels)


def kept_of(decision: Any, contract: Contract) -> str | tuple[str, ...] | float:
    """Returns one row's answer or target as a run keeps it: a label, the labels, or a number."""
    return ANSWERS[contract.kind].kept(decision, contract.labels)


def words_of(decision: Any, contract: Contract) -> str:
    """Returns one row's answer or target as people read it."""
    return ANSWERS[contract.kind].words(decision, contract.labels)
