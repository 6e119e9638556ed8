"""Is one model better than another, or was it luck? Tests on the same rows."""

from collections.abc import Sequence

import numpy as np


def mcnemar(first_only: int, second_only: int) -> float:
    """Returns the p-value of McNemar's exact test, two-sided.

    Rows that both models answer right, or both wrong, say nothing about which is better. If neither is, each of the
    other rows falls to either side like a fair coin: the p-value is how often such coins fall at least as one-sidedly.

    Args:
        first_only: rows that only the first model answers right.
        second_only: rows that only the second model answers right.
    """
    rows, fewer = first_only + second_only, min(first_only, second_only)
    if not rows:
        return 1.0
    # Logarithms of the binomial coefficients, each from the one before: they pass what a float can hold.
    steps = np.arange(1, fewer + 1)
    logarithms = np.concatenate(([0.0], np.cumsum(np.log((rows - steps + 1) / steps)))) - rows * np.log(2.0)
    return min(1.0, 2.0 * float(np.exp(logarithms).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for there being several (Holm 1979), in the order given.

    The more comparisons, the likelier that one of them looks good by luck. Calling those below 0.05 shown, the chance
    of calling any wrongly stays below 0.05.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = raised
    return [float(value) for value in corrected]


def two_sided(differences: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Returns a p-value from bootstrap samples of a difference: how often it falls on the rarer side of 0, twice.

    Samples without any difference count for both sides, and one is added to each, so that it is never 0.
    """
    values = np.asarray(differences)
    rarer = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return min(1.0, 2.0 * (rarer + 1) / (len(values) + 1))
