"""One transformer layer by compiled kernels, forward and backward, for batches of one shape."""

from ctypes import c_long
from typing import NamedTuple

import torch
from torch import Tensor

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.distances import rows_behind
from bertune.kernels.interface import ACTIVATION_CODES
from bertune.kernels.layer_calls import LayerCalls
from bertune.kernels.prepacked import LatestProduct
from bertune.kernels.workspace import Workspace
from bertune.nn.layer import TransformerLayer

# Places of a layer that draw dropout; each has a number.
_ATTENTION, _ATTENDED, _NARROWED = 1, 2, 3


class _NormKept(NamedTuple):
    """What the backward pass of a norm needs of its forward pass."""

    x: Tensor | LatestProduct
    residual: Tensor
    mean: Tensor
    rstd: Tensor


class LayerPlan(LayerCalls):
    """Adds the calls of one layer: the four products, and the kernels between them.

    Args:
        workspace: its buffers, weights and gradients.
        layer: whose parameters are read.
        index: of the layer.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, layer: TransformerLayer, index: int, shape: Shape) -> None:
        super().__init__(workspace, layer, index, shape)
        self.layer = layer
        self.heads = layer.attention.num_heads
        self.kind = ACTIVATION_CODES[workspace.encoder.config.hidden_act]
        self.behind = rows_behind(workspace.encoder, shape)

    def forward(self, calls: Calls, x: Tensor) -> Tensor:
        """Maps (padded tokens, hidden_size) to the same."""
        layer = self.layer
        self.x = x
        context, self.residual = self._attend(calls, x)
        self.context = context
        self.attended = self._product(calls, "attended", context, "attention.output.weight")
        attention_bias, output_bias = layer.attention.output.bias, layer.feed_forward.output.bias
        self.y, self.norm1 = self._norm(
            calls, "y", self.attended, attention_bias, self.residual, layer.attention_norm, _ATTENDED
        )
        self.widened = self._product(calls, "widened", self.y, "feed_forward.intermediate.weight")
        width = len(layer.feed_forward.intermediate.weight)
        self.active = self._buffer("active", self.padded, width)
        # The slopes take the place of what they are the slopes at: nothing else needs that again.
        slopes = self.widened if self.shape.keep else None
        calls.add(
            self.kernels.activation_forward,
            *(self.widened, layer.feed_forward.intermediate.bias, self.active, slopes),
            *(self.rows, self.padded, width, self.kind, self.workspace.threads),
        )
        self.narrowed = self._product(calls, "narrowed", self.active, "feed_forward.output.weight")
        out, self.norm2 = self._norm(calls, "out", self.narrowed, output_bias, self.y, layer.output_norm, _NARROWED)
        return out

    def backward(
        self, calls: Calls, first: Tensor, second: Tensor | None, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Maps the gradient of the output, as the sum of two, to that of the input, as the sum of two."""
        h, shared = first.shape[1], self.workspace.buffer
        dz, dy = shared("dz", self.padded, h), shared("dy", self.padded, h)
        self._norm_backward(calls, (first, second), self.norm2, (dz, dy), _NARROWED, accumulate=accumulate)
        d_active = self._product_backward(
            calls, "d_active", dz, self.active, "feed_forward.output.weight", accumulate=accumulate
        )
        width = d_active.shape[1]
        calls.add(
            self.kernels.activation_backward,
            *(d_active, self.widened, self._gradient("feed_forward.intermediate.bias"), self.workspace.parts(width)),
            *(accumulate, self.rows, width, self.workspace.threads),
        )
        dy2 = self._product_backward(
            calls, "dy2", d_active, self.y, "feed_forward.intermediate.weight", accumulate=accumulate
        )
        da, dx = shared("da", self.padded, h), shared("dx", self.padded, h)
        self._norm_backward(calls, (dy, dy2), self.norm1, (da, dx), _ATTENDED, accumulate=accumulate)
        d_context = self._product_backward(
            calls, "d_context", da, self.context, "attention.output.weight", accumulate=accumulate
        )
        return self._attend_backward(calls, d_context, dx, accumulate=accumulate)

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        """Adds attention; returns what it gives, and what is to be added to it as the residual."""
        self.qkv = self._product(calls, "qkv", x, "attention.qkv.weight")
        context = self._buffer("context", self.padded, x.shape[1])
        self.lse = self._buffer("lse", self.heads, self.padded, dtype=torch.float32)
        calls.add(
            self.kernels.attention_forward,
            *(self.qkv, self.layer.attention.qkv.bias, context, self.lse, self.padded, self.workspace.cu),
            *(*self._attention_sizes(), self._scratch(), *self._draw_attention(), self.workspace.threads),
        )
        return context, x

    def _attend_backward(
        self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        h = d_context.shape[1]
        dqkv = self.workspace.buffer("dqkv", self.padded, 3 * h)
        calls.add(
            self.kernels.attention_backward,
            *(self.qkv, self.layer.attention.qkv.bias, d_context, self.lse, self.padded, dqkv),
            *(self._gradient("attention.qkv.bias"), self.workspace.cu, *self._attention_sizes(), self._scratch()),
            *(self.workspace.parts(3 * h), accumulate, *self._draw_attention(), self.workspace.threads),
        )
        if not self.passes_on:
            self._add_weight_gradient(calls, dqkv, self.x, "attention.qkv.weight", accumulate=accumulate)
            return dx, None
        dx2 = self._product_backward(calls, "dx2", dqkv, self.x, "attention.qkv.weight", accumulate=accumulate)
        return dx2, dx

    def _attention_sizes(self) -> tuple[int | c_long, ...]:
        h, shape = self.workspace.encoder.config.hidden_size, self.shape
        return (shape.sequences, self.heads, h // self.heads, 3 * h, h, shape.longest, self.rows, self.padded)

    def _scratch(self) -> Tensor:
        d = self.workspace.encoder.config.hidden_size // self.heads
        return self.workspace.scratch(self.kernels.attention_scratch(self.shape.longest, d))

    def _draw_attention(self) -> tuple[object, object]:
        return self._draw(self.layer.attention.dropout.probability, _ATTENTION)

    def _norm(
        self,
        calls: Calls,
        name: str,
        x: Tensor | LatestProduct,
        bias: Tensor,
        residual: Tensor,
        norm: torch.nn.LayerNorm,
        place: int,
    ) -> tuple[Tensor, _NormKept]:
        h = residual.shape[1]
        # The next layer may want room behind its input.
        out = self._buffer(name, self.padded + self.behind, h)[: self.padded]
        mean = self._buffer(f"{name}.mean", self.padded, dtype=torch.float32)
        rstd = self._buffer(f"{name}.rstd", self.padded, dtype=torch.float32)
        calls.add(
            self.kernels.residual_norm_forward,
            *(x, bias, residual, norm.weight, norm.bias, norm.eps, out, mean, rstd),
            *(self.rows, self.padded, h, *self._draw_hidden(place), self.workspace.threads),
        )
        return out, _NormKept(x, residual, mean, rstd)

    def _norm_backward(
        self,
        calls: Calls,
        gradients: tuple[Tensor, Tensor | None],
        kept: _NormKept,
        results: tuple[Tensor, Tensor],
        place: int,
        *,
        accumulate: bool,
    ) -> None:
        names = {_ATTENDED: ("attention_norm", "attention.output"), _NARROWED: ("output_norm", "feed_forward.output")}
        norm, dense = names[place]
        h = kept.residual.shape[1]
        bias, gamma = self.layer.get_parameter(f"{dense}.bias"), self.layer.get_parameter(f"{norm}.weight")
        sums = (self._gradient(name) for name in (f"{norm}.weight", f"{norm}.bias", f"{dense}.bias"))
        calls.add(
            self.kernels.residual_norm_backward,
            *(*gradients, kept.x, bias, kept.residual, gamma, kept.mean, kept.rstd, *results, *sums),
            *(self.workspace.parts(3 * h), accumulate, self.rows, self.padded, h),
            *(*self._draw_hidden(place), self.workspace.threads),
        )

    def _draw_hidden(self, place: int) -> tuple[object, object]:
        return self._draw(self.layer.dropout.probability, place)
