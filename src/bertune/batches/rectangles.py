"""Stretches of packed tokens laid into rectangles, one stretch a row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The start of each stretch among the packed tokens, and its length.
Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Rectangles:
    """Where packed tokens lie in rectangles.

    Args:
        real: of each rectangle, (rows, columns), True where a token lies.
        token_of_cell: (cells of all rectangles,) packed token that each cell takes; padding cells take token 0.
        cell_of_token: (tokens,) cell in which each packed token lies.
    """

    real: tuple[NDArray[np.bool_], ...]
    token_of_cell: NDArray[np.int64]
    cell_of_token: NDArray[np.int64]


def lay_out(rectangles: Sequence[Rows], *, widths: Sequence[int | None]) -> Rectangles:
    """Lays every token into one cell.

    Args:
        rectangles: their rows, which have every token of the batch once.
        widths: columns of each rectangle; None for those of its longest row.
    """
    real_cells: list[NDArray[np.bool_]] = []
    tokens: list[NDArray[np.int64]] = []
    cell_of_token = np.empty(sum(int(lengths.sum()) for _, lengths in rectangles), dtype=np.int64)
    first_cell = 0
    for (starts, lengths), width in zip(rectangles, widths, strict=True):
        columns = np.arange(int(lengths.max()) if width is None else width)
        real = columns < lengths[:, None]
        token = np.where(real, starts[:, None] + columns, 0)
        cell_of_token[token[real]] = first_cell + np.flatnonzero(real)
        real_cells.append(real)
        tokens.append(token.reshape(-1))
        first_cell += real.size
    return Rectangles(tuple(real_cells), np.concatenate(tokens), cell_of_token)
