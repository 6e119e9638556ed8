"""A layer to whose attention distances add, by compiled kernels: numbers, or vectors that contents meet."""

from abc import abstractmethod

import torch
from torch import Tensor

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.encoder_layer import LayerPlan
from bertune.kernels.interface import RelativeAttention, pointer
from bertune.kernels.workspace import Workspace
from bertune.nn.layer import TransformerLayer

# Numbers of probabilities that a layer keeps, at most, so that its backward pass need not compute them again: 16 MB.
_MOST_KEPT = 1 << 22


class RelativeLayerPlan(LayerPlan):
    """Adds the calls of such a layer. In the last one only first tokens ask, where no others are wanted."""

    def __init__(self, workspace: Workspace, layer: TransformerLayer, index: int, shape: Shape) -> None:
        super().__init__(workspace, layer, index, shape)
        self.is_last = index + 1 == len(workspace.encoder.layers_in_order)
        self.first_only = shape.first_only and self.is_last
        if self.first_only:
            self.rows = self.padded = shape.sequences
        self.places = self.kernels.distance_places(shape.longest)

    @abstractmethod
    def _rows_with_distances(self, calls: Calls, x: Tensor) -> Tensor:
        """Returns what queries, keys and values are made of: tokens, and what lies behind them for distances."""

    @abstractmethod
    def _distance_fields(self) -> dict[str, Tensor | int]:
        """Returns what the kernel is to know of distances, and where their gradients go."""

    @abstractmethod
    def _distances_backward(self, calls: Calls, behind: Tensor, *, accumulate: bool) -> None:
        """Adds the way back from the gradients of the distances; `behind` is that of the rows behind the tokens."""

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        shape, h = self.shape, x.shape[1]
        self.given = self._rows_with_distances(calls, x)
        self.qkv = self._product(calls, "qkv", self.given, "attention.qkv.weight")
        context = self._buffer("context", self.padded, h)
        d = h // self.heads
        size = self.kernels.attention_scratch(shape.longest, d) + self.kernels.distance_room(shape.longest)
        self.fields: dict[str, Tensor | int] = {
            "bias": self.layer.attention.qkv.bias,
            "out": context,
            "lse": self._buffer("lse", self.heads, shape.padded, dtype=torch.float32),
            "cu": self.workspace.cu,
            "scratch": self.workspace.scratch(size),
            "sequences": shape.sequences,
            "heads": self.heads,
            "d": d,
            "padded": shape.padded,
            "max_length": shape.longest,
            "first_only": int(self.first_only),
            **self._kept(),
            **self._distance_fields(),
        }
        calls.add(
            self.kernels.relative_attention_forward,
            *(self.qkv, self._structure(calls, self.fields), self.workspace.tokens),
            *(*self._draw_attention(), self.workspace.threads),
        )
        if not self.first_only:
            return context, x
        first_rows = self._buffer("first_rows", self.padded, h)
        calls.add_operation(torch.index_select, x, 0, self.workspace.cu[: shape.sequences], out=first_rows)
        return context, first_rows

    def _attend_backward(
        self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        h, shape = d_context.shape[1], self.shape
        dqkv = self.workspace.buffer("dqkv", len(self.given), 3 * h)
        fields: dict[str, Tensor | int] = {
            "dout": d_context,
            "dqkv": dqkv,
            "dbias": self._gradient("attention.qkv.bias"),
            "parts": self.workspace.parts(3 * h),
        }
        calls.add(
            self.kernels.relative_attention_backward,
            *(self.qkv, self._structure(calls, self.fields | fields), self.workspace.tokens, accumulate),
            *(*self._draw_attention(), self.workspace.threads),
        )
        if not self.passes_on:
            self._add_weight_gradient(calls, dqkv, self.given, "attention.qkv.weight", accumulate=accumulate)
            return dx, None
        given = self._product_backward(calls, "dx2", dqkv, self.given, "attention.qkv.weight", accumulate=accumulate)
        if self.workspace.starts_at is None:  # else the distances do not train either
            # All layers read the same distances: the last one, which is the first on the way back, begins their sums.
            self._distances_backward(calls, given[shape.padded :], accumulate=accumulate or not self.is_last)
        dx2 = given[: shape.padded]
        if not self.first_only:
            return dx2, dx
        calls.add_operation(dx2.index_add_, 0, self.workspace.cu[: shape.sequences], dx)
        return dx2, None

    def _kept(self) -> dict[str, Tensor | int]:
        """Returns room for probabilities: for every token that asks, as many as the longest sequence has tokens."""
        shape = self.shape
        if not shape.keep or self.heads * shape.padded * shape.longest > _MOST_KEPT:
            return {}
        return {"kept": self._buffer("kept", self.heads, shape.padded, shape.longest, dtype=torch.float32)}

    def _structure(self, calls: Calls, fields: dict[str, Tensor | int]) -> RelativeAttention:
        calls.keep(*(value for value in fields.values() if isinstance(value, Tensor)))
        return RelativeAttention(
            **{name: pointer(value) if isinstance(value, Tensor) else value for name, value in fields.items()}
        )

    def _gradients_of_heads(self, size: int) -> Tensor:
        """Returns room for the gradients of distances, a row a head and a row a thread."""
        rows = self.heads + self.workspace.threads
        return self.workspace.buffer("relative.gradients", rows, size, dtype=torch.float32)
