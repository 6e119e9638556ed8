"""The texts of one example as a model reads them: their pieces and words, and the tokens that stand for them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertune.data.examples import Examples
from bertune.evaluation.predictor import TokenizedModel
from bertune.tokenization.encode_texts import EncodedExamples, encode_with_origins
from bertune.tokenization.pair_template import NO_TEXT
from bertune.tokenization.tokenizer_protocol import AlignedPiece


@dataclass(frozen=True, eq=False)
class ReadTexts:
    """One example as the model reads it.

    Args:
        texts: one, or the two of a pair.
        pieces: of all texts, one text after another, those included that the model does not read.
        text_of_piece: (pieces,) 0 for the first text, 1 for the second.
        encoded: the token ids: one example, of one sequence or of the windows of a long text.
        piece_of_token: (tokens,) which piece each token of the sequences is; -1 for special tokens.
    """

    texts: tuple[str, ...]
    pieces: list[AlignedPiece]
    text_of_piece: npt.NDArray[np.int64]
    encoded: EncodedExamples
    piece_of_token: npt.NDArray[np.int64]

    @property
    def sequences(self) -> EncodedExamples:
        """The token ids of the sequences, each an example of its own."""
        return self.encoded.sequences

    @property
    def is_text(self) -> npt.NDArray[np.bool_]:
        """(tokens,) whether a token is a piece of a text, and no special token."""
        return np.not_equal(self.piece_of_token, NO_TEXT)

    @property
    def read_pieces(self) -> npt.NDArray[np.int64]:
        """Numbers of the pieces that are in a sequence, ascending; the others were cut off."""
        return np.unique(self.piece_of_token[self.is_text])

    @property
    def unread(self) -> tuple[int, ...]:
        """How many pieces of each text were cut off."""
        read = self.text_of_piece[self.read_pieces]
        return tuple(int((self.text_of_piece == text).sum() - (read == text).sum()) for text in range(len(self.texts)))

    def words(self) -> list[npt.NDArray[np.int64]]:
        """The words that are read, each as the numbers of its pieces that are read."""
        found: dict[tuple[int, int], list[int]] = {}
        for number in self.read_pieces.tolist():
            found.setdefault((int(self.text_of_piece[number]), self.pieces[number].word), []).append(number)
        return [np.array(numbers) for numbers in found.values()]


def read_texts(model: TokenizedModel, examples: Examples, row: int) -> ReadTexts:
    """Encodes one example as the model does, and tells which piece became which token."""
    one = examples.select([row])
    texts = tuple(one.texts_a + (one.texts_b or []))
    aligned = [model.tokenizer.align(text) for text in texts]
    encoded, origins = encode_with_origins(
        one.texts_a,
        one.texts_b,
        model.tokenizer,
        model.signature.max_length,
        long_text=model.signature.long_text,
        window_stride=model.signature.window_stride,
    )
    return ReadTexts(
        texts=texts,
        pieces=[piece for pieces in aligned for piece in pieces],
        text_of_piece=np.repeat(np.arange(len(texts)), [len(pieces) for pieces in aligned]),
        encoded=encoded,
        piece_of_token=origins.number + np.where(origins.text == 1, len(aligned[0]), 0),
    )
