"""Layer norm whose weights stay fp32 and which returns the type of its input."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class NormOptions:
    """The kind of layer norm that an encoder has throughout.

    Args:
        eps: in the denominator.
        bias: whether something is learned that is added.
    """

    eps: float
    bias: bool = True

    def norm(self, size: int) -> "Norm":
        """Makes a norm of vectors of a size."""
        return Norm(size, eps=self.eps, bias=self.bias)


class Norm(nn.LayerNorm):
    """`torch.nn.LayerNorm` that takes bf16 hidden states with fp32 weights on every device.

    On a CPU the kernel mixes the two by itself, with statistics in fp32; elsewhere it refuses, so there the hidden
    states are widened for it.
    """

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Normalizes the last axis."""
        kind = hidden_states.dtype
        if hidden_states.device.type == "cpu" or kind == self.weight.dtype:
            return super().forward(hidden_states)
        return F.layer_norm(hidden_states.float(), self.normalized_shape, self.weight, self.bias, self.eps).to(kind)
