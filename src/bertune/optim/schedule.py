"""Learning-rate schedules: polynomial decay and warm-up, in the float32 arithmetic of the original.

Source: `official/nlp/optimization.py` of tf-models-official 2.20.0 (`WarmUp`) and Keras' `PolynomialDecay`. Both
compute in float32, so rates differ from exact arithmetic in the eighth digit; these do the same. `LinearWarmUpDecay` is
that of transformers.

A schedule is any callable from a step, counted from 0, to a rate. They need no torch, so that plots stay light.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bertune.errors import ConfigError

Schedule = Callable[[int], float]
"""Maps a step, counted from 0, to its learning rate."""


@dataclass(frozen=True, slots=True)
class PolynomialDecay:
    """Polynomial decay of the rate from its initial to its end value over a number of steps.

    Arithmetic, names and defaults are Keras': with `power=1.0` the decay is linear. Beyond `decay_steps` the
    end rate stays, or, with `cycle`, the decay starts again over the next multiple of `decay_steps`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: after how many steps the end rate is reached, at least 1.
        end_learning_rate: the rate from then on.
        power: of the polynomial; above 0.
        cycle: whether to stretch the decay again and again once its steps are over.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> decay = bertune.PolynomialDecay(2e-5, decay_steps=100, end_learning_rate=0)
        >>> [f"{decay(step):.1e}" for step in (0, 50, 100)]
        ['2.0e-05', '1.0e-05', '0.0e+00']
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        _require_rate("initial_learning_rate", self.initial_learning_rate)
        _require_rate("end_learning_rate", self.end_learning_rate)
        _require_power(self.power)
        if self.decay_steps < 1:
            raise ConfigError(f"decay_steps must be at least 1, not {self.decay_steps}")

    def __call__(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        position, length = np.float32(_require_step(step)), np.float32(self.decay_steps)
        if self.cycle:
            # Step 0 is the start of the first round, not the end of a round before it.
            length = length * np.maximum(np.ceil(position / length), np.float32(1.0))
        else:
            position = np.minimum(position, length)
        initial, end = np.float32(self.initial_learning_rate), np.float32(self.end_learning_rate)
        left = np.float32(1.0) - position / length
        return float((initial - end) * np.power(left, np.float32(self.power)) + end)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Warm-up of the rate from 0 to its peak, followed by another schedule.

    The other schedule has been counting since step 0, so the rate drops where warm-up ends: a linear decay over 10
    steps after a warm-up of 4 goes 0.75 -> 0.60. This is how the released code does it, and it is kept.

    Args:
        initial_learning_rate: the rate that warm-up would reach at step `warmup_steps`.
        decay_schedule_fn: gives the rate from step `warmup_steps` on.
        warmup_steps: how many steps warm-up lasts; 0 hands over at once.
        power: of the rise; 1.0 is a straight line.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> decay = bertune.PolynomialDecay(2e-5, decay_steps=345, end_learning_rate=0)
        >>> schedule = bertune.WarmUp(2e-5, decay, warmup_steps=34)
        >>> [f"{schedule(step):.1e}" for step in (0, 17, 345)]
        ['0.0e+00', '1.0e-05', '0.0e+00']
    """

    initial_learning_rate: float
    decay_schedule_fn: Schedule
    warmup_steps: int
    power: float = 1.0

    def __post_init__(self) -> None:
        _require_rate("initial_learning_rate", self.initial_learning_rate)
        _require_power(self.power)
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps must not be negative, and is {self.warmup_steps}")

    def __call__(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        if _require_step(step) >= self.warmup_steps:
            return self.decay_schedule_fn(step)
        done = np.float32(step) / np.float32(self.warmup_steps)
        return float(np.float32(self.initial_learning_rate) * np.power(done, np.float32(self.power)))


@dataclass(frozen=True, slots=True)
class LinearWarmUpDecay:
    """Lets the rate rise from 0 to its peak in a straight line, and fall from there to 0 at the last step.

    Unlike `WarmUp` before `PolynomialDecay`, the fall begins where the rise ends, so that the peak is reached.

    Args:
        peak: the rate of step `warmup_steps`.
        warmup_steps: how many steps the rise lasts; with 0 the first step has the peak.
        total_steps: of the run; step `total_steps` would have a rate of 0.

    Raises:
        ConfigError: a value outside its range.

    Source: `get_linear_schedule_with_warmup` of transformers 5.23.
    """

    peak: float
    warmup_steps: int
    total_steps: int

    def __post_init__(self) -> None:
        _require_rate("peak", self.peak)
        if not 0 <= self.warmup_steps <= self.total_steps:
            raise ConfigError(f"warmup_steps must lie between 0 and {self.total_steps}, and is {self.warmup_steps}")

    def __call__(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        if _require_step(step) < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        return self.peak * max(0, self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)


def _require_step(step: int) -> int:
    if step < 0:
        raise ConfigError(f"steps are counted from 0; there is no step {step}")
    return step


def _require_rate(name: str, rate: float) -> None:
    if not (math.isfinite(rate) and rate >= 0):
        raise ConfigError(f"{name} must be a finite number that is not negative, and is {rate}")


def _require_power(power: float) -> None:
    if not (math.isfinite(power) and power > 0):
        raise ConfigError(f"power must be a finite number above 0, and is {power}")
