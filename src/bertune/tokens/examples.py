"""Encoded examples, kept flat: one array of ids and where each example starts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertune.errors import DataError


@dataclass(frozen=True, eq=False)
class EncodedExamples:
    """Token ids of many examples one after another, without padding.

    Attributes:
        token_ids: (tokens,) ids with special tokens, uint16 for vocabularies below 65,536 pieces, else int32.
        offsets: (examples + 1,) int64; example i is `token_ids[offsets[i]:offsets[i + 1]]`.
        first_lengths: (examples,) int32, tokens of `[CLS] a [SEP]`; type 1 begins behind them.
        truncated: (examples,) bool, whether tokens were dropped.
        max_length: the most tokens an example was allowed to have, special tokens counted.

    Raises:
        DataError: the arrays do not fit together.
    """

    token_ids: NDArray[Any]
    offsets: NDArray[np.int64]
    first_lengths: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    max_length: int

    def __post_init__(self) -> None:
        count = len(self.offsets) - 1
        if count < 0 or len(self.first_lengths) != count or len(self.truncated) != count:
            raise DataError(
                f"{len(self.offsets)} offsets, {len(self.first_lengths)} first lengths and {len(self.truncated)} "
                "truncation marks do not describe the same examples"
            )
        lengths = self.lengths
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.token_ids) or bool((lengths < 0).any()):
            raise DataError(f"the offsets do not divide {len(self.token_ids)} tokens into {count} examples")
        if bool((self.first_lengths < 0).any()) or bool((self.first_lengths > lengths).any()):
            raise DataError("a first text is longer than its example")

    def __len__(self) -> int:
        return len(self.first_lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(examples,) tokens of each example."""
        return np.diff(self.offsets)

    @property
    def truncated_fraction(self) -> float:
        """Share of the examples that lost tokens, 0 to 1; 0 when there are none."""
        return float(self.truncated.mean()) if len(self) else 0.0

    def take(self, indices: ArrayLike) -> "EncodedExamples":
        """Picks examples by number, in the given order, repeats allowed.

        Raises:
            IndexError: a number is out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        lengths = self.lengths[chosen]
        return EncodedExamples(
            token_ids=self.token_ids[ragged_positions(self.offsets[:-1][chosen], lengths)],
            offsets=offsets_of(lengths),
            first_lengths=self.first_lengths[chosen],
            truncated=self.truncated[chosen],
            max_length=self.max_length,
        )


def offsets_of(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Where each of several stretches begins when laid end to end, and where the last ends; (stretches + 1,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_positions(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions start, start + 1, ..., start + length - 1 of each stretch, one stretch after another."""
    offsets = offsets_of(lengths)
    positions: NDArray[np.int64] = np.repeat(starts - offsets[:-1], lengths)
    positions += np.arange(offsets[-1])
    return positions
