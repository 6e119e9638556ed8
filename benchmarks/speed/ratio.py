"""How much faster one system is than another, over rounds in which both took their turn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 10_000


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians with a 95 % interval."""

    value: float
    low: float
    high: float
    rounds: int

    def text(self) -> str:
        return f"{self.value:.2f}x ({self.low:.2f} to {self.high:.2f})"


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 1) -> Ratio:
    """Compares two systems by the medians of their rates.

    The interval is a bootstrap over rounds: a round is drawn for both at once, because what slowed the machine in a
    round slowed both.

    Args:
        ours: rate in each round.
        theirs: rate in the same rounds.
        seed: of the draws.

    Raises:
        ValueError: the rounds do not correspond, or there is none.
    """
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds beside {len(theirs)}")
    first, second = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    draws = np.random.default_rng(seed).integers(len(first), size=(_DRAWS, len(first)))
    ratios = np.median(first[draws], axis=1) / np.median(second[draws], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(float(np.median(first) / np.median(second)), float(low), float(high), len(first))


def common_rounds(ours: Sequence[float], theirs: Sequence[float]) -> tuple[list[float], list[float]]:
    """Cuts both to the rounds that both have: a system that failed has fewer."""
    count = min(len(ours), len(theirs))
    return list(ours[:count]), list(theirs[:count])
