"""Self-attention with rotary positions, over whole sequences or in a local window."""

import torch
from torch import Tensor

from bertune.batches.layout import Layout
from bertune.batches.window_plan import WindowGroup
from bertune.errors import ConfigError
from bertune.nn.attention import SelfAttention, from_cells, to_cells
from bertune.nn.rotary import rotate


class _WithNeighbours(torch.autograd.Function):
    """Puts the row before and the row behind beside each row; beyond the ends there are zeros."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        del ctx
        beside = rows.new_empty(rows.shape[0], 3, *rows.shape[1:])
        beside[0, 0] = 0
        beside[1:, 0] = rows[:-1]
        beside[:, 1] = rows
        beside[:-1, 2] = rows[1:]
        beside[-1, 2] = 0
        return beside

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        del ctx
        summed = gradient[:, 1].clone()
        summed[:-1] += gradient[1:, 0]
        summed[1:] += gradient[:-1, 2]
        return summed


class RotaryAttention(SelfAttention):
    """Self-attention that knows how far tokens are from each other, and may see the near ones alone.

    Args:
        hidden_size: width of a hidden state.
        num_heads: into which it is divided.
        theta: the base of the angles, see `rotate`.
        reach: how many tokens on each side a token sees; None for all of its sequence.
        dropout: of the probabilities.
        bias: whether the dense layers add something.

    Raises:
        ConfigError: heads that cannot be divided so, or have no pairs of columns.

    Source: Warner et al., 2024 (https://arxiv.org/abs/2412.13663); the window is that of Beltagy et al., 2020.
    """

    def __init__(
        self, hidden_size: int, num_heads: int, *, theta: float, reach: int | None, dropout: float, bias: bool
    ) -> None:
        super().__init__(hidden_size, num_heads, dropout=dropout, bias=bias)
        if hidden_size // num_heads % 2:
            raise ConfigError(f"heads of {hidden_size // num_heads} columns have no rotary positions: an odd number")
        self.theta = theta
        self.reach = reach

    def forward(self, hidden_states: Tensor, layout: Layout, *, first_only: bool = False) -> Tensor:
        """Mixes the tokens of each sequence, as `SelfAttention` does."""
        if self.reach is None or layout.max_seqlen <= self.reach + 1:
            return super().forward(hidden_states, layout, first_only=first_only)
        if first_only:
            # All that the first tokens see.
            near, starts = layout.starts(self.reach + 1)
            return super().forward(hidden_states[near], starts, first_only=True)
        return self._mix_windows(hidden_states, layout, self.reach)

    def _mix_windows(self, hidden_states: Tensor, layout: Layout, reach: int) -> Tensor:
        plan = layout.window_plan(reach)
        cells = to_cells(self._queries_keys_values(hidden_states, layout), plan)
        rectangles = torch.split(cells, [group.cells for group in plan.groups])
        mixed = torch.cat([self._mix_group(rows, group) for rows, group in zip(rectangles, plan.groups, strict=True)])
        output: Tensor = self.output(from_cells(mixed, plan))
        return output

    def _mix_group(self, qkv: Tensor, group: WindowGroup) -> Tensor:
        """Attends within one rectangle: (cells, 3 x hidden_size) to (cells, hidden_size)."""
        if not group.are_blocks:
            query, key, value = self._by_head(qkv, group.rows, 3)
            return self._attend(query, key, value, group.mask)
        size = qkv.shape[1] // 3
        (query,) = self._by_head(qkv[:, :size], group.rows, 1)
        blocks = qkv[:, size:].view(group.rows, group.columns, 2 * size)
        beside: Tensor = _WithNeighbours.apply(blocks)  # type: ignore[no-untyped-call]
        key, value = self._by_head(beside.view(-1, 2 * size), group.rows, 2)
        return self._attend(query, key, value, group.mask)

    def _queries_keys_values(self, hidden_states: Tensor, layout: Layout) -> Tensor:
        rows: Tensor = self.qkv(hidden_states)
        return self._turned(rows, layout, vectors=3, turned=2)

    def _queries_of_first(self, hidden_states: Tensor, layout: Layout, first: Tensor) -> tuple[Tensor, Tensor]:
        # The first place's angles are 0: its queries stay.
        queries, rows = super()._queries_of_first(hidden_states, layout, first)
        return queries, self._turned(rows, layout, vectors=2, turned=1)

    def _turned(self, rows: Tensor, layout: Layout, *, vectors: int, turned: int) -> Tensor:
        by_head = rows.view(len(rows), vectors, self.num_heads, -1)
        places, longest = layout.place_of_token, layout.max_seqlen
        return rotate(by_head, places, longest=longest, theta=self.theta, turned=turned).view(rows.shape)
