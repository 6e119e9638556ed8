"""Self-attention on packed tokens in which contents and distances meet as vectors of their own."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertune.batches.layout import Layout, LengthGroup
from bertune.errors import ConfigError
from bertune.nn.attention import from_cells, to_cells
from bertune.nn.dense import Dense
from bertune.nn.dropout import Dropout
from bertune.nn.relative_positions import RelativeRows, skew


@dataclass(frozen=True)
class PositionTerms:
    """What distances add to the scores of attention.

    Args:
        asked: whether queries of contents meet keys of distances (content to position).
        asking: whether queries of distances meet keys of contents (position to content).
        own_products: whether dense layers of their own make the keys and queries of distances; else the contents' do.
    """

    asked: bool
    asking: bool
    own_products: bool


@dataclass(frozen=True)
class _Positions:
    """Keys and queries of distances for one length group.

    Args:
        keys: (heads, distances, head size), from distance `1 - length` up; None where none are asked.
        queries: the same of queries, scaled; None where none ask.
    """

    keys: Tensor | None
    queries: Tensor | None


class DisentangledSelfAttention(nn.Module):
    """Lets every token gather from the tokens of its own sequence, by their contents and their distances.

    The score of two tokens is the sum of up to three products: query and key of the contents, query of the one's
    content and key of the distance, query of the distance and key of the other's content.

    Args:
        hidden_size: width of a hidden state.
        num_heads: into which it is divided.
        terms: which products with distances there are.
        dropout: of the probabilities.
        position_dropout: of the vectors of distances.

    Source: He et al., 2020, section 3.1 (https://arxiv.org/abs/2006.03654).
    """

    def __init__(
        self, hidden_size: int, num_heads: int, terms: PositionTerms, *, dropout: float, position_dropout: float
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ConfigError(f"hidden_size ({hidden_size}) must be a multiple of num_heads ({num_heads})")
        self.num_heads = num_heads
        self.terms = terms
        self.qkv = Dense(hidden_size, 3 * hidden_size)
        self.output = Dense(hidden_size, hidden_size)
        self.position_key = Dense(hidden_size, hidden_size) if terms.own_products and terms.asked else None
        self.position_query = Dense(hidden_size, hidden_size) if terms.own_products and terms.asking else None
        self.dropout = Dropout(dropout)
        self.position_dropout = Dropout(position_dropout)
        self.scale = 1 / math.sqrt(hidden_size // num_heads * (1 + terms.asked + terms.asking))

    def forward(
        self, hidden_states: Tensor, layout: Layout, *, relative: RelativeRows, first_only: bool = False
    ) -> Tensor:
        """Mixes the tokens of each sequence.

        Args:
            hidden_states: (tokens, hidden_size), all sequences one after another, no padding.
            layout: where each sequence starts and ends.
            relative: the vectors of distances.
            first_only: whether only the first token of each sequence asks.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`.
        """
        plan = layout.attention_plan
        keys, queries = self.of_distances(relative.vectors)
        positions = [
            _Positions(self._rows_by_head(keys, index), self._rows_by_head(queries, index))
            for index in relative.of_distance
        ]
        if first_only:
            return self._mix_first(hidden_states, layout, positions)
        rectangles = torch.split(to_cells(self.qkv(hidden_states), plan), [group.cells for group in plan.groups])
        mixed = [
            self._mix(rows, group, of_group)
            for rows, group, of_group in zip(rectangles, plan.groups, positions, strict=True)
        ]
        output: Tensor = self.output(from_cells(torch.cat(mixed), plan))
        return output

    def of_distances(self, vectors: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Returns keys and scaled queries of the vectors of distances, (rows, hidden_size) each."""
        vectors = self.position_dropout(vectors)
        keys = queries = None
        if self.terms.asked:
            keys = self._content_product(vectors, 1, 2) if self.position_key is None else self.position_key(vectors)
        if self.terms.asking:
            make = self.position_query
            queries = (self._content_product(vectors, 0, 1) if make is None else make(vectors)) * self.scale
        return keys, queries

    def _content_product(self, rows: Tensor, first: int, end: int) -> Tensor:
        """Makes queries (0), keys (1), values (2) of rows, from the first of them up to the end, side by side."""
        size = rows.shape[1]
        part = slice(first * size, end * size)
        return F.linear(rows, self.qkv.weight[part].to(rows.dtype), self.qkv.bias[part].to(rows.dtype))

    def _rows_by_head(self, rows: Tensor | None, index: Tensor) -> Tensor | None:
        if rows is None:
            return None
        return rows.index_select(0, index).view(len(index), self.num_heads, -1).transpose(0, 1)

    def _mix(self, qkv: Tensor, group: LengthGroup, positions: _Positions) -> Tensor:
        """Attends within one rectangle: (cells, 3 x hidden_size) to (cells, hidden_size)."""
        query, key, value = self._by_head(qkv, group.sequences, 3)
        query = query * self.scale
        scores = torch.matmul(query, key.transpose(-1, -2))
        if positions.keys is not None:
            # Rows of queries, columns of keys: their distance, query less key, falls to the right.
            scores = scores + skew(_with_distances(query, positions.keys.flip(1)))
        if positions.queries is not None:
            scores = scores + skew(_with_distances(key, positions.queries)).transpose(-1, -2)
        return self._gather(scores, value, group)

    def _mix_first(self, hidden_states: Tensor, layout: Layout, positions: list[_Positions]) -> Tensor:
        plan = layout.attention_plan
        first = self._content_product(hidden_states[layout.first_tokens[plan.sequences]], 0, 1) * self.scale
        rectangles = torch.split(
            to_cells(self._content_product(hidden_states, 1, 3), plan), [group.cells for group in plan.groups]
        )
        asking = torch.split(first, [group.sequences for group in plan.groups])
        mixed = []
        for one, rows, group, of_group in zip(asking, rectangles, plan.groups, positions, strict=True):
            (query,) = self._by_head(one, group.sequences, 1)
            key, value = self._by_head(rows, group.sequences, 2)
            scores = torch.matmul(query, key.transpose(-1, -2))
            # Distances from the first token to each of the others: 0, -1, and so on.
            if of_group.keys is not None:
                keys = of_group.keys[:, : group.max_length].flip(1)
                scores = scores + torch.matmul(query.flatten(1, 2), keys.transpose(1, 2)).view(scores.shape)
            if of_group.queries is not None:
                queries = of_group.queries[:, : group.max_length].flip(1)
                scores = scores + (key * queries[:, None]).sum(-1)[:, :, None]
            mixed.append(self._gather(scores, value, group))
        in_order = torch.empty_like(plan.sequences)
        in_order[plan.sequences] = torch.arange(len(in_order), device=in_order.device)
        output: Tensor = self.output(torch.cat(mixed)[in_order])
        return output

    def _by_head(self, rows: Tensor, sequences: int, parts: int) -> tuple[Tensor, ...]:
        """Splits rows of `parts` vectors side by side into as many (heads, sequences, length, head size).

        Heads come first: all sequences of a head meet the same distances in one product.
        """
        size = rows.shape[1] // (parts * self.num_heads)
        return rows.view(sequences, -1, parts, self.num_heads, size).permute(2, 3, 0, 1, 4).contiguous().unbind(0)

    def _gather(self, scores: Tensor, value: Tensor, group: LengthGroup) -> Tensor:
        """Averages values by the softmax of scores, in fp32, with dropout on the probabilities."""
        if group.attend is not None:
            scores = scores.masked_fill(~group.attend[:, None], -math.inf)
        probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
        mixed = torch.matmul(self.dropout(probabilities), value)
        return mixed.permute(1, 2, 0, 3).reshape(group.sequences * scores.shape[2], -1)


def _with_distances(vectors: Tensor, positions: Tensor) -> Tensor:
    """Multiplies (heads, sequences, length, size) with (heads, distances, size): (…, length, distances)."""
    products = torch.bmm(vectors.flatten(1, 2), positions.transpose(1, 2))
    return products.view(*vectors.shape[:3], positions.shape[1])
