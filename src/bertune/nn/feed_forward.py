"""The two dense layers that each token passes on its own."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertune.nn.dense import Dense

_gelu_tanh = partial(F.gelu, approximate="tanh")


def _quick_gelu(values: Tensor) -> Tensor:
    return values * torch.sigmoid(1.702 * values)


# transformers calls the tanh approximation by three names.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "relu": F.relu,
    "silu": F.silu,
    "quick_gelu": _quick_gelu,
}


class FeedForward(nn.Module):
    """Widens each token to the intermediate size and narrows it again.

    Source: Vaswani et al., 2017, section 3.3 (https://arxiv.org/abs/1706.03762), with GELU as in Devlin et al., 2018.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, *, activation: str) -> None:
        super().__init__()
        self.intermediate = Dense(hidden_size, intermediate_size)
        self.output = Dense(intermediate_size, hidden_size)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps (tokens, hidden_size) to (tokens, hidden_size)."""
        output: Tensor = self.output(self.activation(self.intermediate(hidden_states)))
        return output
