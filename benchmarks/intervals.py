"""Means over seeds, and of paired differences, with Student's t interval."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from scipy.special import stdtrit

COVERAGE: Final = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean with what is known of its error.

    Args:
        count: of the values.
        mean: theirs.
        deviation: their standard deviation, with count - 1; None of one value, as for all that follow from it.
        error: the standard error of the mean.
        t: the mean divided by its standard error; None also where the values are equal.
        low: where the 95 % interval of the mean begins, by Student's t with count - 1 degrees of freedom; None where
            the values are equal.
        high: where it ends.
        least: of the values.
    """

    count: int
    mean: float
    deviation: float | None
    error: float | None
    t: float | None
    low: float | None
    high: float | None
    least: float

    @property
    def side(self) -> str:
        """On which side of 0 the whole interval lies: above, below or neither."""
        if self.low is not None and self.low > 0:
            return "above"
        return "below" if self.high is not None and self.high < 0 else "neither"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_of(values: Sequence[float]) -> Mean:
    """Returns the mean of at least one value."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return Mean(len(values), mean, None, None, None, None, None, min(values))
    deviation = statistics.stdev(values)
    error = deviation / math.sqrt(len(values))
    if error == 0:  # they agree to the row: that is no interval of no width
        return Mean(len(values), mean, deviation, error, None, None, None, min(values))
    half = float(stdtrit(len(values) - 1, (1 + COVERAGE) / 2)) * error
    return Mean(len(values), mean, deviation, error, mean / error, mean - half, mean + half, min(values))


def paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Mean | None:
    """Returns the mean of ours - theirs over the seeds that both have; None where there is none."""
    differences = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    return mean_of(differences) if differences else None
