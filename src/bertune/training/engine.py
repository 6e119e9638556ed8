"""What computes training: compiled kernels where they can be had, torch's operators elsewhere."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.errors import ConfigError
from bertune.kernels.adamw_step import KernelStep, Source, TableSource
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.classifier import Classifier
from bertune.nn.dense import rows_of
from bertune.nn.pooling import pool_windows
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.adapters import Adapters
from bertune.training.frozen_layers import FrozenLayers
from bertune.training.objective import Objective

_MOST_NARROW = 2


class Engine(ABC):
    """Computes losses with their gradients, and updates the parameters.

    Attributes:
        name: what computes, for the first line of a run; of torch's operators also why.
        group: of the processes that compute a part of each step's batch.
        frozen: computes what lies below the layers that train, whose states batches then bring; None where all train.
        adapters: train in the place of the encoder's weights, which follow them; None where there are none.
    """

    name: str
    classifier: Classifier
    group: ProcessGroup
    frozen: FrozenLayers | None = None
    adapters: Adapters | None = None
    _has_projected = False

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where batches are to lie."""

    def forward_backward(
        self, batch: Batch, objective: Objective, *, total_weight: float | Tensor, accumulate: bool
    ) -> tuple[float, Tensor]:
        """Computes a batch, or a part of one, and leaves the gradients where `step` finds them.

        Args:
            batch: with targets.
            objective: gives the loss.
            total_weight: what the losses of the whole batch are divided by.
            accumulate: whether gradients are added to those of an earlier part of the same step.

        Returns:
            What the part adds to the loss, and the logits, (examples, labels).
        """
        assert batch.targets is not None
        self._has_projected = False
        logits = pool_windows(self.logits(batch, accumulate=accumulate), batch)
        loss = objective.loss(logits, batch.targets, soft=batch.soft, total_weight=total_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item(), logits

    def _project_gradients(self, gradient_of: Callable[[str], Tensor]) -> None:
        """Makes the adapters' gradients of those of the weights, once in each step."""
        if self.adapters is not None and not self._has_projected:
            self.adapters.take_gradients(gradient_of)
            self._has_projected = True

    @abstractmethod
    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """Returns the logits of each sequence, whose `backward` leaves the gradients where `step` finds them."""

    def expect_tokens(self, token_ids: Tensor) -> None:
        """Takes the tokens of the whole step of a group, before this process computes its part of it."""
        self._rows = torch.unique(rows_of(self.classifier.encoder.input_embeddings, token_ids))

    @abstractmethod
    def add_up_gradients(self) -> None:
        """Adds up the gradients of all processes of the group: between the last `forward_backward` and `step`."""

    @abstractmethod
    def step(self) -> float:
        """Takes an optimizer step; returns the gradients' norm before clipping."""


class TorchEngine(Engine):
    """Torch's operators and autograd: every device, every encoder."""

    def __init__(
        self,
        classifier: Classifier,
        optimizer: ScheduledAdam | GivenOptimizer,
        *,
        name: str,
        group: ProcessGroup = ALONE,
        frozen: FrozenLayers | None = None,
    ) -> None:
        self.classifier = classifier
        self.optimizer = optimizer
        self.name = name
        self.group = group
        self.frozen = frozen

    @property
    def device(self) -> torch.device:
        """See `Engine`."""
        return self.classifier.device

    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """See `Engine`."""
        if not accumulate:
            _forget_gradients(self.classifier.parameters())
        return self.classifier.in_few_shapes(batch)

    def add_up_gradients(self) -> None:
        """See `Engine`."""
        self._project_gradients(self._gradient_of)
        if self.adapters is not None:
            self.group.add_up([each.grad for _, each in self.adapters.named_parameters() if each.grad is not None])
            return
        table = self.classifier.encoder.input_embeddings.weight
        parameters = dict(self.classifier.named_parameters(remove_duplicate=False)).values()
        gradients = {id(each): each.grad for each in parameters if each.grad is not None}
        whole = gradients.get(id(table))
        if whole is None or sum(each is table for each in parameters) > 1:
            self.group.add_up(list(gradients.values()))
            return
        # Of most rows nobody has a gradient, and everybody knows of which.
        del gradients[id(table)]
        touched = whole[self._rows]
        self.group.add_up([*gradients.values(), touched])
        whole[self._rows] = touched

    def step(self) -> float:
        """See `Engine`."""
        self._project_gradients(self._gradient_of)
        self.optimizer.step()
        norm = float(self.optimizer.last_gradient_norm)
        if self.adapters is not None and math.isfinite(norm):
            self.adapters.apply_updates()
        return norm

    def _gradient_of(self, name: str) -> Tensor:
        gradient = self.classifier.encoder.get_parameter(name).grad
        assert gradient is not None
        return gradient


class NativeEngine(Engine):
    """Compiled kernels on the processor.

    Raises:
        NoKernelsError: there are no kernels here.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: ScheduledAdam | GivenOptimizer,
        *,
        in_parts: bool,
        group: ProcessGroup = ALONE,
        frozen: FrozenLayers | None = None,
    ) -> None:
        encoder = classifier.encoder
        self.name = "compiled kernels"
        self.classifier = classifier
        self.optimizer = optimizer
        self._parameters = list(classifier.parameters())
        self.native = KernelPass(encoder, encoder.compute_dtype, starts_at=None if frozen is None else frozen.count)
        self.group = group
        self.frozen = frozen
        # The shares of processes add up as parts do. Those of two may stay bfloat16, half of the bytes: their sum is
        # rounded once, as the gradient of a whole batch is.
        self.native.prepare_gradients(in_parts=in_parts or group.size > _MOST_NARROW, joins=not group.is_alone)
        token_gradient = self.native.token_gradient
        self._table = None if token_gradient is None else TableSource(token_gradient.values, token_gradient.slots)
        self._update: KernelStep | None = None
        if isinstance(optimizer, ScheduledAdam):
            tables = {} if self._table is None else {id(encoder.input_embeddings.weight): self._table}
            self._update = KernelStep(optimizer, self._sources(), tables)

    @property
    def device(self) -> torch.device:
        """See `Engine`."""
        return torch.device("cpu")

    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """See `Engine`."""
        if not accumulate:
            _forget_gradients(self._parameters)
        anchor = torch.empty(0, requires_grad=True)
        hidden: Tensor = _Encode.apply(anchor, self, batch, accumulate)  # type: ignore[no-untyped-call]
        return self.classifier.logits_of(hidden, batch.layout)

    def expect_tokens(self, token_ids: Tensor) -> None:
        """See `Engine`."""
        super().expect_tokens(token_ids)
        self.native.rows_of_step = self._rows.numpy().astype(np.int32)

    def add_up_gradients(self) -> None:
        """See `Engine`."""
        token_gradient = self.native.token_gradient
        of_table = [] if token_gradient is None else [token_gradient.values]
        self._project_gradients(self.native.gradients.__getitem__)
        if self.adapters is not None:
            self.group.add_up([each.grad for _, each in self.adapters.named_parameters() if each.grad is not None])
            return
        of_head = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        self.group.add_up([*self.native.joined_gradients, *of_table, *of_head])

    def step(self) -> float:
        """See `Engine`."""
        if self._table is not None:
            assert self.native.token_gradient is not None
            self._table.gradient = self.native.token_gradient.values
        if self._update is None:
            return self._step_given()
        self._project_gradients(self.native.gradients.__getitem__)
        norm = self._update.step()
        if self.adapters is not None and math.isfinite(norm):
            self.adapters.apply_updates()
            self.native.refresh_bf16_copies()
        return norm

    def _step_given(self) -> float:
        """Lets an optimizer of torch take the step: it finds each gradient where autograd would have left it."""
        assert isinstance(self.optimizer, GivenOptimizer)
        token_gradient, encoder = self.native.token_gradient, self.classifier.encoder
        for name, parameter in encoder.named_parameters():
            if name in self.native.gradients:
                parameter.grad = self.native.gradients[name].to(parameter.dtype)
        if token_gradient is not None:
            table = encoder.embeddings.token.weight
            table.grad = torch.zeros_like(table)
            table.grad[torch.from_numpy(token_gradient.touched).long()] = token_gradient.values
        places = [parameter.data_ptr() for parameter in self._parameters]
        self.optimizer.step()
        if places != [parameter.data_ptr() for parameter in self._parameters]:
            raise ConfigError(
                f"{type(self.optimizer.optimizer).__name__} gave parameters other memory, where the compiled kernels "
                "do not look",
                hint="train without them: BERTUNE_DISABLE=kernels",
            )
        self.native.refresh_bf16_copies()
        return self.optimizer.last_gradient_norm

    def _sources(self) -> dict[int, Source]:
        sources = {}
        for name, parameter in self.classifier.encoder.named_parameters():
            if name in self.native.gradients:
                bf16_copy = self.native.bf16_copies.get(name.removeprefix("layers."))
                sources[id(parameter)] = Source(self.native.gradients[name], bf16_copy)
        return sources


class _Encode(torch.autograd.Function):
    """The encoder as one node of autograd's graph: the gradients of its parameters go into buffers of their own."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, engine: NativeEngine, batch: Batch, accumulate: bool) -> Tensor:
        del anchor  # makes autograd call `backward`
        ctx.engine, ctx.accumulate = engine, accumulate
        seed = int(torch.randint(0, 1 << 62, ()).item())
        hidden = engine.native.forward(batch, seed=seed, first_only=engine.classifier.first_only, keep=True)
        ctx.pass_number = engine.native.passes
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        assert ctx.pass_number == ctx.engine.native.passes, "another batch has used the buffers since"
        ctx.engine.native.backward(gradient, accumulate=ctx.accumulate)
        return None, None, None, None


def _forget_gradients(parameters: Iterable[Tensor]) -> None:
    # As `Optimizer.zero_grad` does, which imports torch's compiler first.
    for parameter in parameters:
        parameter.grad = None
