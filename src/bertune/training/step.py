"""One optimizer step: forward, backward, and the check that nothing blew up."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.errors import DivergedError
from bertune.training.batch_gradients import BatchPasses
from bertune.training.dynamics import Dynamics
from bertune.training.engine import Engine
from bertune.training.objective import Objective

IF_DIVERGED: Final = "lower --learning-rate, lengthen --warmup-fraction, or use --precision fp32"
"""What to do about losses that are not finite."""


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step was.

    Args:
        step: from 0, counted over the whole run.
        epoch: from 1.
        loss: mean over the examples of the batch (by their class weights), before the update.
        learning_rate: of this step.
        gradient_norm: global norm before clipping.
        examples: in the batch.
        tokens: in the batch.
    """

    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    examples: int
    tokens: int


@dataclass(frozen=True)
class SkippedStep:
    """A step that was not applied: weights, moments and dynamics are those before it.

    Args:
        step: from 0, counted over the whole run.
        epoch: from 1.
        reason: what was not finite, the loss or the gradient norm, with its value and the rate.
        rows: of its batch, by their numbers in the training data, from 0.
        in_a_row: such steps one after another, this one included; the third ends the run.
    """

    step: int
    epoch: int
    reason: str
    rows: tuple[int, ...]
    in_a_row: int


@dataclass(frozen=True)
class StepPlace:
    """Where in a run a step is.

    Args:
        step: from 0, counted over the whole run.
        epoch: from 1.
        rate: the learning rate.
    """

    step: int
    epoch: int
    rate: float


def seed_draws(device: torch.device, seed: int) -> None:
    """Seeds what draws on a device."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:  # every device's; without one this takes a third of a millisecond, as it notes down who called
        torch.manual_seed(seed)


def take_step(
    engine: Engine,
    objective: Objective,
    train: Dataset,
    indices: NDArray[np.int64],
    *,
    place: StepPlace,
    micro_batch_size: int,
    dynamics: Dynamics | None = None,
) -> StepResult:
    """Trains on one batch, in parts of `micro_batch_size` examples whose gradients add up to the batch's.

    Of several processes each computes a share of the batch, their gradients are added up, and all take the same step;
    what cannot be, all raise at the same step.

    Args:
        engine: computes, and knows the group of the processes.
        objective: gives the loss.
        train: with targets.
        indices: the examples of the batch, in all processes together.
        place: of the step.
        micro_batch_size: examples that a process computes at a time.
        dynamics: records what was said of each row, once the step is taken.

    Raises:
        DivergedError: the loss or the gradient is not finite; the parameters are those before the step.
        NoMemoryError: a part does not fit into memory; the parameters are those before the step.
        ProcessLostError: another process has ended; the parameters are those before the step.
    """
    result = BatchPasses(engine, objective, train, micro_batch_size, dynamics).run(indices)
    check_finite(result.loss, "loss", place.step, place.rate)
    norm = engine.step()
    check_finite(norm, "gradient norm", place.step, place.rate)
    if dynamics is not None:
        for part in result.answered:
            dynamics.record(*part)
        if result.values is not None:
            dynamics.record_values(indices, result.values)
    return StepResult(place.step, place.epoch, result.loss, place.rate, norm, len(indices), result.tokens)


def seed_of_step(seed: int, step: int, rank: int = 0) -> int:
    """Returns the seed of a step's dropout: its own, so that no earlier step need be replayed.

    Args:
        seed: of the run.
        step: from 0.
        rank: of the process: each draws for rows of its own.
    """
    words = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def check_finite(value: float, name: str, step: int, rate: float) -> None:
    """Refuses what is not finite.

    Raises:
        DivergedError: names the step and its rate.
    """
    if not math.isfinite(value):
        raise DivergedError(
            f"training diverged: the {name} at step {step} is {value} (learning rate {rate:.3g})",
            hint=IF_DIVERGED,
        )
