"""One layer that normalizes what its parts take, by compiled kernels, forward and backward, as ModernBERT has it."""

from ctypes import c_long
from functools import cache

import torch
from torch import Tensor

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.interface import ACTIVATION_CODES, NO_DROPOUT
from bertune.kernels.layer_calls import LayerCalls
from bertune.kernels.prepacked import LatestProduct
from bertune.kernels.workspace import Workspace
from bertune.nn.norm import Norm
from bertune.nn.pre_norm_layer import PreNormLayer
from bertune.nn.rotary import half_tables
from bertune.nn.rotary_attention import RotaryAttention

# Places of a layer that draw dropout; each has a number.
_ATTENTION, _ATTENDED, _GATED = 1, 2, 3
_NO_MATRIX = (None, None, None, None)


class PreNormLayerPlan(LayerCalls):
    """Adds the calls of one layer: the four products, and the kernels between them.

    Args:
        workspace: its buffers, weights and gradients.
        layer: whose parameters are read.
        index: of the layer.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, layer: PreNormLayer, index: int, shape: Shape) -> None:
        super().__init__(workspace, layer, index, shape)
        assert isinstance(layer.attention, RotaryAttention)
        self.layer = layer
        self.attention = layer.attention
        self.heads = layer.attention.num_heads
        self.head_size = workspace.encoder.config.hidden_size // self.heads
        self.kind = ACTIVATION_CODES[workspace.encoder.config.hidden_act]
        self.asking = shape.longest  # queries of each sequence

    def forward(self, calls: Calls, x: Tensor) -> Tensor:
        """Maps (padded tokens, hidden_size) to the same."""
        context, residual = self._attend(calls, x)
        self.context = context
        attended = self._product(calls, "attended", context, "attention.output.weight")
        self.middle, self.taken, self.statistics = self._add_norm(
            calls, "middle", (attended, residual), self.layer.feed_forward_norm
        )
        self.widened = self._product(calls, "widened", self.taken, "feed_forward.input_and_gate.weight")
        width = self.layer.feed_forward.output.in_features
        self.gated = self._buffer("gated", self.padded, width)
        calls.add(
            self.kernels.gate_forward,
            *(self.widened, self.layer.feed_forward.input_and_gate.bias, self.gated),
            *(self.rows, self.padded, width, self.kind, *self._draw_gated(), self.workspace.threads),
        )
        narrowed = self._product(calls, "narrowed", self.gated, "feed_forward.output.weight")
        out = self._buffer("out", self.padded, x.shape[1])
        calls.add(
            self.kernels.add_norm_forward,
            *(narrowed, self.layer.feed_forward.output.bias, self.middle, None, None, 0.0, out, None, None, None),
            *(self.rows, self.padded, x.shape[1], *NO_DROPOUT, self.workspace.threads),
        )
        return out

    def backward(
        self, calls: Calls, first: Tensor, second: Tensor | None, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Maps the gradient of the output to that of the input."""
        assert second is None  # what such a layer gives is the residual of the next
        bias = self._gradient_of_bias("feed_forward.output")
        if bias is not None:
            calls.add(
                self.kernels.add_norm_backward,
                *(first, *_NO_MATRIX, None, None, None, None, None, bias, self.workspace.parts(3 * first.shape[1])),
                *(accumulate, self.rows, self.padded, first.shape[1], *NO_DROPOUT, self.workspace.threads),
            )
        d_gated = self._product_backward(
            calls, "d_gated", first, self.gated, "feed_forward.output.weight", accumulate=accumulate
        )
        width = d_gated.shape[1]
        d_widened = self.workspace.buffer("d_widened", self.padded, 2 * width)
        calls.add(
            self.kernels.gate_backward,
            *(d_gated, self.widened, self.layer.feed_forward.input_and_gate.bias, d_widened),
            *(self._gradient_of_bias("feed_forward.input_and_gate"), self.workspace.parts(2 * width), accumulate),
            *(self.rows, self.padded, width, self.kind, *self._draw_gated(), self.workspace.threads),
        )
        d_taken = self._product_backward(
            calls, "d_taken", d_widened, self.taken, "feed_forward.input_and_gate.weight", accumulate=accumulate
        )
        d_attended, d_middle = self._middle_backward(calls, first, d_taken, accumulate=accumulate)
        d_context = self._product_backward(
            calls, "d_context", d_attended, self.context, "attention.output.weight", accumulate=accumulate
        )
        return self._attend_backward(calls, d_context, d_middle, accumulate=accumulate), None

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        """Adds attention; returns what it gives, and what is to be added to it as the residual."""
        self.x, h, norm = x, x.shape[1], self.layer.attention_norm
        self.normalized = x
        self.norm_statistics: tuple[Tensor | None, Tensor | None] = None, None
        if norm is not None:
            _, self.normalized, self.norm_statistics = self._add_norm(calls, "x", (None, x), norm)
        self.qkv = self._product(calls, "qkv", self.normalized, "attention.qkv.weight")
        calls.add(
            self.kernels.rotate_forward,
            *(self.qkv, self.attention.qkv.bias, *self._tables(), self.workspace.cu),
            *(self.heads, self.head_size, self.workspace.tokens, self.workspace.threads),
        )
        context = self._buffer("context", self.shape.padded, h)
        self.lse = self._buffer("lse", self.heads, self.shape.padded, dtype=torch.float32)
        calls.add(
            self.kernels.window_attention_forward,
            *(self.qkv, context, self.lse, self.shape.padded, self.workspace.cu, *self._attention_sizes()),
            *(self._scratch(), *self._draw_attention(), self.workspace.threads),
        )
        self.attended_to = context
        return context, x

    def _attend_backward(self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool) -> Tensor:
        h = d_context.shape[1]
        dqkv = self.workspace.buffer("dqkv", self.shape.padded, 3 * h)
        calls.add(
            self.kernels.window_attention_backward,
            *(self.qkv, self.attended_to, d_context, self.lse, self.shape.padded, dqkv, self.workspace.cu),
            *(*self._attention_sizes(), self._scratch(), *self._draw_attention(), self.workspace.threads),
        )
        calls.add(
            self.kernels.rotate_backward,
            *(dqkv, self._gradient_of_bias("attention.qkv"), *self._tables(), self.workspace.cu),
            *(self.workspace.parts(3 * h), accumulate),
            *(self.heads, self.head_size, self.workspace.tokens, self.workspace.threads),
        )
        d_normalized = self._product_backward(
            calls, "d_normalized", dqkv, self.normalized, "attention.qkv.weight", accumulate=accumulate
        )
        into = self.workspace.buffer("dx", self.shape.padded, h)
        norm = self.layer.attention_norm
        gradients = (None, None) if norm is None else self._gradients_of_norm("attention_norm")
        calls.add(
            self.kernels.add_norm_backward,
            *(dx, d_normalized, self.x, None if norm is None else norm.weight, *self.norm_statistics),
            *(None, into, *gradients, None, self.workspace.parts(3 * h), accumulate),
            *(self.workspace.tokens, self.shape.padded, h, *NO_DROPOUT, self.workspace.threads),
        )
        return into

    def _middle_backward(
        self, calls: Calls, first: Tensor, d_taken: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor]:
        """Adds the norm between attention and feed-forward; returns the gradients of attention and of its residual."""
        h, draw = first.shape[1], self._draw_attended()
        d_middle = self.workspace.buffer("d_middle", self.padded, h)
        # Where nothing is dropped, both are the same.
        d_attended = self.workspace.buffer("d_attended", self.padded, h) if draw[0] else None
        calls.add(
            self.kernels.add_norm_backward,
            *(first, d_taken, self.middle, self.layer.feed_forward_norm.weight, *self.statistics),
            *(d_attended, d_middle, *self._gradients_of_norm("feed_forward_norm")),
            *(self._gradient_of_bias("attention.output"), self.workspace.parts(3 * h), accumulate),
            *(self.rows, self.padded, h, *draw, self.workspace.threads),
        )
        return d_middle if d_attended is None else d_attended, d_middle

    def _add_norm(
        self, calls: Calls, name: str, added: tuple[Tensor | LatestProduct | None, Tensor], norm: Norm
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Adds a sum, of one or two, and its norm; returns both, and the rows' means and inverse deviations."""
        x, residual = added
        h = residual.shape[1]
        rows, padded = (self.workspace.tokens, self.shape.padded) if x is None else (self.rows, self.padded)
        total = residual if x is None else self._buffer(name, padded, h)
        out = self._buffer(f"{name}.norm", padded, h)
        mean = self._buffer(f"{name}.mean", padded, dtype=torch.float32)
        rstd = self._buffer(f"{name}.rstd", padded, dtype=torch.float32)
        bias, draw = (None, NO_DROPOUT) if x is None else (self.layer.attention.output.bias, self._draw_attended())
        calls.add(
            self.kernels.add_norm_forward,
            *(x, bias, residual, norm.weight, norm.bias, norm.eps, total, out, mean, rstd),
            *(rows, padded, h, *draw, self.workspace.threads),
        )
        return total, out, (mean, rstd)

    def _tables(self) -> tuple[Tensor, Tensor]:
        return _tables(self.attention.theta, self.head_size, 1 << (self.shape.longest - 1).bit_length())

    def _reach(self) -> int:
        longest = self.shape.longest
        return longest if self.attention.reach is None else min(self.attention.reach, longest)

    def _attention_sizes(self) -> tuple[int | c_long, ...]:
        shape = self.shape
        sizes = (shape.sequences, self.heads, self.head_size, shape.longest, self._reach(), self.asking)
        return (*sizes, self.workspace.tokens, shape.padded)

    def _scratch(self) -> Tensor:
        size = self.kernels.window_attention_scratch(self.shape.longest, self.head_size, self._reach())
        return self.workspace.scratch(size)

    def _draw_attention(self) -> tuple[object, object]:
        return self._draw(self.attention.dropout.probability, _ATTENTION)

    def _draw_attended(self) -> tuple[object, object]:
        return self._draw(self.layer.dropout.probability, _ATTENDED)

    def _draw_gated(self) -> tuple[object, object]:
        return self._draw(self.layer.feed_forward.dropout.probability, _GATED)

    def _gradient_of_bias(self, name: str) -> Tensor | None:
        has_one = self.layer.get_submodule(name).bias is not None
        return self._gradient(f"{name}.bias") if has_one else None

    def _gradients_of_norm(self, name: str) -> tuple[Tensor, Tensor | None]:
        return self._gradient(f"{name}.weight"), self._gradient_of_bias(name)


class FirstOnlyPreNormLayerPlan(PreNormLayerPlan):
    """The same for a last layer of which only the first token of each sequence is wanted: no other one asks."""

    def __init__(self, workspace: Workspace, layer: PreNormLayer, index: int, shape: Shape) -> None:
        super().__init__(workspace, layer, index, shape)
        self.rows = self.padded = shape.sequences
        self.asking = 1

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        context, residual = super()._attend(calls, x)
        sequences, h = self.shape.sequences, x.shape[1]
        self.first = self.workspace.buffer("first_tokens", sequences, dtype=torch.int64)
        calls.add_operation(self.first.copy_, self.workspace.cu[:sequences])
        of_first = tuple(self._buffer(f"first.{name}", sequences, h) for name in ("context", "residual"))
        for out, values in zip(of_first, (context, residual), strict=True):
            calls.add_operation(torch.index_select, values, 0, self.first, out=out)
        return of_first[0], of_first[1]

    def _attend_backward(self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool) -> Tensor:
        spread = []
        for name, values in (("context", d_context), ("residual", dx)):
            into = self.workspace.buffer(f"first.d_{name}", self.shape.padded, values.shape[1])
            calls.add_zeros(into)
            calls.add_operation(into.index_copy_, 0, self.first, values)
            spread.append(into)
        return super()._attend_backward(calls, spread[0], spread[1], accumulate=accumulate)


@cache
def _tables(theta: float, head_size: int, length: int) -> tuple[Tensor, Tensor]:
    """Makes cosines and sines, (length, head size) each, as the kernels take them."""
    cosines, sines = half_tables(theta, head_size, length, "cpu")
    return torch.cat([cosines, cosines], dim=1), torch.cat([-sines, sines], dim=1)
