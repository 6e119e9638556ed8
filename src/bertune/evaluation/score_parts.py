"""What scores are made of: metrics with their intervals, the baseline, and each label's own scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bertune.evaluation.metrics import METRICS


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A metric's value, its 95 % bootstrap interval, and the baseline's value on the same rows.

    All are as the metric gives them (fractions, correlations). `against_baseline` says on which side of the interval
    the baseline lies: "better" and "worse" exclude it, "unclear" does not.
    """

    value: float
    low: float
    high: float
    baseline: float
    against_baseline: Literal["better", "unclear", "worse"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always gives the same answer.

    Args:
        kind: "majority" answers the most frequent class, "mean" the mean value, "constant" always the same labels.
        answer: the label's name, the value, or for several labels a row a sentence that names the answers.
        source: where frequency or mean were taken from: "training data", or "these rows" where that is not known, which
            flatters the baseline.
        loss: its mean squared error for values; None for classes, where it gives no probabilities.
    """

    kind: Literal["majority", "mean", "constant"]
    answer: str | float
    source: Literal["training data", "these rows"]
    loss: float | None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label fares: precision, recall and F1 (0.0 where undefined), and how many rows truly have it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Judgement:
    """What depends on the kind of task in `Scores`; see there."""

    metrics: dict[str, MetricScore]
    mean_loss: float
    baseline: Baseline
    is_majority: bool
    confusion: tuple[tuple[int, ...], ...] = ()
    labels: tuple[LabelScore, ...] = ()
    calibration_error: float | None = None


def metric_scores(
    values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], baselines: Mapping[str, float]
) -> dict[str, MetricScore]:
    """Puts each metric's value beside its interval and the baseline's value."""
    scores: dict[str, MetricScore] = {}
    for name, value in values.items():
        (low, high), baseline = intervals[name], baselines[name]
        above, below = low > baseline, high < baseline
        if not METRICS[name].higher_is_better:
            above, below = below, above
        against: Literal["better", "unclear", "worse"] = "better" if above else "worse" if below else "unclear"
        scores[name] = MetricScore(value, low, high, baseline, against)
    return scores
