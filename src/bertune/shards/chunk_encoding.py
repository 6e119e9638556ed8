"""The step of re-encoding that costs time: texts of a chunk to ids, and to the bytes of records."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bertune.shards.manifest import ShardFormat
from bertune.shards.tfrecord import framed_examples
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongText
from bertune.tokenization.tokenizer_protocol import Tokenizer


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows to encode.

    Args:
        texts_a: the texts, or the first texts of pairs.
        texts_b: the second texts of pairs.
        targets: (rows,) class ids or values.
        first_id: position of the first row in the data set.
    """

    texts_a: list[str]
    texts_b: list[str] | None
    targets: NDArray[Any] | None
    first_id: int


@dataclass(frozen=True, eq=False)
class EncodedChunk:
    """What became of a chunk.

    Args:
        rows: examples.
        tokens: of all.
        truncated: examples that lost tokens.
        records: the bytes of its records; empty for a store.
        encoded: the examples, for a store.
        targets: those of the chunk, for a store.
    """

    rows: int
    tokens: int
    truncated: int
    records: bytes
    encoded: EncodedExamples | None
    targets: NDArray[Any] | None


@dataclass(frozen=True)
class ChunkEncoder:
    """Encodes chunks; a pure function of the chunk, so it does not matter which process does it.

    Args:
        tokenizer: makes the ids.
        max_length: most tokens of an example.
        format: of the result.
        long_text: what becomes of longer ones.
    """

    tokenizer: Tokenizer
    max_length: int
    format: ShardFormat
    long_text: LongText = "first"

    def __call__(self, chunk: Chunk) -> EncodedChunk:
        """Encodes one chunk."""
        encoded = encode_examples(
            chunk.texts_a, chunk.texts_b, self.tokenizer, self.max_length, long_text=self.long_text
        )
        counts = len(encoded), int(encoded.offsets[-1]), int(encoded.truncated.sum())
        if self.format == "store":
            return EncodedChunk(*counts, b"", encoded, chunk.targets)
        return EncodedChunk(*counts, framed_examples(encoded, chunk.targets, first_id=chunk.first_id), None, None)
