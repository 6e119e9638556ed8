"""The gradients of one batch: computed in parts that add up, by one process or by several."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.batches.sampler import shares_by_tokens
from bertune.errors import ResourceError
from bertune.system.process_group import ProcessGroup, ToldElsewhereError
from bertune.training.dynamics import Dynamics
from bertune.training.engine import Engine
from bertune.training.objective import Objective

# What the processes tell each other of a step, before the values of its rows.
_LOSS, _TOKENS, _NO_MEMORY, _FAILED, _CODES, _TOLD = range(6)
_UNEXPECTED: Final = 1


class NoMemoryError(ResourceError):
    """A part of a batch that does not fit into memory."""

    def __init__(self) -> None:
        super().__init__(
            "not enough memory to train on one example at a time",
            hint="use a smaller --max-length or a smaller model, or leave other programs less memory",
        )


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
            raise NoMemoryError from error
        raise


@dataclass
class BatchResult:
    """What the passes of a batch gave, beside the gradients in the engine.

    Args:
        loss: mean over the examples, by their weights.
        tokens: computed.
        answered: rows, logits and targets of each part, where training dynamics want them.
        values: of several processes in their place what dynamics record of each row of the batch.
    """

    loss: float = 0.0
    tokens: int = 0
    answered: list[tuple[NDArray[np.int64], Tensor, Tensor]] = field(default_factory=list)
    values: Tensor | None = None


@dataclass(frozen=True)
class BatchPasses:
    """Computes batches, forward and backward, and leaves the gradients of each in the engine.

    Args:
        engine: computes, and knows the group of the processes.
        objective: gives the loss.
        train: with targets.
        micro_batch_size: examples that a process computes at a time.
        dynamics: tells what is recorded of a row; None records nothing.
    """

    engine: Engine
    objective: Objective
    train: Dataset
    micro_batch_size: int
    dynamics: Dynamics | None = None

    def run(self, indices: NDArray[np.int64]) -> BatchResult:
        """Computes a batch, of several processes each a share; all get the result of the whole.

        Raises:
            NoMemoryError: a part does not fit into memory, in any of the processes.
            ToldElsewhereError: another process has failed.
            ProcessLostError: another process has ended.
        """
        assert self.train.targets is not None
        # Of the whole batch: each example then weighs the same, however the batch is cut.
        device, soft = self.engine.device, self.train.soft
        total_weight = self.objective.weight(
            torch.from_numpy(self.train.targets[indices]).to(device),
            None if soft is None else soft.rows(indices, device),
        )
        if self.engine.group.is_alone:
            return self._compute(indices, total_weight)
        return self._compute_share(indices, total_weight)

    def _compute(self, rows: NDArray[np.int64], total_weight: float | Tensor) -> BatchResult:
        result = BatchResult()
        for start in range(0, len(rows), self.micro_batch_size):
            part = rows[start : start + self.micro_batch_size]
            with told_of_memory():
                batch = pack(self.train.encoded, part, self.train.targets, self.engine.device)
                if self.engine.frozen is not None:
                    batch = self.engine.frozen.add_to(batch, part)
                if self.train.soft is not None:
                    batch = replace(batch, soft=self.train.soft.rows(part, self.engine.device))
                assert batch.targets is not None
                loss, logits = self.engine.forward_backward(
                    batch, self.objective, total_weight=total_weight, accumulate=start > 0
                )
            result.loss += loss
            if self.dynamics is not None:
                result.answered.append((part, logits.detach(), batch.targets))
            result.tokens += batch.layout.num_tokens
        return result

    def _compute_share(self, indices: NDArray[np.int64], total_weight: float | Tensor) -> BatchResult:
        engine = self.engine
        places = share_places(engine.group, self.train, indices)[engine.group.rank]
        # Whoever has no row computes one that weighs nothing: its gradients are zeros, of the same parameters.
        rows, weight = (indices[places], total_weight) if len(places) else (indices[:1], float("inf"))
        told = torch.zeros(_TOLD + len(indices), dtype=torch.float64)
        failure: Exception | None = None
        try:
            engine.expect_tokens(torch.from_numpy(self._tokens_of(indices)).to(engine.device))
            own = self._compute(rows, weight)
            if len(places):
                told[_LOSS], told[_TOKENS] = own.loss, own.tokens
                if self.dynamics is not None:
                    values = torch.cat([self.dynamics.values_of(*each) for _, *each in own.answered])
                    told[torch.from_numpy(places) + _TOLD] = values.double().cpu()
        except NoMemoryError:
            told[_NO_MEMORY] = 1
        except Exception as error:
            told[_FAILED], told[_CODES], failure = 1, getattr(error, "exit_code", _UNEXPECTED), error
        engine.group.add_up([told])
        if failure is not None:
            raise failure
        if told[_FAILED]:
            raise ToldElsewhereError(int(told[_CODES] / told[_FAILED]))
        if told[_NO_MEMORY]:
            raise NoMemoryError
        result = BatchResult(float(told[_LOSS]), int(told[_TOKENS]))
        if self.dynamics is not None:
            result.values = told[_TOLD:].float()
        if np.isfinite(result.loss):  # else no step is taken, in no process
            engine.add_up_gradients()
        return result

    def _tokens_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.unique(self.train.encoded.take(indices).token_ids).astype(np.int64)


def share_places(group: ProcessGroup, train: Dataset, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Returns the places in a batch of the examples that each process computes, shared out by tokens."""
    return shares_by_tokens(train.encoded.example_lengths[indices], group.size)
