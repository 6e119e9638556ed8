"""A last layer of which only the first token of each sequence is wanted, by compiled kernels."""

import torch
from torch import Tensor

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.encoder_layer import LayerPlan
from bertune.kernels.interface import FirstAttention, pointer
from bertune.kernels.workspace import Workspace
from bertune.nn.layer import TransformerLayer


class FirstOnlyLayerPlan(LayerPlan):
    """The same for a last layer of which only the first token of each sequence is wanted."""

    def __init__(self, workspace: Workspace, layer: TransformerLayer, index: int, shape: Shape) -> None:
        super().__init__(workspace, layer, index, shape)
        self.rows = self.padded = shape.sequences

    def _attend(self, calls: Calls, x: Tensor) -> tuple[Tensor, Tensor]:
        sequences, h = self.shape.sequences, x.shape[1]
        qkv = self.layer.attention.qkv
        context, first_rows = (self._buffer(name, sequences, h) for name in ("context", "first_rows"))
        self.fields: dict[str, Tensor] = {
            "x": x, "weight": qkv.weight, "bias": qkv.bias, "cu": self.workspace.cu, "out": context, "rows": first_rows,
            **{name: self._wide(name, sequences, h) for name in ("first", "q")},
            **{name: self._wide(name, sequences, self.heads * h) for name in ("keyed", "mixed")},
            "weights": self._wide("weights", self.heads, self.shape.padded),
            "totals": self._wide("totals", sequences, self.heads),
            "scratch": self.workspace.scratch(
                self.kernels.first_attention_scratch(self.shape.longest, self.heads, h)
            ),
        }  # fmt: skip
        arguments = self._structure(calls, self.fields)
        calls.add(
            self.kernels.first_attention_forward,
            *(arguments, self.workspace.tokens, *self._draw_attention(), self.workspace.threads),
        )
        return context, first_rows

    def _attend_backward(
        self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        sequences, h = d_context.shape
        into = self.workspace.buffer("dx_of_all", self.shape.padded, h)
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
            *(arguments, self.workspace.tokens, accumulate, *self._draw_attention(), self.workspace.threads),
        )
        return into, None

    def _wide(self, name: str, *shape: int) -> Tensor:
        return self.workspace.buffer(f"first.{name}", *shape, dtype=torch.float32)

    def _structure(self, calls: Calls, fields: dict[str, Tensor]) -> FirstAttention:
        calls.keep(*fields.values())
        d = self.workspace.encoder.config.hidden_size // self.heads
        return FirstAttention(
            **{name: pointer(tensor) for name, tensor in fields.items()},
            sequences=self.shape.sequences,
            heads=self.heads,
            d=d,
            padded=self.shape.padded,
            max_length=self.shape.longest,
        )
