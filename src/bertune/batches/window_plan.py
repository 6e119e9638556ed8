"""How attention in a local window sees a packed batch.

Every token attends to those at most `reach` tokens away from it. A sequence of many times the window is cut into blocks
of `reach` tokens: a block attends to itself and to the block on either side, which is all that its tokens can see, so
that the cost grows with the length and not with its square. Shorter sequences lie in rectangles as they do for
attention over whole sequences, with a mask where they are longer than the reach.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.rectangles import Rows, lay_out

# A sequence of no more than three blocks is computed whole: its tokens see no fewer keys when it is cut.
_BLOCKS_SEEN = 3


@dataclass(frozen=True)
class WindowGroup:
    """One rectangle of stretches of tokens that are computed together.

    Args:
        rows: stretches: whole sequences, or blocks in their order.
        columns: tokens of the longest.
        mask: broadcasts to (rows, heads, columns, keys), True where a query attends; None where all attend to all.
        are_blocks: whether the keys of a row are those of the row before, of itself and of the row behind.
    """

    rows: int
    columns: int
    mask: Tensor | None
    are_blocks: bool

    @property
    def cells(self) -> int:
        """Cells of the rectangle, padding included."""
        return self.rows * self.columns


@dataclass(frozen=True)
class WindowPlan:
    """Mapping of packed tokens into the rectangles of windowed attention and back.

    Args:
        groups: the rectangles.
        token_of_cell: (cells,) packed token that each cell takes; padding cells take token 0 and are never attended to.
        cell_of_token: (tokens,) cell in which each packed token lies.
    """

    groups: tuple[WindowGroup, ...]
    token_of_cell: Tensor
    cell_of_token: Tensor


def plan_windows(
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    *,
    reach: int,
    short_groups: int,
    device: torch.device,
) -> WindowPlan:
    """Plans attention in which a token sees those at most `reach` away.

    Args:
        lengths: (sequences,) tokens of each.
        starts: (sequences,) packed token at which each begins.
        reach: tokens on each side, at least 0.
        short_groups: rectangles at most into which the sequences that are not cut are sorted by length.
        device: where the index tensors live.
    """
    size = max(reach, 1)
    by_length = np.argsort(lengths, kind="stable")
    num_short = int((lengths <= _BLOCKS_SEEN * size).sum())
    short, long = by_length[:num_short], np.sort(by_length[num_short:])
    members = np.array_split(short, min(short_groups, num_short)) if num_short else []
    rectangles: list[Rows] = [(starts[rows], lengths[rows]) for rows in members]
    widths: list[int | None] = [None for _ in members]
    follows = np.zeros(0, dtype=np.bool_)
    if len(long):
        blocks, follows = _blocks(starts[long], lengths[long], size)
        rectangles.append(blocks)
        widths.append(size)
    laid = lay_out(rectangles, widths=widths)
    groups = []
    for number, real in enumerate(laid.real):
        are_blocks = number == len(members)
        mask = _mask_of_blocks(real, follows, reach) if are_blocks else _mask_of_sequences(real, reach)
        mask_there = None if mask is None else torch.from_numpy(mask).to(device)
        groups.append(WindowGroup(len(real), real.shape[1], mask_there, are_blocks))
    return WindowPlan(
        tuple(groups),
        torch.from_numpy(laid.token_of_cell).to(device),
        torch.from_numpy(laid.cell_of_token).to(device),
    )


def _blocks(starts: NDArray[np.int64], lengths: NDArray[np.int64], size: int) -> tuple[Rows, NDArray[np.bool_]]:
    """Cuts sequences; returns the blocks, and which of them follow on the block before in the same sequence."""
    counts = -(-lengths // size)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    number = np.arange(int(counts.sum())) - first
    block_starts = np.repeat(starts, counts) + number * size
    block_lengths = np.minimum(size, np.repeat(lengths, counts) - number * size)
    return (block_starts, block_lengths), number > 0


def _mask_of_sequences(real: NDArray[np.bool_], reach: int) -> NDArray[np.bool_] | None:
    columns = np.arange(real.shape[1])
    mask: NDArray[np.bool_] | None = None if real.all() else real[:, None, None, :]
    if real.shape[1] <= reach + 1:
        return mask
    near: NDArray[np.bool_] = (np.abs(columns[:, None] - columns) <= reach)[None, None]
    if mask is None:
        return near
    # Padding sees only what it would see of its sequence, which may be nothing: each cell sees itself.
    seen: NDArray[np.bool_] = (near & mask) | np.eye(len(columns), dtype=np.bool_)[None, None]
    return seen


def _mask_of_blocks(real: NDArray[np.bool_], follows: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """A padding cell sees a token: it lies in a block with one, and a block is no longer than the reach."""
    size = real.shape[1]
    places = np.arange(_BLOCKS_SEEN * size) - size
    near = np.abs(places - np.arange(size)[:, None]) <= reach
    keys = np.zeros((len(real), _BLOCKS_SEEN, size), dtype=np.bool_)
    keys[1:, 0] = real[:-1] & follows[1:, None]
    keys[:, 1] = real
    keys[:-1, 2] = real[1:] & follows[1:, None]
    mask: NDArray[np.bool_] = (near & keys.reshape(len(real), 1, -1))[:, None]
    return mask
