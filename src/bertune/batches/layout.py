"""Boundaries of the sequences in a packed batch, and how attention sees them.

A packed batch holds the tokens of all sequences one after another, without padding. Attention is the one place that
needs a rectangle; it gets a few tight ones, one for each group of sequences of similar length.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.rectangles import lay_out
from bertune.batches.window_plan import WindowPlan, plan_windows
from bertune.errors import DataError

# Two groups beat one, four and eight at batch 32 on MRPC: fewer padded cells against more kernel launches.
ATTENTION_GROUPS = 2


@dataclass(frozen=True)
class LengthGroup:
    """Sequences of similar length, laid into one rectangle for attention.

    Args:
        start: first of the group's cells in the concatenation of all groups' cells.
        sequences: rows of the rectangle.
        max_length: columns of the rectangle, the longest sequence of the group.
        attend: (sequences, max_length), True where a real token lies; None where all are real.
        bias: (heads, max_length that ask, max_length that are asked), added to attention's scores; None for nothing.
    """

    start: int
    sequences: int
    max_length: int
    attend: Tensor | None
    bias: Tensor | None = None

    @property
    def cells(self) -> int:
        """Cells of the rectangle, padding included."""
        return self.sequences * self.max_length

    @property
    def mask(self) -> Tensor | None:
        """Broadcasts to (sequences, heads, queries, max_length), True where a query attends; None where all do."""
        return None if self.attend is None else self.attend[:, None, None, :]


@dataclass(frozen=True)
class AttentionPlan:
    """Mapping of packed tokens into the rectangles of attention and back.

    Args:
        groups: the rectangles.
        token_of_cell: (cells,) packed token that each cell takes; padding cells take token 0 and are never attended to.
        cell_of_token: (tokens,) cell in which each packed token lies.
        sequences: (sequences,) which sequence lies in each row, over the rows of all rectangles.
    """

    groups: tuple[LengthGroup, ...]
    token_of_cell: Tensor
    cell_of_token: Tensor
    sequences: Tensor


class Layout:
    """The boundaries of the sequences in a packed batch, as the encoder and the head ask for them.

    Args:
        lengths: (sequences,) tokens of each sequence, each at least 1.
        device: where the index tensors live.

    Raises:
        DataError: a sequence has no token.
    """

    def __init__(self, lengths: NDArray[np.int64], device: torch.device | str = "cpu") -> None:
        if len(lengths) == 0 or int(lengths.min()) < 1:
            raise DataError("a packed batch needs at least one sequence, and each sequence at least one token")
        self.lengths = lengths.astype(np.int64)
        self.device = torch.device(device)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self._window_plans: dict[int, WindowPlan] = {}
        self._starts: dict[int, tuple[Tensor, Layout]] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens in the whole batch."""
        return int(self.offsets[-1])

    @property
    def max_seqlen(self) -> int:
        """Tokens of the longest sequence."""
        return int(self.lengths.max())

    @cached_property
    def cu_seqlens(self) -> Tensor:
        """(sequences + 1,) int32, where each sequence starts, and the end of the last."""
        return torch.from_numpy(self.offsets.astype(np.int32)).to(self.device)

    @cached_property
    def first_tokens(self) -> Tensor:
        """(sequences,) int64, the packed position of each sequence's first token, such as BERT's [CLS]."""
        return torch.from_numpy(self.offsets[:-1].copy()).to(self.device)

    @cached_property
    def sequence_of_token(self) -> Tensor:
        """(tokens,) int64, the sequence each token belongs to."""
        return torch.from_numpy(np.repeat(np.arange(len(self)), self.lengths)).to(self.device)

    @cached_property
    def sequence_lengths(self) -> Tensor:
        """(sequences,) int64, tokens of each."""
        return torch.from_numpy(self.lengths).to(self.device)

    @cached_property
    def place_of_token(self) -> Tensor:
        """(tokens,) int64, each token's place in its own sequence, from 0."""
        places = np.arange(self.num_tokens) - np.repeat(self.offsets[:-1], self.lengths)
        return torch.from_numpy(places).to(self.device)

    @cached_property
    def attention_plan(self) -> AttentionPlan:
        """The rectangles in which attention is computed; made once a batch and shared by all layers."""
        return _plan_attention(self.lengths, self.offsets[:-1], self.device)

    def window_plan(self, reach: int) -> WindowPlan:
        """Plans attention in which a token sees those at most `reach` away; made once a batch, as `attention_plan`."""
        if reach not in self._window_plans:
            self._window_plans[reach] = plan_windows(
                self.lengths, self.offsets[:-1], reach=reach, short_groups=ATTENTION_GROUPS, device=self.device
            )
        return self._window_plans[reach]

    def starts(self, tokens: int) -> tuple[Tensor, "Layout"]:
        """Returns where the first tokens of each sequence lie, so many at most, and the layout that they have."""
        if tokens not in self._starts:
            layout = Layout(np.minimum(self.lengths, tokens), self.device)
            places = np.arange(layout.num_tokens) + np.repeat(self.offsets[:-1] - layout.offsets[:-1], layout.lengths)
            self._starts[tokens] = torch.from_numpy(places).to(self.device), layout
        return self._starts[tokens]

    @property
    def is_biased(self) -> bool:
        """Whether attention adds anything to its scores."""
        return False

    def with_bias(self, bias_of: Callable[[int], Tensor]) -> "Layout":
        """Returns the same boundaries, with what attention adds to its scores.

        Args:
            bias_of: returns it for sequences of a length: (heads, length that asks, length that is asked).
        """
        return _BiasedLayout(self, bias_of)


class _BiasedLayout(Layout):
    """Boundaries with a bias for each rectangle, made once and shared by all layers."""

    def __init__(self, layout: Layout, bias_of: Callable[[int], Tensor]) -> None:
        super().__init__(layout.lengths, layout.device)
        self._plain, self._bias_of = layout, bias_of

    @property
    def is_biased(self) -> bool:
        """See `Layout`."""
        return True

    @cached_property
    def attention_plan(self) -> AttentionPlan:
        """See `Layout`."""
        plan = self._plain.attention_plan
        groups = tuple(replace(group, bias=self._bias_of(group.max_length)) for group in plan.groups)
        return replace(plan, groups=groups)


def _plan_attention(lengths: NDArray[np.int64], starts: NDArray[np.int64], device: torch.device) -> AttentionPlan:
    by_length = np.argsort(lengths, kind="stable")
    members = np.array_split(by_length, min(ATTENTION_GROUPS, len(by_length)))
    laid = lay_out([(starts[rows], lengths[rows]) for rows in members], widths=[None for _ in members])
    groups: list[LengthGroup] = []
    first_cell = 0
    for real in laid.real:
        attend = None if real.all() else torch.from_numpy(real).to(device)
        groups.append(LengthGroup(first_cell, len(real), real.shape[1], attend))
        first_cell += real.size
    return AttentionPlan(
        tuple(groups),
        torch.from_numpy(laid.token_of_cell).to(device),
        torch.from_numpy(laid.cell_of_token).to(device),
        torch.from_numpy(by_length).to(device),
    )
