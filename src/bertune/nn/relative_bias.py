"""What attention adds to its scores by how far two tokens lie apart."""

import math

import torch
from torch import Tensor, nn

from bertune.batches.layout import Layout
from bertune.nn.dense import Table, vectors_of


class RelativeBias(nn.Module):
    """A learned number a head for each distance; long distances share one.

    Half of the buckets are for tokens ahead, half for those behind. Of each half, half are for one distance each, and
    the others widen with the logarithm of the distance; the last goes on without end.

    Args:
        num_buckets: rows of the table.
        num_heads: columns of the table.
        max_distance: from which on all distances are in the last bucket.

    Source: Raffel et al., 2020, section 2.1 (https://arxiv.org/abs/1910.10683).
    """

    def __init__(self, num_buckets: int, num_heads: int, *, max_distance: int = 128) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.table = Table(num_buckets, num_heads)

    def forward(self, layout: Layout) -> Layout:
        """Returns the layout with the numbers for its rectangles, which all layers then share."""
        return layout.with_bias(self.bias_of)

    def bias_of(self, length: int) -> Tensor:
        """Returns what is added to the scores of a sequence, (heads, length that asks, length that is asked)."""
        return vectors_of(self.table, self.buckets(length)).permute(2, 0, 1)

    def buckets(self, length: int) -> Tensor:
        """Returns the row of the table for each pair of positions, (length that asks, length that is asked)."""
        positions = torch.arange(length, device=self.table.weight.device)
        ahead = positions[None, :] - positions[:, None]
        half = self.num_buckets // 2
        single = half // 2
        distance = ahead.abs()
        growth = torch.log(distance.float() / single) / math.log(self.max_distance / single)
        wide = (single + (growth * (half - single)).long()).clamp(max=half - 1)
        return torch.where(distance < single, distance, wide) + half * (ahead > 0)
