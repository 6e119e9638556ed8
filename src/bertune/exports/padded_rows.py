"""The rows of a proof, as a file between processes and as the padded batches that other runtimes take.

Nothing here imports torch: the process that runs another runtime has no need of it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

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
        texts: how many of them are texts; the others are made of random ids.
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
        with path.open("wb") as stream:
            np.savez(
                stream,
                token_ids=self.encoded.token_ids.astype(np.int32),
                offsets=self.encoded.offsets,
                first_lengths=self.encoded.first_lengths,
                sizes=np.array([self.texts, self.vocab_size, self.max_positions, self.encoded.max_length]),
                strings=np.frombuffer(json.dumps(self.strings, allow_nan=False).encode(), np.uint8),
            )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            texts, vocab_size, max_positions, max_length = (int(size) for size in stored["sizes"])
            first_lengths = stored["first_lengths"]
            truncated = np.zeros(len(first_lengths), dtype=bool)
            encoded = EncodedExamples(stored["token_ids"], stored["offsets"], first_lengths, truncated, max_length)
            strings = tuple(map(tuple, json.loads(stored["strings"].tobytes())))
        return cls(encoded, texts, vocab_size, max_positions, strings)

    def without_strings(self) -> Self:
        """Returns the rows behind those whose texts are given."""
        behind = np.arange(self.texts if self.strings else 0, len(self))
        return replace(self, encoded=self.encoded.take(behind), texts=0, strings=())

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
        chosen = self.encoded.take(indices)
        columns = np.arange(width)
        real = columns < chosen.lengths[:, None]
        ids = random.integers(self.vocab_size, size=real.shape)
        ids[real] = chosen.token_ids
        types = np.where(real, columns >= chosen.first_lengths[:, None], random.integers(2, size=real.shape))
        arrays = {"input_word_ids": ids, "input_mask": real, "input_type_ids": types}
        return {name: array.astype(np.int32) for name, array in arrays.items()}
