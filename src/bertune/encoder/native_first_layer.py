"""A last layer of which only the first token of each sequence is wanted, by compiled kernels."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bertune.encoder.layer import TransformerLayer
from bertune.encoder.native_layer import LayerPlan
from bertune.encoder.native_plan import Calls, Shape
from bertune.native.interface import FirstAttention, pointer

if TYPE_CHECKING:
    from bertune.encoder.native_pass import NativePass


class FirstOnlyLayerPlan(LayerPlan):
    """The same for a last layer of which only the first token of each sequence is wanted."""

    def __init__(self, owner: "NativePass", layer: TransformerLayer, index: int, shape: Shape) -> None:
        super().__init__(owner, layer, index, shape)
        self.rows = self.padded = shape.sequences

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        sequences, h = self.shape.sequences, x.shape[1]
        qkv = self.layer.attention.qkv
        context, first_rows = (self._buffer(name, sequences, h) for name in ("context", "first_rows"))
        self.fields: dict[str, Tensor] = {
            "x": x, "weight": qkv.weight, "bias": qkv.bias, "cu": self.owner.cu, "out": context, "rows": first_rows,
            **{name: self._wide(name, sequences, h) for name in ("first", "q")},
            **{name: self._wide(name, sequences, self.heads * h) for name in ("keyed", "mixed")},
            "weights": self._wide("weights", self.heads, self.shape.padded),
            "totals": self._wide("totals", sequences, self.heads),
            "scratch": self.owner.scratch(
                self.kernels.first_attention_scratch(self.shape.longest, self.heads, h)
            ),
        }  # fmt: skip
        arguments = self._structure(calls, self.fields)
        calls.add(
            self.kernels.first_attention_forward,
            *(arguments, self.owner.tokens, *self._draw_attention(), self.owner.threads),
        )
        return context, first_rows

    def _attend_backward(
        self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        sequences, h = d_context.shape
        into = self.owner.buffer("dx_of_all", self.shape.padded, h)
        fields = {
            "dout": d_context,
            "dresidual": dx,
            "dx": into,
            "dweight": self._gradient("attention.qkv.weight"),
            "dbias": self._gradient("attention.qkv.bias"),
            "dtotals": self._wide("dtotals", sequences, self.heads),
            **{name: self._wide(name, sequences, h) for name in ("g", "dq", "dfirst")},
            **{name: self._wide(name, sequences, self.heads * h) for name in ("dkeyed", "dmixed")},
        }
        arguments = self._structure(calls, self.fields | fields)
        calls.add(
            self.kernels.first_attention_backward,
            *(arguments, self.owner.tokens, accumulate, *self._draw_attention(), self.owner.threads),
        )
        return into, None

    def _wide(self, name: str, *shape: int) -> Tensor:
        return self.owner.buffer(f"first.{name}", *shape, dtype=torch.float32)

    def _structure(self, calls: Calls, fields: dict[str, Tensor]) -> FirstAttention:
        calls.keep(*fields.values())
        d = self.owner.encoder.config.hidden_size // self.heads
        return FirstAttention(
            **{name: pointer(tensor) for name, tensor in fields.items()},
            sequences=self.shape.sequences,
            heads=self.heads,
            d=d,
            padded=self.shape.padded,
            max_length=self.shape.longest,
        )
