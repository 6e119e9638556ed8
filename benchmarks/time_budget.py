"""How many steps fit into a time: planned from a pace, and again where the pace was another. Needs no package."""

from collections.abc import Sequence
from typing import Final

UNTIMED_STEPS: Final = 5
LEAST_TIMED_STEPS: Final = 20
MOST_TIMED_STEPS: Final = 200
# Of the budget: so long a pace is measured at least, and so much may be left or exceeded.
LEAST_TIMED_SHARE: Final = 0.1
TOLERANCE: Final = 0.1


def is_timed(ends: Sequence[float], budget: float) -> bool:
    """Says whether steps that ended at these seconds are enough to know the pace."""
    timed = len(ends) - UNTIMED_STEPS
    if timed >= MOST_TIMED_STEPS:
        return True
    return timed >= LEAST_TIMED_STEPS and ends[-1] - ends[UNTIMED_STEPS - 1] >= LEAST_TIMED_SHARE * budget


def pace_of(ends: Sequence[float]) -> float:
    """Returns the steps a second of those behind the untimed ones."""
    return (len(ends) - UNTIMED_STEPS) / (ends[-1] - ends[UNTIMED_STEPS - 1])


def steps_within(budget: float, pace: float) -> int:
    """Returns how many steps fit into a time, at least 1."""
    return max(1, int(budget * pace))


def replanned(planned: int, ends: Sequence[float], budget: float) -> int | None:
    """Returns how many steps should have been planned, by the pace that training had; None where the plan was right.

    Args:
        planned: the steps of the schedule.
        ends: seconds at which steps ended; fewer than planned where time was up.
        budget: in seconds.
    """
    if len(ends) == planned and ends[-1] >= (1 - TOLERANCE) * budget:
        return None
    steps = steps_within(budget, len(ends) / ends[-1])
    return None if steps == planned else steps
