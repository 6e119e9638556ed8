"""Is a model better than its baseline, or was it the choice of the rows? Paired on the same rows.

The baseline's value is as uncertain as the model's, so that the model's interval alone does not tell: where both are
equal it excludes the baseline's value three times as often as it should. Here both answer the same rows:

- Shares of rows (accuracy, subset accuracy): McNemar's exact test of the rows that only one of the two answers right.
- Other metrics of classes and labels: the difference, with its standard error over the same drawn rows (`bootstrap`)
  and Student's t, with one degree of freedom less than there are rows that the model answers otherwise than the
  baseline. It must be shown with the pseudo-rows and without, as few rows favour one side or the other where a metric
  is a ratio. The rows answered otherwise must be 6 at least, as no exact test of fewer comes below 5 %.
- Pearson and Spearman: what always answers the same has 0 by definition, so the metric's own interval tells.
- Matthews: the same, and so many rows must be right, or wrong, as they hardly are where the answers are dealt to the
  rows at random (their variance: Hoeffding, 1951, "A combinatorial central limit theorem").

Where there are two constant answers, "better" means better than both, and "worse" worse than one of them at half the
level. So each is said in at most 2.5 % of the cases where there is no difference, or hardly more.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from bertune.evaluation.arrays import IntArray
from bertune.evaluation.intervals import PSEUDO_ROWS, Estimate, Interval, Z
from bertune.evaluation.significance import mcnemar

Side = Literal["better", "unclear", "worse"]

_LEVEL = 0.05
# 2 / 2^5 is above the level, 2 / 2^6 is not.
_FEWEST_DIFFERENT = 6


class PairedRows(NamedTuple):
    """Rows that only the model, or only a constant answer, has right; and all where the two differ."""

    only_model: int
    only_constant: int
    different: int


def by_rows(constants: Sequence[PairedRows]) -> Side:
    """Holds a share of rows against that of each constant answer, by McNemar's exact test."""
    signs = [each.only_model - each.only_constant for each in constants]
    p_values = [mcnemar(each.only_model, each.only_constant) for each in constants]
    if all(sign > 0 and p < _LEVEL for sign, p in zip(signs, p_values, strict=True)):
        return "better"
    worse = any(sign < 0 and p < _LEVEL / len(constants) for sign, p in zip(signs, p_values, strict=True))
    return "worse" if worse else "unclear"


def by_differences(
    differences: Sequence[float],
    estimates: Sequence[Estimate],
    constants: Sequence[PairedRows],
    *,
    rows: int,
    higher_is_better: bool,
) -> Side:
    """Holds a metric against that of each constant answer, by Student's t of the difference.

    Args:
        differences: model minus constant, as they are on the rows; in the order of the constants.
        estimates: the same with pseudo-rows, and their standard errors.
        constants: where model and constant differ.
        rows: how many there are.
        higher_is_better: of the metric.
    """
    sign = 1.0 if higher_is_better else -1.0
    # Pseudo-rows may differ less between the two than rows do, and narrow the error by as much as there are of them.
    widening = (rows + PSEUDO_ROWS) / rows
    better, worse = [], []
    for difference, estimate, pair in zip(differences, estimates, constants, strict=True):
        if pair.different < _FEWEST_DIFFERENT:
            return "unclear"
        gains, error = sorted((sign * difference, sign * estimate.middle)), widening * estimate.error
        better.append(gains[0] > error * _quantile(pair.different - 1, 1))
        worse.append(-gains[1] > error * _quantile(pair.different - 1, len(constants)))
    return "better" if all(better) else "worse" if any(worse) else "unclear"


def by_zero(interval: Interval, rows: int) -> Side:
    """Holds the correlation of so many rows, which has this interval, against 0."""
    low, high = interval
    if rows < _FEWEST_DIFFERENT:
        return "unclear"
    return "better" if low > 0 else "worse" if high < 0 else "unclear"


def by_agreement(confusion: IntArray, interval: Interval) -> Side:
    """Holds Matthews' correlation, which has this interval, against 0.

    Args:
        confusion: true by predicted class, (classes, classes).
        interval: of the correlation.
    """
    true, predicted = confusion.sum(axis=1).astype(np.float64), confusion.sum(axis=0).astype(np.float64)
    rows = true.sum()
    expected = true @ predicted / rows
    both = true * predicted
    squares = both.sum() - both @ (true + predicted) / rows + expected**2
    # Half a row less than there is, as rows are whole.
    surplus = abs(confusion.trace() - expected) - 0.5
    different = int(rows - predicted.max())
    return by_zero(interval, different) if surplus > Z * np.sqrt(squares / max(rows - 1, 1)) else "unclear"


def _quantile(degrees: int, tests: int) -> float:
    """Returns how many standard errors a difference must be away from 0, of one of several tests."""
    from scipy.special import stdtrit  # scoring is imported by much that needs none of it

    return float(stdtrit(degrees, 1 - _LEVEL / 2 / tests))
