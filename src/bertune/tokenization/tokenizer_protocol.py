"""What the rest of the package needs of a tokenizer, whatever its kind."""

import os
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertune.tokenization.added_tokens import AddedToken
from bertune.tokenization.pair_template import PairTemplate

#: What white space means to the pieces around it.
#:
#: - `separates`: it belongs to no piece, and words on both sides of it know nothing of each other, as in WordPiece: a
#:   text has the pieces of its words, each encoded alone.
#: - `leads`: words know nothing of each other, but white space may belong to the word behind it, as in byte-level BPE:
#:   the beginning of a text has the first pieces of the text, a word alone may have others.
#: - `unknown`: pieces may reach across it; only a whole text has its pieces.
WhiteSpace = Literal["separates", "leads", "unknown"]


class AlignedPiece(NamedTuple):
    """A piece and where it stands in its text.

    Attributes:
        piece: as in the vocabulary.
        word: number of the word that it is a part of, from 0; a punctuation mark is a word of its own.
        start: its first character in the text.
        end: behind its last character.
    """

    piece: str
    word: int
    start: int
    end: int


class Tokenizer(Protocol):
    """Text to token ids. It can be pickled: processes that encode get a copy.

    Example:
        >>> tokenizer: bertune.Tokenizer = bertune.read_tokenizer("bert")
        >>> ids, offsets = tokenizer.encode_flat(["good film", "bad"])
        >>> len(offsets)
        3
    """

    @property
    def template(self) -> PairTemplate:
        """Where its special pieces stand; all of them are in the vocabulary."""

    @property
    def white_space(self) -> WhiteSpace:
        """What white space means to the pieces around it."""

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that splits words, for messages: `WordPiece`."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens among them: the rows that the encoder's table must have."""

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """Tokens that are cut out of texts before words are split."""

    @property
    def pad_id(self) -> int:
        """Id of the padding piece; in explanations it stands in the place of a piece that is taken away."""

    @property
    def unk_id(self) -> int | None:
        """Id of the piece for what the vocabulary cannot spell; None where it spells everything."""

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over all that decides the ids of a text and the special ids around it."""

    @property
    def code_digest(self) -> str:
        """SHA-256, hexadecimal, over the code that runs it and its version, for ids that are kept on disk."""

    def encode_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Gives ids of all texts one after another, without special tokens.

        Returns:
            Flat ids, and offsets (texts + 1): text i is `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            DataError: an entry is not a string; names its number from 0.
        """

    def align(self, text: str) -> list[AlignedPiece]:
        """Gives the pieces of one text, as many as it has ids, each with its place in the text."""

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Gives ids of pieces.

        Raises:
            DataError: a piece is not in the vocabulary.
        """

    def save(self, directory: str | os.PathLike[str], *, model_max_length: int = 512) -> None:
        """Writes its files into a directory, made when absent; `read_tokenizer` then reads the same tokenizer.

        Args:
            directory: where to.
            model_max_length: the most tokens the model takes, for those who read tokenizer_config.json.
        """


def special_ids_of(tokenizer: Tokenizer) -> dict[str, int]:
    """Gives the ids of the special pieces in a tokenizer's template."""
    pieces = tokenizer.template.pieces
    return dict(zip(pieces, tokenizer.convert_tokens_to_ids(pieces), strict=True))
