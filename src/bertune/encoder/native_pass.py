"""The encoder's forward and backward passes by compiled kernels: what lies between two matrix products is one loop.

It computes what the modules compute, on their parameters, without autograd: the backward pass is written out, works in
buffers that are kept from step to step, and draws dropout's random bits again instead of keeping them.
"""

import math
import weakref
from ctypes import c_long, c_uint64
from typing import cast

import torch
from torch import Tensor

from bertune.ablation import without
from bertune.batches.batch import Batch
from bertune.encoder.dense import rows_of
from bertune.encoder.encoder import Encoder, check_ids
from bertune.encoder.layer import TransformerLayer
from bertune.encoder.native_conditions import check_computable
from bertune.encoder.native_first_layer import FirstOnlyLayerPlan
from bertune.encoder.native_layer import LayerPlan
from bertune.encoder.native_plan import Calls, Shape, shape_of
from bertune.encoder.prepacked import LatestProduct, PackedMatrix, can_prepack
from bertune.encoder.token_gradient import TokenGradient
from bertune.native.build import NotNativeError
from bertune.native.interface import NO_DROPOUT, TURN_MULTIPLE, pointer, threshold_of
from bertune.native.kernels import kernels_for

# Below this, turning a matrix costs more than it saves.
_LEAST_ROWS_TO_TURN = 256
# Shapes whose calls are kept at a time, at most.
_MOST_PLANS = 128


def require_native(encoder: Encoder, dtype: torch.dtype) -> None:
    """Asks for the compiled kernels of an encoder; compiles them where that was not done before.

    Raises:
        NotNativeError: there are none here, or none for such an encoder; says why.
    """
    if without("kernels"):
        raise NotNativeError("compiled kernels are switched off")
    check_computable(encoder)
    kernels_for(dtype)


class NativePass:
    """Runs an encoder by compiled kernels.

    Args:
        encoder: on the CPU, its parameters float32; they are read where they lie, at each pass.
        dtype: of activations and matrix products, bfloat16 or float32. With bfloat16 a copy of each matrix is kept in
            `shadows`; whoever changes the parameters refreshes it.
        prepack: whether to lay out each matrix for its product instead, where that can be had: worth it for many
            tokens. There is no backward pass then, and the parameters must not change.

    Raises:
        NotNativeError: there are no kernels here, or none for such sizes.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype, *, prepack: bool = False) -> None:
        require_native(encoder, dtype)
        self.encoder = encoder
        self.dtype = dtype
        self.kernels = kernels_for(dtype)
        self.threads = torch.get_num_threads()
        self.passes = 0
        self.prepacked = prepack and can_prepack(dtype)
        self.product = LatestProduct()
        self.shadows: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        # Of one part of a batch, where parts are added up in another type than they are computed in.
        self.part_gradients: dict[str, Tensor] = {}
        self.token_gradient: TokenGradient | None = None
        # What calls read anew for each batch, besides buffers.
        self.tokens = c_long()
        self._seeds: dict[int, c_uint64] = {}
        self._packed: dict[str, PackedMatrix] = {}
        self._buffers: dict[str, Tensor] = {}
        self._plans: dict[Shape, PassPlan] = {}
        self._current: PassPlan | None = None
        self.refresh_shadows()

    def refresh_shadows(self) -> None:
        """Copies the matrices to the type of the activations; nothing to do for float32 or where they are packed."""
        if self.dtype == torch.float32 or self.prepacked:
            return
        for name, parameter in self.encoder.layers.named_parameters():
            if parameter.dim() == 2:
                if name not in self.shadows:
                    self.shadows[name] = torch.empty_like(parameter, dtype=self.dtype)
                self.shadows[name].copy_(parameter.detach())

    def matrix(self, name: str, parameter: Tensor) -> Tensor:
        """Returns a weight in the type of the activations."""
        return parameter.detach() if self.dtype == torch.float32 else self.shadows[name]

    def packed(self, name: str, parameter: Tensor) -> PackedMatrix:
        """Returns a weight laid out for its product, as it was when it was first asked for."""
        if name not in self._packed:
            self._packed[name] = PackedMatrix(parameter.detach().to(self.dtype))
        return self._packed[name]

    def prepare_gradients(self, *, in_parts: bool = False) -> None:
        """Makes the buffers that `backward` fills, under the parameters' names in the encoder, pooler excepted.

        Args:
            in_parts: whether gradients of several parts of a batch are added up. With bfloat16 those of the matrices
                are then float32: a sum in bfloat16 has 8 bits, and would lose more with each part. Each part's own are
                bfloat16 as ever.
        """
        for name, parameter in self.encoder.named_parameters():
            if name.startswith("pooler.") or name == "embeddings.token.weight":
                continue
            narrow = parameter.dim() == 2 and name.startswith("layers.") and self.dtype != torch.float32
            one_part = torch.zeros_like(parameter, dtype=self.dtype if narrow else torch.float32)
            if narrow and in_parts:
                self.part_gradients[name] = one_part
            self.gradients[name] = torch.zeros_like(parameter) if narrow and in_parts else one_part
        table = self.encoder.embeddings.token.weight
        self.token_gradient = TokenGradient(*table.shape)

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Returns a tensor of a shape on memory that is kept under a name; its content is what was left there."""
        dtype = dtype or self.dtype
        size = math.prod(shape)
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < size:
            kept = self._buffers[name] = torch.empty(size + size // 8, dtype=dtype)
            self._plans.clear()  # they would keep the memory that was there before
        return kept[:size].view(shape)

    def forward(self, batch: Batch, *, seed: int | None = None, first_only: bool = False, keep: bool = False) -> Tensor:
        """Encodes a packed batch.

        Args:
            batch: on the CPU.
            seed: of dropout, 64 bits; None drops nothing.
            first_only: whether only the first token of each sequence is wanted: the last layer then computes no other.
            keep: whether `backward` follows.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`; float32.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        assert not (keep and self.prepacked), "a pass with packed matrices has no backward pass"
        check_ids(batch, self.encoder.config)
        self.passes += 1
        shape = shape_of(batch, first_only=first_only, keep=keep, drops=seed is not None)
        plan = self._plans.get(shape)
        if plan is None:
            self._current = None  # where buffers grow, it would keep those that were there before
            plan = PassPlan(self, shape)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[shape] = plan
        self._current = plan
        hidden = plan.forward(batch, seed)[: len(batch) if first_only else batch.layout.num_tokens]
        return hidden.float() if self.dtype != torch.float32 else hidden.clone()

    def backward(self, gradient: Tensor, *, accumulate: bool = False) -> None:
        """Fills `gradients` and `token_gradient` from the gradient of what the last `forward` returned.

        Args:
            gradient: in the shape of that result.
            accumulate: whether to add to the gradients instead; with bfloat16 only where they were prepared for it.
        """
        plan = self._current
        assert plan is not None
        assert plan.shape.keep, "forward was not told to keep what backward needs"
        assert not accumulate or self.dtype == torch.float32 or self.part_gradients, "prepared for one part alone"
        if not accumulate and self.token_gradient is not None:
            self.token_gradient.clear()
        plan.backward(gradient, accumulate=accumulate)
        for name, part in self.part_gradients.items():
            if accumulate:
                self.gradients[name].add_(part)
            else:
                self.gradients[name].copy_(part)

    def gradient_of_part(self, name: str) -> Tensor:
        """Returns where a part's gradient of a parameter is written; in float32 it may be added to what is there."""
        return self.part_gradients.get(name, self.gradients[name])

    @property
    def cu(self) -> Tensor:
        """(sequences + 1,) where each sequence of the batch starts, and the end of the last."""
        return self._buffers["cu"]

    def draw(self, shape: Shape, probability: float, site: int) -> tuple[int, int | c_uint64]:
        """Returns the dropout of a place in the encoder as a kernel takes it: how much it drops, and its seed.

        Places have numbers, so that each draws bits of its own. The seed is another one in each pass.
        """
        if not shape.drops or probability == 0:
            return NO_DROPOUT
        return threshold_of(probability), self._seeds.setdefault(site, c_uint64())

    def set_seeds(self, seed: int) -> None:
        """Sets the seed of each place from that of a pass."""
        for site, number in self._seeds.items():
            number.value = (seed + site * 0x9E3779B97F4A7C15) % (1 << 64)

    def add_weight_gradient(self, calls: Calls, into: Tensor, g: Tensor, x: Tensor, *, accumulate: bool) -> None:
        """Adds the gradient of a weight to the calls: (outputs, inputs) = g turned, times x.

        It is added to what is there only in float32; what is narrower is a part's own (see `prepare_gradients`).
        """
        turned = g.t()
        rows, columns = g.shape
        fits = rows >= _LEAST_ROWS_TO_TURN and not (rows | columns) % TURN_MULTIPLE
        if g.dtype == torch.bfloat16 and fits:
            turned = self.buffer("turned", columns, rows)
            calls.add(self.kernels.turn16, g, turned, rows, columns, self.threads)
        calls.add_product(into, turned, x, accumulate=accumulate and into.dtype == torch.float32)

    def parts(self, width: int) -> Tensor:
        """Returns room for partial sums, a row a thread."""
        return self.buffer("parts", self.threads, width, dtype=torch.float32)

    def scratch(self, size: int) -> Tensor:
        """Returns room for the numbers that each thread works on."""
        return self.buffer("scratch", self.threads, size, dtype=torch.float32)


class PassPlan:
    """The calls of both passes for batches of one shape, from the ids to the hidden states and back.

    Args:
        owner: its buffers, weights and gradients.
        shape: of the batches.
    """

    def __init__(self, owner: NativePass, shape: Shape) -> None:
        # The owner has its plans and they it only by proxy: without a cycle its memory is free as soon as it is.
        owner = self.owner = cast("NativePass", weakref.proxy(owner))
        self.shape = shape
        encoder = owner.encoder
        self._ids = owner.buffer("ids", 3, shape.padded, dtype=torch.int32)
        owner.buffer("cu", shape.sequences + 1, dtype=torch.int32)
        self._forward, self._backward = Calls(), dict[bool, Calls]()
        layers = [layer for layer in encoder.layers if isinstance(layer, TransformerLayer)]
        kinds = [LayerPlan] * (len(layers) - 1) + [FirstOnlyLayerPlan if shape.first_only else LayerPlan]
        self._layers = [
            kind(owner, layer, index, shape) for index, (kind, layer) in enumerate(zip(kinds, layers, strict=True))
        ]
        hidden = self._embed(self._forward)
        for layer in self._layers:
            hidden = layer.forward(self._forward, hidden)
        self._hidden = hidden

    def forward(self, batch: Batch, seed: int | None) -> Tensor:
        """Returns the hidden states, in a buffer, with rows behind the batch's."""
        owner = self.owner
        tokens = owner.tokens.value = batch.layout.num_tokens
        rows = rows_of(owner.encoder.embeddings.token, batch.token_ids)
        for into, ids in zip(self._ids, (rows, batch.position_ids, batch.token_type_ids), strict=True):
            into[:tokens].copy_(ids)
        owner.cu[: len(batch) + 1].copy_(batch.layout.cu_seqlens)
        if seed is not None:
            owner.set_seeds(seed)
        self._forward.run()
        return self._hidden

    def backward(self, gradient: Tensor, *, accumulate: bool) -> None:
        """Fills the gradients."""
        if accumulate not in self._backward:
            self._backward[accumulate] = self._add_backward(gradient.shape[1], accumulate=accumulate)
        self._incoming[: len(gradient)].copy_(gradient)
        self._backward[accumulate].run()
        self._add_up_token_rows()

    def _add_backward(self, h: int, *, accumulate: bool) -> Calls:
        calls, rows = Calls(), self.shape.sequences if self.shape.first_only else self.shape.padded
        self._incoming = self.owner.buffer("gradient", rows, h)
        first: Tensor
        second: Tensor | None
        first, second = self._incoming, None
        for layer in reversed(self._layers):
            first, second = layer.backward(calls, first, second, accumulate=accumulate)
        self._embed_backward(calls, first, second, accumulate=accumulate)
        return calls

    def _embed(self, calls: Calls) -> Tensor:
        owner, padded = self.owner, self.shape.padded
        e, h = owner.encoder.embeddings, owner.encoder.config.hidden_size
        out = owner.buffer("embedded", padded, h)
        self._statistics = tuple(
            owner.buffer(f"embedded.{name}", padded, dtype=torch.float32) for name in ("mean", "rstd")
        )
        calls.add(
            owner.kernels.embed_forward,
            *(*self._ids, e.token.weight, e.position.weight, e.token_type.weight, e.norm.weight, e.norm.bias),
            *(e.norm.eps, out, *self._statistics, owner.tokens, padded, h),
            *(*owner.draw(self.shape, e.dropout.probability, 0), owner.threads),
        )
        return out

    def _embed_backward(self, calls: Calls, first: Tensor, second: Tensor | None, *, accumulate: bool) -> None:
        owner = self.owner
        e, h, gradients = owner.encoder.embeddings, owner.encoder.config.hidden_size, owner.gradients
        self._sums = owner.buffer("embedded.sums", self.shape.padded, h, dtype=torch.float32)
        calls.add(
            owner.kernels.embed_backward,
            *(*self._ids, e.token.weight, e.position.weight, e.token_type.weight, e.norm.weight),
            *(*self._statistics, first, second, self._sums),
            *(gradients["embeddings.norm.weight"], gradients["embeddings.norm.bias"], owner.parts(2 * h)),
            *(accumulate, owner.tokens, h, *owner.draw(self.shape, e.dropout.probability, 0), owner.threads),
        )
        for rows, name in zip(self._ids[1:], ("position", "token_type"), strict=True):
            into = gradients[f"embeddings.{name}.weight"]
            if not accumulate:
                calls.add_zeros(into)
            calls.add(owner.kernels.scatter_rows, rows, self._sums, into, owner.tokens, h, owner.threads)

    def _add_up_token_rows(self) -> None:
        """Adds the gradient of each token to that of its row; where the rows' gradients lie may change each time."""
        owner = self.owner
        assert owner.token_gradient is not None
        places = owner.buffer("places", self.shape.padded, dtype=torch.int32)
        owner.token_gradient.give_places(owner.kernels, self._ids[0], owner.tokens.value, places)
        into = owner.token_gradient.values
        owner.kernels.scatter_rows(
            *(pointer(tensor) for tensor in (places, self._sums, into)), owner.tokens, into.shape[1], owner.threads
        )
