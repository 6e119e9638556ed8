"""The two kinds of weights: a dense layer that computes in the type of its input, and a table of embeddings."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch.nn.functional as F
from torch import Tensor, nn

_DRAWS: ContextVar[bool] = ContextVar("draws", default=True)


@contextmanager
def without_draws() -> Iterator[None]:
    """Leaves the parameters of layers that are built meanwhile without values: `initialize` or a file brings them."""
    token = _DRAWS.set(False)
    try:
        yield
    finally:
        _DRAWS.reset(token)


class Table(nn.Embedding):
    """`torch.nn.Embedding` that minds `without_draws`."""

    def reset_parameters(self) -> None:
        """Draws as torch does, unless `without_draws` says that others will."""
        if _DRAWS.get():
            super().reset_parameters()


class Dense(nn.Linear):
    """`torch.nn.Linear` that follows the precision of what it is given.

    With bf16 hidden states the product runs in bf16 (accumulated in fp32 by the kernel) while the parameter, its
    gradient and the optimizer's moments stay fp32; with fp32 hidden states it is `torch.nn.Linear`.
    """

    def reset_parameters(self) -> None:
        """Draws as torch does, unless `without_draws` says that others will."""
        if _DRAWS.get():
            super().reset_parameters()

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        kind = hidden_states.dtype
        return F.linear(hidden_states, self.weight.to(kind), self.bias.to(kind))
