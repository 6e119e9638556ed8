"""The temperature: one number that logits are divided by, so that probabilities become as sure as they may be.

It is the one that makes the true labels of validation rows most likely (Guo et al. 2017). The most probable label, and
which labels of multi-label lie above 0.5, stay what they were.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.evaluation.answers import sigmoid, softmax
from bertune.evaluation.arrays import FloatArray

LOWEST, HIGHEST = 0.05, 20.0
# Halvings of the interval on a logarithmic scale: 6 / 2^40 is far below what any data can tell.
_HALVINGS = 40


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Args:
        value: 1.0 where none could be fitted.
        why_none: a clause that says why none could be fitted; empty where one was.
    """

    value: float
    why_none: str = ""


def probabilities_at(logits: npt.NDArray[Any], temperature: float, *, multi_label: bool) -> FloatArray:
    """Returns probabilities, (rows, labels): softmax over the labels, or a sigmoid for each label of multi-label."""
    scaled = logits.astype(np.float64) / temperature
    return sigmoid(scaled) if multi_label else softmax(scaled)


def log_loss(logits: npt.NDArray[Any], targets: npt.NDArray[Any], temperature: float = 1.0) -> float:
    """Returns the mean negative log likelihood of the true labels, in nats.

    Args:
        logits: (rows, labels).
        targets: class ids, (rows,); for multi-label which labels each row has, (rows, labels): the mean is over both.
        temperature: what the logits are divided by.
    """
    scaled = logits.astype(np.float64) / temperature
    if targets.ndim == 2:
        return float(np.mean(np.logaddexp(0.0, scaled) - targets * scaled))
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(scaled).sum(axis=1))
    return float(np.mean(log_total - scaled[np.arange(len(targets)), targets]))


def fit_temperature(logits: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Temperature:
    """Finds the temperature with the lowest log loss, between 0.05 and 20.

    The loss is convex in 1 / temperature, so where its slope changes sign there is the one minimum. Where it does not
    within the bounds there is nothing to fit, and the temperature stays 1.

    Args:
        logits: (rows, labels).
        targets: class ids, (rows,), or for multi-label which labels each row has, (rows, labels).
    """
    logits = logits.astype(np.float64)
    if not len(targets) or (targets == targets[0]).all():
        return Temperature(1.0, "all rows have the same answer")
    if targets.ndim == 1:
        logits = logits - logits.max(axis=1, keepdims=True)
    if not logits.any():
        return Temperature(1.0, "the logits are all equal")
    if _slope(logits, targets, 1 / LOWEST) <= 0:
        return Temperature(1.0, "even the lowest, 0.05, leaves the answers less sure than they are right")
    if _slope(logits, targets, 1 / HIGHEST) >= 0:
        return Temperature(1.0, "the probabilities say nothing about the answers, so none is too high")
    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(logits, targets, float(np.exp(middle))) < 0 else (low, middle)
    return Temperature(float(np.exp(-(low + high) / 2)))


def halves(rows: int, *, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Splits rows at random and yields both halves as (to fit on, to measure on), then the other way round."""
    order = np.random.default_rng(seed).permutation(rows)
    first, second = np.sort(order[::2]), np.sort(order[1::2])
    yield first, second
    yield second, first


def _slope(logits: FloatArray, targets: npt.NDArray[Any], inverse: float) -> float:
    """The derivative of the mean log loss by 1 / temperature."""
    if targets.ndim == 2:
        expected = probabilities_at(logits, 1 / inverse, multi_label=True) * logits
        return float(np.mean(expected - targets * logits))
    expected = (probabilities_at(logits, 1 / inverse, multi_label=False) * logits).sum(axis=1)
    return float(np.mean(expected - logits[np.arange(len(targets)), targets]))
