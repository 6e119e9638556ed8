"""The encoder's forward and backward passes by compiled kernels: what lies between two matrix products is one loop.

It computes what the modules compute, on their parameters, without autograd: the backward pass is written out, works in
buffers that are kept from step to step, and draws dropout's random bits again instead of keeping them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.kernels.build import NoKernelsError
from bertune.kernels.calls import Calls, Shape, shape_of
from bertune.kernels.embedding_plan import EmbeddingPlan
from bertune.kernels.final_norm import FinalNorm
from bertune.kernels.given_states import GivenStates
from bertune.kernels.layer_kinds import plans_of_layers
from bertune.kernels.library import kernels_for
from bertune.kernels.supported import check_computable
from bertune.kernels.token_gradient import TokenGradient
from bertune.kernels.workspace import Workspace
from bertune.models.encoder import Encoder
from bertune.system.feature_switches import is_disabled

# Shapes whose calls are kept at a time, at most.
_MOST_PLANS = 128


def require_kernels(encoder: Encoder, dtype: torch.dtype) -> None:
    """Asks for the compiled kernels of an encoder; compiles them where that was not done before.

    Raises:
        NoKernelsError: there are none here, or none for such an encoder; says why.
    """
    if is_disabled("kernels"):
        raise NoKernelsError("compiled kernels are switched off")
    check_computable(encoder)
    kernels_for(dtype)


class KernelPass:
    """Runs an encoder by compiled kernels.

    Args:
        encoder: on the CPU, its parameters float32; they are read where they lie, at each pass.
        dtype: of activations and matrix products, bfloat16 or float32. With bfloat16 a copy of each matrix is kept in
            `bf16_copies`; whoever changes the parameters refreshes it.
        prepack: whether to lay out each matrix for its product instead, where that can be had: worth it for many
            tokens. There is no backward pass then, and the parameters must not change.
        starts_at: how many of the lowest layers, fewer than all, others compute: batches bring what these gave, and the
            backward pass ends above them. None computes everything.

    Attributes:
        rows_of_step: rows of the token table that the whole step touches, where several processes have a part of it
            each; `token_gradient` is then of these. None takes those of the batch.

    Raises:
        NoKernelsError: there are no kernels here, or none for such sizes.
    """

    def __init__(
        self, encoder: Encoder, dtype: torch.dtype, *, prepack: bool = False, starts_at: int | None = None
    ) -> None:
        require_kernels(encoder, dtype)
        self.encoder = encoder
        self.dtype = dtype
        self.passes = 0
        self.rows_of_step: NDArray[np.int32] | None = None
        self._plans: dict[Shape, PassPlan] = {}
        self._current: PassPlan | None = None
        self.workspace = Workspace(encoder, dtype, prepack=prepack, starts_at=starts_at, on_growth=self._forget_plans)

    def refresh_bf16_copies(self) -> None:
        """Copies the matrices to the type of the activations; nothing to do for float32 or where they are packed."""
        self.workspace.refresh_bf16_copies()

    @property
    def prepacked(self) -> bool:
        """Whether matrices are laid out for their products."""
        return self.workspace.prepacked

    @property
    def bf16_copies(self) -> dict[str, Tensor]:
        """The matrices in bfloat16, by their names below `layers`; empty for float32."""
        return self.workspace.bf16_copies

    @property
    def gradients(self) -> dict[str, Tensor]:
        """What `backward` filled, by the parameters' names in the encoder."""
        return self.workspace.gradients

    @property
    def token_gradient(self) -> TokenGradient | None:
        """The gradient of the token table; None without `prepare_gradients`, and where it is not computed here."""
        return self.workspace.token_gradient

    @property
    def joined_gradients(self) -> tuple[Tensor, ...]:
        """All of `gradients`, as few flat tensors; only where they were prepared for that."""
        return self.workspace.joined_gradients

    def prepare_gradients(self, *, in_parts: bool = False, joins: bool = False) -> None:
        """Makes the buffers that `backward` fills, under the parameters' names in the encoder, pooler excepted.

        Args:
            in_parts: whether gradients of several parts of a batch are added up. With bfloat16 those of the matrices
                are then float32: a sum in bfloat16 has 8 bits, and would lose more with each part. Each part's own are
                bfloat16 as ever.
            joins: whether they lie one after another in memory, as `joined_gradients`.
        """
        self.workspace.prepare_gradients(in_parts=in_parts, joins=joins)

    def forward(self, batch: Batch, *, seed: int | None = None, first_only: bool = False, keep: bool = False) -> Tensor:
        """Encodes a packed batch.

        Args:
            batch: on the CPU; with what the layers below `starts_at` gave, where there are any.
            seed: of dropout, 64 bits; None drops nothing.
            first_only: whether only the first token of each sequence is wanted: the last layer then computes no other.
            keep: whether `backward` follows.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`; float32.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        assert not (keep and self.prepacked), "a pass with packed matrices has no backward pass"
        assert (batch.lower_states is None) == (self.workspace.starts_at is None), (
            "lower states do not go with this pass"
        )
        if batch.lower_states is None:
            self.encoder.embeddings.check_ids(batch)
        self.passes += 1
        shape = shape_of(batch, first_only=first_only, keep=keep, drops=seed is not None)
        plan = self._plans.get(shape)
        if plan is None:
            self._current = None  # where buffers grow, it would keep those that were there before
            plan = PassPlan(self.workspace, shape)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[shape] = plan
        self._current = plan
        return plan.forward(batch, seed)

    def backward(self, gradient: Tensor, *, accumulate: bool = False) -> None:
        """Fills `gradients` and `token_gradient` from the gradient of what the last `forward` returned.

        Args:
            gradient: in the shape of that result.
            accumulate: whether to add to the gradients instead; with bfloat16 only where they were prepared for it.
        """
        plan = self._current
        assert plan is not None
        assert plan.shape.keep, "forward was not told to keep what backward needs"
        assert not accumulate or self.dtype == torch.float32 or self.workspace.part_gradients, (
            "prepared for one part alone"
        )
        if not accumulate and self.token_gradient is not None:
            self.token_gradient.clear(self.rows_of_step)
        plan.backward(gradient, accumulate=accumulate)

    def _forget_plans(self) -> None:
        self._plans.clear()


class PassPlan:
    """The calls of both passes for batches of one shape, from the ids to the hidden states and back.

    Args:
        workspace: its buffers, weights and gradients.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, shape: Shape) -> None:
        self.workspace = workspace
        self.shape = shape
        workspace.buffer("cu", shape.sequences + 1, dtype=torch.int32)
        self._forward, self._backward = Calls(), dict[bool, Calls]()
        self._below = EmbeddingPlan(workspace, shape) if workspace.starts_at is None else GivenStates(workspace, shape)
        final = workspace.encoder.final_norm
        self._final = None if final is None else FinalNorm(workspace, final)
        self._layers = list(plans_of_layers(workspace, shape))
        hidden = self._below.forward(self._forward)
        for layer in self._layers:
            hidden = layer.forward(self._forward, hidden)
        self._hidden = hidden

    def forward(self, batch: Batch, seed: int | None) -> Tensor:
        """Returns the wanted hidden states, float32."""
        workspace = self.workspace
        workspace.tokens.value = batch.layout.num_tokens
        self._below.take(batch)
        workspace.cu[: len(batch) + 1].copy_(batch.layout.cu_seqlens)
        if seed is not None:
            workspace.set_seeds(seed)
        self._forward.run()
        hidden = self._hidden[: len(batch) if self.shape.first_only else batch.layout.num_tokens]
        if self._final is not None:
            return self._final.forward(hidden.float())
        return hidden.float() if hidden.dtype != torch.float32 else hidden.clone()

    def backward(self, gradient: Tensor, *, accumulate: bool) -> None:
        """Fills the gradients."""
        if accumulate not in self._backward:
            self._backward[accumulate] = self._add_backward(gradient.shape[1], accumulate=accumulate)
        if self._final is not None:
            gradient = self._final.backward(gradient, accumulate=accumulate)
        self._incoming[: len(gradient)].copy_(gradient)
        self._incoming[len(gradient) :].zero_()  # where it goes into a product as it is
        self._backward[accumulate].run()
        self._below.add_up_token_rows()

    def _add_backward(self, h: int, *, accumulate: bool) -> Calls:
        calls, rows = Calls(), self.shape.sequences if self.shape.first_only else self.shape.padded
        self._incoming = self.workspace.buffer("gradient", rows, h)
        first: Tensor
        second: Tensor | None
        first, second = self._incoming, None
        seen = set[int]()
        for layer in reversed(self._layers):
            # Layers may share their weights: the gradients of one that comes again are added to those it has.
            again = accumulate or layer.stored in seen
            first, second = layer.backward(calls, first, second, accumulate=again)
            self.workspace.add_parts(calls, f"layers.{layer.stored}.", accumulate=again)
            seen.add(layer.stored)
        self._below.backward(calls, first, second, accumulate=accumulate)
        return calls
