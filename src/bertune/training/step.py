"""One optimizer step: forward, backward, and the check that nothing blew up."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.errors import DivergedError, ResourceError
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


def take_step(
    engine: Engine,
    objective: Objective,
    train: Dataset,
    indices: NDArray[np.int64],
    *,
    place: StepPlace,
    micro_batch_size: int,
    on_logits: Callable[[NDArray[np.int64], Tensor, Tensor], None] | None = None,
) -> StepResult:
    """Trains on one batch, in parts of `micro_batch_size` examples whose gradients add up to the batch's.

    `on_logits` is given the rows, logits and targets of each part, once the step is taken.

    Raises:
        DivergedError: the loss or the gradient is not finite; the parameters are those before the step.
        NoMemoryError: a part does not fit into memory; the parameters are those before the step.
    """
    assert train.targets is not None
    mean_loss, tokens = 0.0, 0
    answered: list[tuple[NDArray[np.int64], Tensor, Tensor]] = []
    # Of the whole batch: each example then weighs the same, however the batch is cut.
    total_weight = objective.weight(torch.from_numpy(train.targets[indices]).to(engine.device))
    for start in range(0, len(indices), micro_batch_size):
        part = indices[start : start + micro_batch_size]
        with told_of_memory():
            batch = pack(train.encoded, part, train.targets, engine.device)
            assert batch.targets is not None
            loss, logits = engine.forward_backward(batch, objective, total_weight=total_weight, accumulate=start > 0)
        mean_loss += loss
        if on_logits is not None:
            answered.append((part, logits.detach(), batch.targets))
        tokens += batch.layout.num_tokens
    check_finite(mean_loss, "loss", place.step, place.rate)
    norm = engine.step()
    check_finite(norm, "gradient norm", place.step, place.rate)
    if on_logits is not None:
        for each in answered:
            on_logits(*each)
    return StepResult(place.step, place.epoch, mean_loss, place.rate, norm, len(indices), tokens)


class NoMemoryError(ResourceError):
    """A part of a batch that does not fit into memory."""


@contextmanager
def told_of_memory() -> Iterator[None]:
    """Makes one error of all the ways in which memory is said to be at its end.

    Raises:
        NoMemoryError: there is not enough.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch says so in the text of a plain RuntimeError on a processor, and by a type of its own on a GPU.
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise NoMemoryError(
                "not enough memory to train on one example at a time",
                hint="use a smaller --max-length or a smaller model, or leave other programs less memory",
            ) from error
        raise


def seed_of_step(seed: int, step: int) -> int:
    """Returns the seed of a step's dropout: its own, so that no earlier step need be replayed."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])


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
