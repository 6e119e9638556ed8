"""A dense layer whose weights stay fp32 and which computes in the type of its input."""

import torch.nn.functional as F
from torch import Tensor, nn


class Dense(nn.Linear):
    """`torch.nn.Linear` that follows the precision of what it is given.

    With bf16 hidden states the product runs in bf16 (accumulated in fp32 by the kernel) while the parameter, its
    gradient and the optimizer's moments stay fp32; with fp32 hidden states it is `torch.nn.Linear`.
    """

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        kind = hidden_states.dtype
        return F.linear(hidden_states, self.weight.to(kind), self.bias.to(kind))
