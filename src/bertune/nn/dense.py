"""The two kinds of weights: a dense layer that computes in the type of its input, and a table of embeddings."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch.nn.functional as F
from torch import Tensor, nn

from bertune.errors import ConfigError

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
    """`torch.nn.Embedding` that minds `without_draws`, and may hold the rows of some ids alone.

    Args:
        row_of: (ids,) int64, the row of each id, -1 for none; None where the table has all rows, each at its id.
    """

    row_of: Tensor | None = None

    def reset_parameters(self) -> None:
        """Draws as torch does, unless `without_draws` says that others will."""
        if _DRAWS.get():
            super().reset_parameters()


def rows_of(table: nn.Embedding, ids: Tensor) -> Tensor:
    """Returns the row of each id.

    Raises:
        ConfigError: a row is not there.
    """
    row_of = table.row_of if isinstance(table, Table) else None
    if row_of is None:
        return ids
    rows = row_of[ids]
    if bool((rows < 0).any()):
        raise ConfigError(
            "within an epoch a model in training has only the tokens of its training data",
            hint="use it in on_epoch, on_evaluation or on_best of a callback",
        )
    return rows


def vectors_of(table: nn.Embedding, ids: Tensor) -> Tensor:
    """Looks up the row of each id: (…,) to (…, width)."""
    return F.embedding(rows_of(table, ids), table.weight)


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
        return F.linear(hidden_states, self.weight.to(kind), None if self.bias is None else self.bias.to(kind))
