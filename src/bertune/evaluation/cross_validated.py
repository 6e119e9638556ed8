"""95 % intervals of scores over out-of-fold rows, which are wider than those of rows that no model was trained on.

Each row is answered by a model that did not learn from it, but the models share most of their training rows, so their
errors are correlated, and the training rows themselves are a sample. The interval over rows knows nothing of either and
is too narrow (Bates, Hastie and Tibshirani, 2021, "Cross-validation: what does it estimate and how well does it do
it?"). There is no unbiased estimate of what is missing (Bengio and Grandvalet, 2004). Nadeau and Bengio, 2003,
"Inference for the generalization error", take the correlation of two folds' scores to be the share of the rows that
are tested: the variance of the mean of K folds is then 1/K + 1/(K - 1) of a fold's variance, in place of 1/K, so that
the interval is as many times as wide as the square root of 1 + K / (K - 1): 1.5 times with 5 folds.
"""

import math
from dataclasses import replace
from typing import Final

from bertune.evaluation.intervals import possible
from bertune.evaluation.score_parts import Method, MetricScore
from bertune.evaluation.scores import Scores
from bertune.wording.metric_text import is_percentage

_CORRELATED: Final[dict[Method | None, Method]] = {
    "Agresti-Coull": "Agresti-Coull, widened for folds",
    "bootstrap with pseudo-rows": "bootstrap with pseudo-rows, widened for folds",
    "Fisher's z": "Fisher's z, widened for folds",
}


def widening(folds: int) -> float:
    """Returns how many times as wide as over independent rows an interval over out-of-fold rows is.

    Args:
        folds: how many, at least 2.
    """
    return math.sqrt(1 + folds / (folds - 1))


def widened(scores: Scores, folds: int) -> Scores:
    """Returns scores of out-of-fold rows with intervals for them.

    A metric whose interval then holds the baseline's value is not called better or worse than it.

    Args:
        scores: over all rows, as if one model had answered them.
        folds: how many models did.
    """
    return replace(
        scores, metrics={name: _widened(name, metric, widening(folds)) for name, metric in scores.metrics.items()}
    )


def _widened(name: str, metric: MetricScore, times: float) -> MetricScore:
    middle, half = (metric.low + metric.high) / 2, times * (metric.high - metric.low) / 2
    ends = (0.0, 1.0) if is_percentage(name) else (-1.0, 1.0)
    low, high = possible((middle - half, middle + half), metric.value, ends)
    side = "unclear" if low <= metric.baseline <= high else metric.against_baseline
    return replace(metric, low=low, high=high, against_baseline=side, method=_CORRELATED.get(metric.method))
