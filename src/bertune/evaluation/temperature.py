"""The temperature: one number that logits are divided by, so that probabilities become as sure as they may be.

It is the one that makes the true labels of validation rows most likely (Guo et al. 2017), with one pseudo-row added to
them. The most probable label, and which labels of multi-label lie above 0.5, stay what they were.

The pseudo-row is what makes an optimum exist. Where every row is right the likelihood alone asks for a temperature of
0: probabilities of exactly 1, from a few rows without an error. So the rows are fitted as if there were one more that
is like all of them, and half wrong: each row counts 1 with its label, and 1 / rows of which one half has its label and
the other half, in equal parts, all others. Where all rows are right and alike that gives (rows + 1/2) / (rows + 1), the
estimate of Krichevsky and Trofimov (1981). Scaled logits give the same probabilities, whatever their scale.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.evaluation.answer_kinds import sigmoid, softmax
from bertune.evaluation.arrays import FloatArray

# Where logits say nothing about the labels, or the opposite, the best temperature is infinite. They are then divided
# until this is the root of their mean square: probabilities within about 1 % of equal, the largest still the same.
NEARLY_EQUAL = 0.01
# Of the temperature; far below what any data can tell.
_PRECISION = 1e-9


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Args:
        value: 1.0 where none could be fitted.
        why_none: a clause that says why none could be fitted; empty where one was.
        is_softest: whether the logits say nothing about the labels, so that it makes probabilities nearly equal.
    """

    value: float
    why_none: str = ""
    is_softest: bool = False


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
    """Finds the temperature with the lowest log loss over the rows and one pseudo-row.

    The loss is convex in 1 / temperature, so where its slope changes sign there is the one minimum. It has one at a
    temperature above 0 because of the pseudo-row, and at a finite one unless the logits say nothing about the labels.

    Args:
        logits: (rows, labels).
        targets: class ids, (rows,), or for multi-label which labels each row has, (rows, labels).
    """
    logits = logits.astype(np.float64)
    if not len(targets) or (targets == targets[0]).all():
        return Temperature(1.0, "all rows have the same answer")
    if targets.ndim == 1:
        # Softmax knows differences alone; so scaled, the slope has no large numbers to cancel.
        logits = logits - logits.mean(axis=1, keepdims=True)
    size = float(np.sqrt(np.mean(logits**2)))
    if not size:
        return Temperature(1.0, "the logits are all equal")
    multi_label = targets.ndim == 2
    aim = float(np.sum(_with_pseudo_row(targets, logits.shape[1]) * logits))

    def slope(inverse: float) -> float:
        """The derivative of the loss by 1 / temperature."""
        return float(np.sum(probabilities_at(logits, 1 / inverse, multi_label=multi_label) * logits)) - aim

    softest = NEARLY_EQUAL / size
    if slope(softest) >= 0:
        return Temperature(1 / softest, is_softest=True)
    return Temperature(1 / _root(slope, softest))


def _root(rising: Callable[[float], float], start: float) -> float:
    """Finds where a rising function, negative at `start` > 0, is 0: by the Illinois variant of regula falsi.

    Each value of it is a pass over all rows: about 15 of them, where halving the interval takes 40.
    """
    low, low_value = start, rising(start)
    high, high_value = start, low_value
    while high_value < 0:
        low, low_value = high, high_value
        high *= 8
        high_value = rising(high)
    place, was_below, before = high, False, math.inf
    while high_value > 0 and abs(place - before) > _PRECISION * place:
        before = place
        place = (low * high_value - high * low_value) / (high_value - low_value)
        value = rising(place)
        is_below = value < 0
        # An end that stays twice would stay for ever: its value is halved, which moves the next place towards it.
        if is_below:
            high_value = high_value / 2 if was_below else high_value
            low, low_value = place, value
        else:
            low_value = low_value / 2 if not was_below else low_value
            high, high_value = place, value
        was_below = is_below
    return place


def halves(rows: int, *, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Splits rows at random and yields both halves as (to fit on, to measure on), then the other way round."""
    order = np.random.default_rng(seed).permutation(rows)
    first, second = np.sort(order[::2]), np.sort(order[1::2])
    yield first, second
    yield second, first


def _with_pseudo_row(targets: npt.NDArray[Any], labels: int) -> FloatArray:
    """Returns how much of each label is wanted of each row, (rows, labels), with each row's part of the pseudo-row."""
    rows = len(targets)
    if targets.ndim == 2:
        return (targets + 0.5 / rows) / (1 + 1 / rows)
    wanted = np.full((rows, labels), 0.5 / (rows * (labels - 1)))
    wanted[np.arange(rows), targets] = 1 + 0.5 / rows
    return wanted / (1 + 1 / rows)
