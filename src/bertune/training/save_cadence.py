"""How often a run saves its state."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from bertune.errors import ConfigError

_USUAL_MINUTES: Final = 10.0
# Of the time since the last checkpoint an evaluation may take so much to save; where they are many, not all are saved.
_SHARE: Final = 0.03


@dataclass(frozen=True)
class SaveEvery:
    """How often a run saves, beside after evaluations.

    Args:
        steps: after so many optimizer steps; None does not count them.
        minutes: after so many minutes, at the next step's end; None does not look at the clock.
    """

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Reads `500` (steps) or `15m` (minutes); None is every 10 minutes.

        Raises:
            ConfigError: it is neither.
        """
        if text is None:
            return cls(minutes=_USUAL_MINUTES)
        parts = re.fullmatch(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>m?)", text.strip(), re.ASCII)
        if parts is not None and float(parts["number"]) > 0:
            if parts["unit"]:
                return cls(minutes=float(parts["number"]))
            if parts["number"].isdecimal():
                return cls(steps=int(parts["number"]))
        raise ConfigError(
            f"--save-every {text} is neither a number of steps nor of minutes",
            hint="write 500, or 15m for minutes, or never",
        )


class Cadence:
    """Tells at each boundary whether to save.

    Args:
        every: how often.
        clock: gives seconds.
    """

    def __init__(self, every: SaveEvery, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._last = clock()
        self._cost = 0.0

    def is_due(self, step: int) -> bool:
        """Whether to save after so many steps."""
        if self._every.steps is not None:
            return step % self._every.steps == 0
        return self._every.minutes is not None and self._clock() - self._last >= 60 * self._every.minutes

    def is_due_after_evaluation(self) -> bool:
        """Whether to save after an evaluation: where that would take a small share of the time since the last one."""
        return self._cost <= _SHARE * (self._clock() - self._last)

    def saved(self, seconds: float) -> None:
        """Takes note of a checkpoint, and of how long it took."""
        self._cost, self._last = seconds, self._clock()
