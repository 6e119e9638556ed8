"""Two ways to compute a training step: by compiled kernels where they can be had, by torch's operators elsewhere."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.encoder.native_pass import NativePass
from bertune.heads.classifier import Classifier
from bertune.native.build import NotNativeError
from bertune.optim.native_step import NativeStep, Source, TableSource
from bertune.optim.scheduled_adam import ScheduledAdam


class TrainingPath(Protocol):
    """Computes logits with their gradients, and updates the parameters."""

    name: str

    @property
    def device(self) -> torch.device:
        """Where batches are to lie."""

    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """Returns logits whose `backward` leaves the gradients where `update` finds them.

        Args:
            batch: in training mode.
            accumulate: whether gradients are added to those of an earlier part of the same step.
        """

    def update(self) -> float:
        """Takes an optimizer step; returns the gradients' norm before clipping."""


def training_path(
    classifier: Classifier,
    optimizer: ScheduledAdam,
    *,
    in_parts: bool = False,
) -> TrainingPath:
    """Chooses how to compute; the encoder's `compute_dtype` is the type of the layers.

    Args:
        classifier: trained in place.
        optimizer: takes the steps.
        in_parts: whether batches are computed in parts whose gradients add up.
    """
    try:
        return NativeTrainingPath(classifier, optimizer, in_parts=in_parts)
    except NotNativeError as reason:
        return TorchTrainingPath(classifier, optimizer, reason=str(reason))


class TorchTrainingPath:
    """Torch's operators and autograd: every device, every encoder."""

    def __init__(self, classifier: Classifier, optimizer: ScheduledAdam, *, reason: str) -> None:
        self.classifier = classifier
        self.optimizer = optimizer
        self.name = f"torch operators: {reason}"

    @property
    def device(self) -> torch.device:
        """See `TrainingPath`."""
        return self.classifier.classifier.weight.device

    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """See `TrainingPath`."""
        if not accumulate:
            _forget_gradients(self.classifier.parameters())
        return self.classifier.in_few_shapes(batch)

    def update(self) -> float:
        """See `TrainingPath`."""
        self.optimizer.step()
        return float(self.optimizer.last_gradient_norm)


class NativeTrainingPath:
    """Compiled kernels on the processor.

    Raises:
        NotNativeError: there are no kernels here, or a parameter of the encoder does not train.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: ScheduledAdam,
        *,
        in_parts: bool,
    ) -> None:
        encoder = classifier.encoder
        _check_all_train(classifier, optimizer)
        self.name = "compiled kernels"
        self.classifier = classifier
        self.optimizer = optimizer
        self._parameters = list(classifier.parameters())
        self.native = NativePass(encoder, encoder.compute_dtype)
        self.native.prepare_gradients(in_parts=in_parts)
        token_gradient = self.native.token_gradient
        assert token_gradient is not None
        self._table = TableSource(token_gradient.values, token_gradient.slots)
        table = encoder.embeddings.token.weight
        self._step = NativeStep(optimizer, self._sources(), {id(table): self._table})

    @property
    def device(self) -> torch.device:
        """See `TrainingPath`."""
        return torch.device("cpu")

    def logits(self, batch: Batch, *, accumulate: bool) -> Tensor:
        """See `TrainingPath`."""
        if not accumulate:
            _forget_gradients(self._parameters)
        anchor = torch.empty(0, requires_grad=True)
        hidden: Tensor = _Encode.apply(anchor, self, batch, accumulate)  # type: ignore[no-untyped-call]
        return self.classifier.logits_of(hidden, batch.layout)

    def update(self) -> float:
        """See `TrainingPath`."""
        token_gradient = self.native.token_gradient
        assert token_gradient is not None
        self._table.gradient = token_gradient.values
        return self._step.step()

    def _sources(self) -> dict[int, Source]:
        sources = {}
        for name, parameter in self.classifier.encoder.named_parameters():
            if name in self.native.gradients:
                shadow = self.native.shadows.get(name.removeprefix("layers."))
                sources[id(parameter)] = Source(self.native.gradients[name], shadow)
        return sources


class _Encode(torch.autograd.Function):
    """The encoder as one node of autograd's graph: the gradients of its parameters go into buffers of their own."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, path: NativeTrainingPath, batch: Batch, accumulate: bool) -> Tensor:
        del anchor  # makes autograd call `backward`
        ctx.path, ctx.accumulate = path, accumulate
        seed = int(torch.randint(0, 1 << 62, ()).item())
        hidden = path.native.forward(batch, seed=seed, first_only=path.classifier.first_only, keep=True)
        ctx.pass_number = path.native.passes
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        assert ctx.pass_number == ctx.path.native.passes, "another batch has used the buffers since"
        ctx.path.native.backward(gradient, accumulate=ctx.accumulate)
        return None, None, None, None


def _check_all_train(classifier: Classifier, optimizer: ScheduledAdam) -> None:
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    unused = () if classifier.pooling == "cls" or classifier.encoder.pooler is None else ("pooler.",)
    for name, parameter in classifier.encoder.named_parameters():
        if not name.startswith(unused) and not (parameter.requires_grad and id(parameter) in known):
            raise NotNativeError(f"the encoder's {name} is not trained")


def _forget_gradients(parameters: Iterable[Tensor]) -> None:
    # As `Optimizer.zero_grad` does, which imports torch's compiler first.
    for parameter in parameters:
        parameter.grad = None
