"""From logits to probabilities and answers, by the contract's temperature, thresholds and range: the one place for it.

Prediction, evaluation and exports all ask here, so that a model gives the same answer wherever it is used.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract

_USUAL_THRESHOLD = 0.5


def scaled(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns logits divided by the contract's temperature, float64."""
    return np.asarray(logits, dtype=np.float64) / contract.temperature


def probabilities(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns probabilities: softmax over the labels, or for multi-label the sigmoid of each; (rows, labels).

    Args:
        logits: (rows, labels), not yet divided by the temperature.
        contract: of the model; no regression, which has values.
    """
    by_kind = {"classification": softmax, "multi-label": sigmoid}
    return by_kind[contract.kind](scaled(logits, contract))


def decide(probabilities: NDArray[np.float64], contract: Contract) -> NDArray[np.int64]:
    """Returns what is answered.

    Args:
        probabilities: (rows, labels), as the function of this name gives them.
        contract: of the model; no regression.

    Returns:
        (rows,) ids of the labels; for multi-label (rows, labels), 1 where a label is given.
    """
    thresholds = np.array(contract.thresholds)
    if contract.kind == "multi-label":
        given: NDArray[np.bool_] = probabilities >= (thresholds if len(thresholds) else _USUAL_THRESHOLD)
        return given.astype(np.int64)
    if len(thresholds):
        return np.where(probabilities[:, 1] >= thresholds[0], 1, 0)
    best: NDArray[np.int64] = probabilities.argmax(axis=1)
    return best


def values(logits: NDArray[Any], contract: Contract) -> NDArray[np.float64]:
    """Returns the values of a regression, (rows,); those beyond the contract's range become its nearest end."""
    low, high = contract.target_range or (-np.inf, np.inf)
    return np.clip(np.asarray(logits, dtype=np.float64)[:, 0], low, high)


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Returns softmax along the last axis, float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    exponentials = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the logistic function of each number, float64, without overflow."""
    numbers = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(numbers))
    shares: NDArray[np.float64] = np.where(numbers >= 0, 1.0, small) / (1.0 + small)
    return shares
