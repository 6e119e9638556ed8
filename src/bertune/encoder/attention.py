"""Multi-head self-attention on packed tokens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertune.batches.layout import LengthGroup, PackedLayout
from bertune.encoder.dense import Dense
from bertune.encoder.dropout import Dropout
from bertune.errors import ConfigError


class _ToCells(torch.autograd.Function):
    """Lays packed tokens into attention's rectangles; the gradient comes back by the inverse gather.

    A plain `index_select` would add gradients up with a scatter. No two real cells share a token and padding cells get
    no gradient, so gathering is exact and several times faster.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, packed: Tensor, token_of_cell: Tensor, cell_of_token: Tensor
    ) -> Tensor:
        ctx.save_for_backward(cell_of_token)
        return packed.index_select(0, token_of_cell)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (cell_of_token,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient.index_select(0, cell_of_token), None, None


class _FromCells(torch.autograd.Function):
    """Takes the tokens out of attention's rectangles again; padding cells get a gradient of zero."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, cells: Tensor, cell_of_token: Tensor) -> Tensor:
        ctx.save_for_backward(cell_of_token)
        ctx.num_cells = cells.shape[0]  # type: ignore[attr-defined]
        return cells.index_select(0, cell_of_token)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (cell_of_token,) = ctx.saved_tensors  # type: ignore[attr-defined]
        cells = gradient.new_zeros(ctx.num_cells, gradient.shape[1])  # type: ignore[attr-defined]
        return cells.index_copy_(0, cell_of_token, gradient), None


class SelfAttention(nn.Module):
    """Lets every token gather from the tokens of its own sequence.

    One product makes queries, keys and values: `qkv.weight` is (3 x hidden_size, hidden_size), queries first.

    Source: Vaswani et al., 2017, section 3.2 (https://arxiv.org/abs/1706.03762).
    """

    def __init__(self, hidden_size: int, num_heads: int, *, dropout: float) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ConfigError(f"hidden_size ({hidden_size}) must be a multiple of num_heads ({num_heads})")
        self.num_heads = num_heads
        self.qkv = Dense(hidden_size, 3 * hidden_size)
        self.output = Dense(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, hidden_states: Tensor, layout: PackedLayout) -> Tensor:
        """Mixes the tokens of each sequence.

        Args:
            hidden_states: (tokens, hidden_size), all sequences one after another, no padding.
            layout: where each sequence starts and ends.

        Returns:
            (tokens, hidden_size).
        """
        plan = layout.attention_plan
        cells: Tensor = _ToCells.apply(self.qkv(hidden_states), plan.token_of_cell, plan.cell_of_token)  # type: ignore[no-untyped-call]
        rectangles = torch.split(cells, [group.cells for group in plan.groups])
        mixed = torch.cat([self._mix(rows, group) for rows, group in zip(rectangles, plan.groups, strict=True)])
        packed: Tensor = _FromCells.apply(mixed, plan.cell_of_token)  # type: ignore[no-untyped-call]
        output: Tensor = self.output(packed)
        return output

    def _mix(self, qkv: Tensor, group: LengthGroup) -> Tensor:
        """Attends within one rectangle: (cells, 3 x hidden_size) to (cells, hidden_size)."""
        by_head = qkv.view(group.sequences, group.max_length, 3, self.num_heads, -1)
        query, key, value = by_head.permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if group.attend is None else group.attend[:, None, None, :]
        if self.training and self.dropout.probability > 0:
            mixed = self._attend_with_dropout(query, key, value, mask)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(group.cells, -1)

    def _attend_with_dropout(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Softmax in fp32, then dropout on the probabilities, as in the original."""
        scores = torch.matmul(query * (1 / math.sqrt(query.shape[-1])), key.transpose(-1, -2))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        return torch.matmul(self.dropout(probabilities), value)
