"""The rows of a proof, as a file between processes and as the padded batches that other runtimes take.

Nothing here imports torch: the process that runs another runtime has no need of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bertune.tokenization.encoded_examples import EncodedExamples

# Batches of one row, of a few and of many follow one another; a runtime that fixed a size would be found out.
_BATCH_ROWS = (1, 7, 32)
_BATCH_CELLS = 4096
_SPARE_COLUMNS = 3
_SEED = 20


@dataclass(frozen=True)
class ProofRows:
    """Encoded rows on which a model and its export are compared.

    Args:
        encoded: the rows.
        texts: how many of them, the first, are texts; the others are made of random ids.
        vocab_size: ids of the model.
        max_positions: tokens of a row at most.
        strings: the texts themselves, for an export that takes strings: one column, or two for pairs. They are the
            first rows.
    """

    encoded: EncodedExamples
    texts: int
    vocab_size: int
    max_positions: int
    strings: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.encoded)

    def save(self, path: Path) -> None:
        """Writes the rows to a file."""
        arrays: dict[str, Any] = {
            "token_ids": self.encoded.token_ids.astype(np.int32),
            "offsets": self.encoded.offsets,
            "first_lengths": self.encoded.first_lengths,
            "sizes": np.array([self.texts, self.vocab_size, self.max_positions, self.encoded.max_length]),
            **arrays_of_strings(self.strings),
        }
        with path.open("wb") as stream:
            np.savez(stream, **arrays)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            texts, vocab_size, max_positions, max_length = (int(size) for size in stored["sizes"])
            first_lengths = stored["first_lengths"]
            truncated = np.zeros(len(first_lengths), dtype=bool)
            encoded = EncodedExamples(stored["token_ids"], stored["offsets"], first_lengths, truncated, max_length)
            strings = strings_of(stored, texts)
        return cls(encoded, texts, vocab_size, max_positions, strings)

    def without_strings(self) -> Self:
        """Returns the rows behind those whose texts are given."""
        behind = np.arange(self.texts if self.strings else 0, len(self))
        return replace(self, encoded=self.encoded.take(behind), texts=0, strings=())

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Picks rows, in the order of their numbers."""
        chosen = np.sort(indices)
        texts = chosen[chosen < self.texts]
        strings = tuple(tuple(column[text] for text in texts) for column in self.strings if len(texts))
        return replace(self, encoded=self.encoded.take(chosen), texts=len(texts), strings=strings)

    def padded_batches(self) -> Iterator[dict[str, NDArray[np.int32]]]:
        """Cuts the rows, in their order, into padded batches of changing size and width.

        Some batches are wider than their longest row, and the padding holds random ids and types: the mask alone says
        what is text.

        Yields:
            The tutorial's `input_word_ids`, `input_mask` and `input_type_ids`, int32, (rows, columns).
        """
        random = np.random.default_rng(_SEED)
        lengths, start, number = self.encoded.lengths, 0, 0
        while start < len(self):
            rows = _BATCH_ROWS[number % len(_BATCH_ROWS)]
            while rows > 1 and rows * int(lengths[start : start + rows].max()) > _BATCH_CELLS:
                rows = (rows + 1) // 2
            longest = int(lengths[start : start + rows].max())
            width = min(self.max_positions, longest + number % _SPARE_COLUMNS)
            yield self._padded(np.arange(start, min(start + rows, len(self))), width, random)
            start, number = start + rows, number + 1

    def _padded(
        self, indices: NDArray[np.int64], width: int, random: np.random.Generator
    ) -> dict[str, NDArray[np.int32]]:
        batch = padded(self.encoded.take(indices), width)
        is_padding = batch["input_mask"] == 0
        ids = random.integers(self.vocab_size, size=is_padding.shape, dtype=np.int32)
        types = random.integers(2, size=is_padding.shape, dtype=np.int32)
        drawn = {"input_word_ids": ids, "input_type_ids": types}
        return batch | {name: np.where(is_padding, array, batch[name]) for name, array in drawn.items()}


def arrays_of_strings(columns: tuple[tuple[str, ...], ...]) -> dict[str, NDArray[Any]]:
    """Returns columns of texts as arrays for a file: all bytes, and the length of each."""
    texts = [text.encode() for column in columns for text in column]
    lengths = np.array([len(text) for text in texts], np.int64)
    return {"strings": np.frombuffer(b"".join(texts), np.uint8), "string_lengths": lengths}


def strings_of(arrays: Mapping[str, NDArray[Any]], rows: int) -> tuple[tuple[str, ...], ...]:
    """Reads what `arrays_of_strings` made of columns of so many rows.

    Raises:
        ValueError: it is no such thing.
    """
    content, lengths = arrays["strings"].tobytes(), arrays["string_lengths"].tolist()
    if sum(lengths) != len(content) or any(length < 0 for length in lengths) or (rows and len(lengths) % rows):
        raise ValueError("the texts are not one for each row")
    ends = np.cumsum([0, *lengths]).tolist()
    texts = [content[start:end].decode() for start, end in pairwise(ends)]
    return tuple(tuple(texts[start : start + rows]) for start in range(0, len(texts), rows or 1))


def padded(rows: EncodedExamples, width: int | None = None) -> dict[str, NDArray[np.int32]]:
    """Lays rows out as the tutorial's three arrays, int32, (rows, columns), padded with zeros at their end.

    Args:
        rows: each one sequence.
        width: columns; None takes as many as the longest row has.
    """
    columns = np.arange(int(rows.lengths.max()) if width is None else width)
    mask = columns < rows.lengths[:, None]
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = rows.token_ids
    types = mask & (columns >= rows.first_lengths[:, None])
    return {"input_word_ids": ids, "input_mask": mask.astype(np.int32), "input_type_ids": types.astype(np.int32)}
