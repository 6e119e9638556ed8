"""Vectors of the distances between tokens, which all layers of an encoder share."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bertune.batches.layout import Layout
from bertune.nn.dense import Table
from bertune.nn.norm import Norm


@dataclass(frozen=True)
class Distances:
    """Which distances between two tokens have a vector of their own.

    Args:
        longest: distances beyond it share the vectors of the ends.
        buckets: vectors on each side, half of them for the nearest distances, one for each, the others for stretches
            that grow with the distance; None where every distance up to `longest` has its own.
    """

    longest: int
    buckets: int | None = None

    @property
    def span(self) -> int:
        """Vectors on each side."""
        return self.buckets or self.longest

    def rows(self, distances: Tensor) -> Tensor:
        """Returns the row of the table for each distance, int64, from 0 to `2 * span - 1`.

        Args:
            distances: int64, the place of the token that asks less that of the token that is asked.
        """
        places = distances if self.buckets is None else log_buckets(distances, self.buckets, self.longest)
        return (places + self.span).clamp(0, 2 * self.span - 1)


def log_buckets(distances: Tensor, buckets: int, longest: int) -> Tensor:
    """Puts distances into buckets: near ones each into its own, far ones into stretches of growing length.

    Args:
        distances: int64, of either sign.
        buckets: on each side, at least 2; `buckets // 2` distances have their own.
        longest: the distance `longest - 1` falls into the last bucket. Greater ones get numbers beyond it.

    Returns:
        The number of each bucket, int64, with the sign of its distance.

    Source: He et al., 2020, DeBERTa's released code for its version 2 (https://arxiv.org/abs/2006.03654).
    """
    near = buckets // 2
    size = distances.abs().clamp(min=near)
    # In float32, as in the original: a logarithm rounded otherwise would put a distance into the next bucket.
    share = torch.log(size / near) / torch.log(torch.tensor((longest - 1) / near))
    far = (torch.ceil(share * (near - 1)) + near).long() * distances.sign()
    return torch.where(distances.abs() <= near, distances, far)


@dataclass(frozen=True)
class RelativeRows:
    """The vectors of the distances that occur in a batch.

    Args:
        vectors: (rows, hidden_size), in the type of the layers.
        of_distance: for each of the batch's length groups (2 x length - 1,) int64: the row of each distance, from
            `1 - length` to `length - 1`.
    """

    vectors: Tensor
    of_distance: tuple[Tensor, ...]


class RelativePositions(nn.Module):
    """A table of vectors of distances.

    Args:
        hidden_size: width of a vector.
        distances: which have a vector.
        norm_eps: in the denominator of the norm of the vectors; None for no norm.
    """

    def __init__(self, hidden_size: int, distances: Distances, *, norm_eps: float | None) -> None:
        super().__init__()
        self.distances = distances
        self.table = Table(2 * distances.span, hidden_size)
        self.norm = None if norm_eps is None else Norm(hidden_size, eps=norm_eps)

    def forward(self, layout: Layout, dtype: torch.dtype) -> RelativeRows:
        """Returns the vectors that a batch needs: those of the distances within its longest sequence.

        Args:
            layout: of the batch.
            dtype: of the vectors.
        """
        longest = layout.max_seqlen
        # On the processor, whose logarithm decides: another device may round otherwise.
        rows = self.distances.rows(torch.arange(1 - longest, longest))
        first, last = int(rows[0]), int(rows[-1])
        vectors = self.table.weight[first : last + 1]
        if self.norm is not None:
            vectors = self.norm(vectors)
        lengths = [group.max_length for group in layout.attention_plan.groups]
        index = (rows - first).to(vectors.device)
        return RelativeRows(
            vectors.to(dtype), tuple(index[longest - length : longest + length - 1] for length in lengths)
        )


class _Skew(torch.autograd.Function):
    """Moves each row one place further to the left than the row above it: a view, without a gather's index."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, products: Tensor) -> Tensor:
        ctx.shape = products.shape  # type: ignore[attr-defined]
        return _skewed(products)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        products = gradient.new_zeros(ctx.shape)  # type: ignore[attr-defined]
        _skewed(products).copy_(gradient)
        return products


def skew(products: Tensor) -> Tensor:
    """Picks from products with all distances those with the distance between row and column.

    Args:
        products: (..., length, 2 x length - 1), contiguous; the last axis goes from distance `1 - length` up.

    Returns:
        (..., length, length): at row i and column j the product of row i with distance j - i.
    """
    picked: Tensor = _Skew.apply(products)  # type: ignore[no-untyped-call]
    return picked


def _skewed(products: Tensor) -> Tensor:
    *outer, length, distances = products.shape
    assert distances == 2 * length - 1
    assert products.is_contiguous()
    strides = (*products.stride()[:-2], distances - 1, 1)
    return products.as_strided((*outer, length, length), strides, products.storage_offset() + length - 1)
