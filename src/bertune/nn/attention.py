"""Multi-head self-attention on packed tokens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertune.batches.layout import AttentionPlan, Layout, LengthGroup
from bertune.batches.window_plan import WindowPlan
from bertune.errors import ConfigError
from bertune.nn.dense import Dense
from bertune.nn.dropout import Dropout
from bertune.nn.varlen_attention import AttentionKernel, Stretches, attend_varlen, attention_kernel


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


def to_cells(packed: Tensor, plan: AttentionPlan | WindowPlan) -> Tensor:
    """Lays packed tokens into the rectangles of a plan: (tokens, size) to (cells, size)."""
    cells: Tensor = _ToCells.apply(packed, plan.token_of_cell, plan.cell_of_token)  # type: ignore[no-untyped-call]
    return cells


def from_cells(cells: Tensor, plan: AttentionPlan | WindowPlan) -> Tensor:
    """Takes packed tokens out of the rectangles of a plan: (cells, size) to (tokens, size)."""
    packed: Tensor = _FromCells.apply(cells, plan.cell_of_token)  # type: ignore[no-untyped-call]
    return packed


class SelfAttention(nn.Module):
    """Lets every token gather from the tokens of its own sequence.

    One product makes queries, keys and values: `qkv.weight` is (3 x hidden_size, hidden_size), queries first.

    Source: Vaswani et al., 2017, section 3.2 (https://arxiv.org/abs/1706.03762).
    """

    def __init__(self, hidden_size: int, num_heads: int, *, dropout: float, bias: bool = True) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ConfigError(f"hidden_size ({hidden_size}) must be a multiple of num_heads ({num_heads})")
        self.num_heads = num_heads
        self.qkv = Dense(hidden_size, 3 * hidden_size, bias=bias)
        self.output = Dense(hidden_size, hidden_size, bias=bias)
        self.dropout = Dropout(dropout)

    def forward(self, hidden_states: Tensor, layout: Layout, *, first_only: bool = False) -> Tensor:
        """Mixes the tokens of each sequence.

        Args:
            hidden_states: (tokens, hidden_size), all sequences one after another, no padding.
            layout: where each sequence starts and ends.
            first_only: whether only the first token of each sequence asks.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`.
        """
        if not layout.is_biased and self._kernel_for(hidden_states).name == "varlen":
            return self._mix_packed(hidden_states, layout, first_only=first_only)
        if first_only:
            return self._mix_first(hidden_states, layout)
        plan = layout.attention_plan
        cells = to_cells(self._queries_keys_values(hidden_states, layout), plan)
        rectangles = torch.split(cells, [group.cells for group in plan.groups])
        mixed = torch.cat([self._mix(rows, group) for rows, group in zip(rectangles, plan.groups, strict=True)])
        output: Tensor = self.output(from_cells(mixed, plan))
        return output

    def _queries_keys_values(self, hidden_states: Tensor, _layout: Layout) -> Tensor:
        """Maps (tokens, hidden_size) to queries, keys and values side by side, (tokens, 3 x hidden_size)."""
        made: Tensor = self.qkv(hidden_states)
        return made

    def _kernel_for(self, hidden_states: Tensor) -> AttentionKernel:
        size = hidden_states.shape[1] // self.num_heads
        return attention_kernel(hidden_states.device, hidden_states.dtype, size)

    def _mix_packed(self, hidden_states: Tensor, layout: Layout, *, first_only: bool) -> Tensor:
        """Attends without a rectangle."""
        tokens, size = hidden_states.shape
        by_head = (-1, self.num_heads, size // self.num_heads)
        asking = asked = Stretches(layout.cu_seqlens, layout.max_seqlen)
        if first_only:
            query, rows = self._queries_of_first(hidden_states, layout, layout.first_tokens)
            key, value = (part.view(by_head) for part in rows.view(tokens, 2, size).unbind(1))
            asking = Stretches(torch.arange(len(layout) + 1, dtype=torch.int32, device=rows.device), 1)
        else:
            rows = self._queries_keys_values(hidden_states, layout)
            query, key, value = (part.view(by_head) for part in rows.view(tokens, 3, size).unbind(1))
        mixed = attend_varlen(
            query.view(by_head),
            key,
            value,
            asking=asking,
            asked=asked,
            dropout=self.dropout.probability if self.training else 0.0,
        )
        output: Tensor = self.output(mixed.reshape(-1, size))
        return output

    def _queries_of_first(self, hidden_states: Tensor, _layout: Layout, first: Tensor) -> tuple[Tensor, Tensor]:
        """Returns queries of the first tokens, whose places are given, and keys and values, side by side, of all."""
        size, kind = hidden_states.shape[1], hidden_states.dtype
        weight, bias = self.qkv.weight.to(kind), self.qkv.bias
        biases = (None, None) if bias is None else (bias[:size].to(kind), bias[size:].to(kind))
        queries = F.linear(hidden_states[first], weight[:size], biases[0])
        return queries, F.linear(hidden_states, weight[size:], biases[1])

    def _mix_first(self, hidden_states: Tensor, layout: Layout) -> Tensor:
        plan = layout.attention_plan
        queries, rows = self._queries_of_first(hidden_states, layout, layout.first_tokens[plan.sequences])
        cells = to_cells(rows, plan)
        rectangles = torch.split(cells, [group.cells for group in plan.groups])
        asking = torch.split(queries, [group.sequences for group in plan.groups])
        mixed = []
        for one, rows, group in zip(asking, rectangles, plan.groups, strict=True):
            (query,) = self._by_head(one, group.sequences, 1)
            key, value = self._by_head(rows, group.sequences, 2)
            mixed.append(self._attend(query, key, value, group.mask, group.bias))
        in_order = torch.empty_like(plan.sequences)
        in_order[plan.sequences] = torch.arange(len(in_order), device=in_order.device)
        output: Tensor = self.output(torch.cat(mixed)[in_order])
        return output

    def _mix(self, qkv: Tensor, group: LengthGroup) -> Tensor:
        """Attends within one rectangle: (cells, 3 x hidden_size) to (cells, hidden_size)."""
        query, key, value = self._by_head(qkv, group.sequences, 3)
        return self._attend(query, key, value, group.mask, group.bias)

    def _by_head(self, rows: Tensor, sequences: int, parts: int) -> tuple[Tensor, ...]:
        """Splits rows of `parts` vectors side by side into as many (sequences, heads, length, head size)."""
        size = rows.shape[1] // (parts * self.num_heads)
        return rows.view(sequences, -1, parts, self.num_heads, size).permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Tensor:
        """Maps (rows, heads, length, head size) to (rows x length of the queries, hidden_size)."""
        dropout = self.dropout.probability if self.training else 0.0
        kernel = attention_kernel(query.device, query.dtype, query.shape[-1]) if dropout else None
        if bias is not None or (kernel is not None and kernel.name == "plain"):
            mixed = self._attend_plainly(query, key, value, mask, bias)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return mixed.transpose(1, 2).reshape(query.shape[0] * query.shape[2], -1)

    def _attend_plainly(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """Softmax in fp32, then dropout on the probabilities, as in the original."""
        scores = torch.matmul(query * (1 / math.sqrt(query.shape[-1])), key.transpose(-1, -2))
        if bias is not None:
            # Where only first tokens ask, theirs is the first row.
            scores = scores + bias[:, : query.shape[2]]
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        return torch.matmul(self.dropout(probabilities), value)
