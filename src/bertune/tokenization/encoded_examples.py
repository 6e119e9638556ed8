"""Encoded examples, kept flat: one array of ids and where each sequence starts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertune.errors import DataError


@dataclass(frozen=True, eq=False)
class EncodedExamples:
    """Token ids of many examples one after another, without padding.

    Each example is one sequence, or, where long texts are read in windows, several one after another.

    Attributes:
        token_ids: (tokens,) ids with special tokens, uint16 for vocabularies below 65,536 pieces, else int32.
        offsets: (sequences + 1,) int64; sequence i is `token_ids[offsets[i]:offsets[i + 1]]`.
        first_lengths: (sequences,) int32, tokens of type 0, which come first, as those of `[CLS] a [SEP]`; all of a
            sequence for a single text, or where a family has no types.
        truncated: (examples,) bool, whether tokens were dropped.
        max_length: the most tokens a sequence was allowed to have, special tokens counted.
        example_offsets: (examples + 1,) int64; the windows of example i are the sequences `example_offsets[i]` to
            `example_offsets[i + 1]`, at least one. None where each example is one sequence.

    Raises:
        DataError: the arrays do not fit together.
    """

    token_ids: NDArray[Any]
    offsets: NDArray[np.int64]
    first_lengths: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    max_length: int
    example_offsets: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.offsets) - 1
        if count < 0 or len(self.first_lengths) != count or len(self.truncated) != self._examples_of(count):
            raise DataError(
                f"{len(self.offsets)} offsets, {len(self.first_lengths)} first lengths and {len(self.truncated)} "
                "truncation marks do not describe the same examples"
            )
        lengths = self.lengths
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.token_ids) or bool((lengths < 0).any()):
            raise DataError(f"the offsets do not divide {len(self.token_ids)} tokens into {count} examples")
        if bool((self.first_lengths < 0).any()) or bool((self.first_lengths > lengths).any()):
            raise DataError("a first text is longer than its example")

    def _examples_of(self, sequences: int) -> int:
        """Counts the examples, after checking that they divide the sequences."""
        bounds = self.example_offsets
        if bounds is None:
            return sequences
        if len(bounds) == 0 or bounds[0] != 0 or bounds[-1] != sequences or bool((np.diff(bounds) < 1).any()):
            raise DataError(f"the example offsets do not divide {sequences} sequences into examples")
        return len(bounds) - 1

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(sequences,) tokens of each sequence."""
        return np.diff(self.offsets)

    @property
    def sequence_counts(self) -> NDArray[np.int64]:
        """(examples,) sequences of each example: 1, or as many as it has windows."""
        return np.ones(len(self), np.int64) if self.example_offsets is None else np.diff(self.example_offsets)

    @cached_property
    def example_lengths(self) -> NDArray[np.int64]:
        """(examples,) tokens of each example, those of all its windows together."""
        return self.lengths if self.example_offsets is None else np.diff(self.offsets[self.example_offsets])

    @property
    def first_sequences(self) -> NDArray[np.int64]:
        """(examples,) the sequence with which each example begins."""
        return np.arange(len(self)) if self.example_offsets is None else self.example_offsets[:-1]

    @property
    def over_length(self) -> NDArray[np.bool_]:
        """(examples,) whether the texts have more tokens than fit: they were cut, or are read in several windows."""
        return np.asarray(self.truncated | (self.sequence_counts > 1))

    @cached_property
    def sequences(self) -> "EncodedExamples":
        """The same, with each sequence as an example of its own."""
        if self.example_offsets is None:
            return self
        return replace(self, truncated=np.repeat(self.truncated, self.sequence_counts), example_offsets=None)

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
        if self.example_offsets is not None:
            counts = self.sequence_counts[chosen]
            picked = self.sequences.take(ragged_positions(self.example_offsets[:-1][chosen], counts))
            return replace(picked, truncated=self.truncated[chosen], example_offsets=offsets_of(counts))
        lengths = self.lengths[chosen]
        return EncodedExamples(
            token_ids=self.token_ids[ragged_positions(self.offsets[:-1][chosen], lengths)],
            offsets=offsets_of(lengths),
            first_lengths=self.first_lengths[chosen],
            truncated=self.truncated[chosen],
            max_length=self.max_length,
        )


def join_encoded(parts: Sequence[EncodedExamples]) -> EncodedExamples:
    """Puts examples that were encoded alike one after another.

    Args:
        parts: of one tokenizer and length; at least one.
    """
    has_windows = any(part.example_offsets is not None for part in parts)
    return EncodedExamples(
        token_ids=np.concatenate([part.token_ids for part in parts]),
        offsets=offsets_of(np.concatenate([part.lengths for part in parts])),
        first_lengths=np.concatenate([part.first_lengths for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
        max_length=parts[0].max_length,
        example_offsets=offsets_of(np.concatenate([part.sequence_counts for part in parts])) if has_windows else None,
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
