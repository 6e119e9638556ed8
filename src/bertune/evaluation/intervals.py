"""95 % intervals that always have a width, by closed forms; what has none is drawn by the bootstrap.

- Shares of rows (accuracy, subset accuracy): Agresti and Coull, 1998, "Approximate is better than exact", the American
  Statistician 52: as if z² = 3.84 rows more were there, half of them right, half wrong. Its midpoint is Wilson's, and
  it contains Wilson's interval. Computed over the binomial distribution, at true shares from 0.85 to 0.99 it covers
  94.1 % or more with 20, 50, 100 and 408 rows; Wilson's falls to 89.5 %. It covers more than 99 % with 20 or 50 rows
  alone, where there are few values that a share can have (20 rows, 0.98: 99.3 %).
- Metrics that are no share of rows: the same pseudo-rows, with the standard error of bootstrap samples (`bootstrap`).
- Correlations: Fisher's z, with the larger of its own standard error (Spearman: Bonett and Wright, 2000) and that of
  bootstrap samples, which sees values that are not normal.
"""

import math
from typing import NamedTuple

Interval = tuple[float, float]

Z = 1.959964  # 97.5 % of the normal distribution lie below it
PSEUDO_ROWS = Z**2
# Beyond it a correlation is perfect but for rounding.
PERFECT = 1.0 - 1e-7
_FEWEST_ROWS_FOR_FISHER = 4


class Estimate(NamedTuple):
    """A number and its standard error."""

    middle: float
    error: float

    def interval(self, z: float = Z) -> Interval:
        """Returns both ends, `z` standard errors from the middle."""
        return self.middle - z * self.error, self.middle + z * self.error


def share_interval(share: float, rows: int) -> Interval:
    """Returns the Agresti-Coull interval of a share, within 0 to 1.

    Args:
        share: of the rows, 0 to 1.
        rows: how many, at least one.
    """
    counted = rows + PSEUDO_ROWS
    middle = (share * rows + PSEUDO_ROWS / 2) / counted
    return possible(Estimate(middle, math.sqrt(middle * (1 - middle) / counted)).interval(), share, (0.0, 1.0))


def correlation_interval(correlation: float, rows: int, error: float, *, of_ranks: bool) -> Interval:
    """Returns the interval of a correlation by Fisher's z, within -1 to 1; of fewer than 4 rows it is all of that.

    Where the correlation is perfect, its near end is what it would be with 3.84 rows more that are not correlated.

    Args:
        correlation: -1 to 1.
        rows: how many.
        error: standard error of the correlation's inverse hyperbolic tangent in bootstrap samples.
        of_ranks: Spearman's, which varies more than Pearson's.
    """
    if rows < _FEWEST_ROWS_FOR_FISHER:
        return -1.0, 1.0
    known = math.sqrt((1 + correlation**2 / 2 if of_ranks else 1.0) / (rows - 3))
    middle = math.atanh(min(max(correlation, -PERFECT), PERFECT))
    low, high = (math.tanh(end) for end in Estimate(middle, max(error, known)).interval())
    if abs(correlation) >= PERFECT:
        less = correlation * rows / (rows + PSEUDO_ROWS)
        low, high = min(low, less), max(high, less)
    return possible((low, high), correlation, (-1.0, 1.0))


def possible(interval: Interval, value: float, ends: Interval) -> Interval:
    """Returns an interval cut to the values there can be, with the value in it; all of them if it has no width."""
    low, high = max(min(interval[0], value), ends[0]), min(max(interval[1], value), ends[1])
    return (low, high) if low < high else ends
