"""The vectors of distances that batches of a shape need, as rows behind their tokens."""

from typing import NamedTuple

import torch
from torch import Tensor

from bertune.kernels.calls import Shape
from bertune.models.encoder import Encoder
from bertune.nn.relative_positions import RelativePositions

# As many rows at a time can be turned for a product.
_ROW_MULTIPLE = 32


class DistanceVectors(NamedTuple):
    """The rows of the table of distances between tokens of sequences up to a length.

    Args:
        rows: (vectors,) int32, of the table.
        vector_of: (2 x longest - 1,) int32, for each distance from `1 - longest` up which of the rows is its own; it
            never falls.
        padded: vectors, rounded up.
    """

    rows: Tensor
    vector_of: Tensor
    padded: int


def distance_vectors(positions: RelativePositions, longest: int) -> DistanceVectors:
    """Returns what sequences up to a length need."""
    rows = positions.distances.rows(torch.arange(1 - longest, longest))
    first, last = int(rows[0]), int(rows[-1])
    vectors = last + 1 - first
    padded = -(-vectors // _ROW_MULTIPLE) * _ROW_MULTIPLE
    return DistanceVectors(torch.arange(first, last + 1, dtype=torch.int32), (rows - first).int(), padded)


def rows_behind(encoder: Encoder, shape: Shape) -> int:
    """Returns how many rows the input of a layer has behind the padded tokens; 0 without vectors of distances."""
    positions = encoder.relative_positions
    return 0 if positions is None else distance_vectors(positions, shape.longest).padded
