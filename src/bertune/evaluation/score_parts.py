"""What scores are made of: metrics with their intervals, the baseline, and each label's own scores."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["Agresti-Coull", "bootstrap with pseudo-rows", "Fisher's z"]


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A metric's value, its 95 % interval, and the baseline's value on the same rows.

    Args:
        value: as the metric gives it (a fraction, a correlation), like the next three.
        low: lower end of the interval, which is never as high as the upper end.
        high: upper end.
        baseline: of what always gives the same answer; of two such answers, the better one.
        against_baseline: which of the two is better on rows like these, by a paired test (see `against_baseline`) and
            not by the interval, which knows nothing of how uncertain the baseline is.
        method: how the interval was found (see `intervals` and `bootstrap`).
    """

    value: float
    low: float
    high: float
    baseline: float
    against_baseline: Literal["better", "unclear", "worse"]
    method: Method


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always gives the same answer.

    Args:
        kind: "majority" answers the most frequent class, "mean" the mean value, "constant" always the same labels.
        answer: the label's name, the value, or for several labels a row a sentence that names the answers.
        source: where frequency or mean were taken from: "training data", or "these rows" where that is not known, which
            flatters the baseline.
        loss: its mean squared error for values; None for classes, where it gives no probabilities.
        caution: a sentence, where another class is more frequent in the rows that are scored; None where not.
    """

    kind: Literal["majority", "mean", "constant"]
    answer: str | float
    source: Literal["training data", "these rows"]
    loss: float | None
    caution: str | None = None


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
