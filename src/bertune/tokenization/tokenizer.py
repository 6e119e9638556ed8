"""Text to token ids, exactly as Google's FullTokenizer."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bertune.errors import DataError
from bertune.tokenization import directory as tokenizer_directory
from bertune.tokenization.added_tokens import AddedToken
from bertune.tokenization.components import build_pipeline, stand_in
from bertune.tokenization.pair_template import BERT, PairTemplate
from bertune.tokenization.parallelism import guard_forks
from bertune.tokenization.tokenizer_protocol import AlignedPiece, WhiteSpace
from bertune.tokenization.truncation import check_max_length, truncated_lengths
from bertune.tokenization.unicode_tables import UNICODE_VERSION
from bertune.tokenization.valid_text import valid_text
from bertune.tokenization.vocabulary import CLS, PAD, SEP, UNK, read_vocabulary

# The library keeps much beside the ids of each text until it is asked for them; chunks bound that memory.
_TEXTS_PER_CHUNK = 8192


class BertTokenizer:
    """Splits text into WordPieces with the ids of Google's `FullTokenizer` (tf-models-official 2.20.0).

    Equal on any string, including those on which the plain `tokenizers` library differs
    (docs/concepts/tokenizer.md). Half a surrogate pair, which no valid text holds, makes its word [UNK] as there.

    Args:
        vocab_file: a vocab.txt, one piece a line.
        do_lower_case: True for an uncased vocabulary: lower-case and strip accents. False for a cased one.

    Raises:
        CheckpointError: the vocabulary is not one that every reader numbers alike.

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> tokenizer.tokenize("Good film?")
        ['good', 'film', '[UNK]']
    """

    def __init__(self, vocab_file: str | os.PathLike[str], do_lower_case: bool = True) -> None:
        self._set_up(read_vocabulary(Path(vocab_file)), do_lower_case=do_lower_case)

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> "BertTokenizer":
        """Reads the tokenizer of a model directory: vocab.txt, tokenizer.json, tokenizer_config.json.

        Tokens that were added to it (`add_tokens` of transformers) are read from tokenizer.json, tokenizer_config.json,
        added_tokens.json and special_tokens_map.json; BERT's own special tokens stay plain text where a text has them.
        The pieces come from vocab.txt, else from tokenizer.json; lower-casing from `do_lower_case` in
        tokenizer_config.json, else from the normalizer in tokenizer.json, else from the vocabulary, which is cased
        if a piece other than a bracketed one holds a capital A to Z.

        Raises:
            CheckpointError: a file is missing or broken, two of them disagree, or they describe another tokenizer
                than BERT's WordPiece.
        """
        files = tokenizer_directory.read(Path(directory))
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(files.pieces, do_lower_case=files.do_lower_case, added=files.added)
        return tokenizer

    def _set_up(self, pieces: list[str], *, do_lower_case: bool, added: Sequence[AddedToken] = ()) -> None:
        guard_forks()
        self._added = tuple(added)
        self._word_pieces = pieces
        self._pieces = [*pieces, *(token.content for token in added if token.id >= len(pieces))]
        self._vocab = {piece: index for index, piece in enumerate(self._pieces)}
        self._do_lower_case = do_lower_case
        self._stand_in = stand_in("".join(self._pieces))
        word_pieces = {piece: index for index, piece in enumerate(pieces)}
        self._pipeline: Tokenizer = build_pipeline(
            word_pieces, do_lower_case=do_lower_case, template=BERT, unk=UNK, added=added
        )

    @property
    def template(self) -> PairTemplate:
        """Where [CLS] and [SEP] stand around texts."""
        return BERT

    @property
    def white_space(self) -> WhiteSpace:
        """White space parts words and belongs to none of them."""
        return "separates"

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that splits words."""
        return "WordPiece"

    @property
    def vocab(self) -> dict[str, int]:
        """Piece to id, added tokens among them."""
        return self._vocab

    @property
    def vocab_size(self) -> int:
        """Number of pieces, added tokens among them: the rows that the encoder's table must have."""
        return len(self._pieces)

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased and stripped of accents."""
        return self._do_lower_case

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """Tokens that are cut out of texts before words are split, in the order of their ids."""
        return self._added

    @property
    def cls_id(self) -> int:
        """Id of [CLS]."""
        return self._vocab[CLS]

    @property
    def sep_id(self) -> int:
        """Id of [SEP]."""
        return self._vocab[SEP]

    @property
    def pad_id(self) -> int:
        """Id of [PAD]."""
        return self._vocab[PAD]

    @property
    def unk_id(self) -> int:
        """Id of [UNK]."""
        return self._vocab[UNK]

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over the vocabulary and all that decides the ids of a text."""
        head = f"wordpiece do_lower_case={self._do_lower_case} unicode={UNICODE_VERSION}"
        added = [f"added {token}" for token in self._added]
        return hashlib.sha256("\n".join([head, *self._pieces, *added]).encode()).hexdigest()

    @property
    def code_digest(self) -> str:
        """SHA-256, hexadecimal, over the components that split a text and the versions of the code that runs them.

        For ids that are kept on disk: `digest` is the same before and after a mended component, the ids may not be.
        """
        versions = f"bertune {metadata.version('bertune')} tokenizers {metadata.version('tokenizers')}"
        content = "\n".join([versions, self._stand_in, self._pipeline.to_str(pretty=False)])
        return hashlib.sha256(content.encode()).hexdigest()

    def tokenize(self, text: str) -> list[str]:
        """Pieces of one text, without special tokens."""
        return self.convert_ids_to_tokens(self.encode_batch([text])[0])

    def align(self, text: str) -> list[AlignedPiece]:
        """Pieces of one text, those of `tokenize`, each with its place in the text as it was given.

        A word that the vocabulary cannot spell is one [UNK] over all of its characters.
        """
        found = self._pipeline.encode(self._valid_text(text, 0), add_special_tokens=False)
        aligned = zip(found.tokens, found.word_ids, found.offsets, strict=True)
        # Only special tokens belong to no word, and there are none.
        return [AlignedPiece(piece, word, *place) for piece, word, place in aligned if word is not None]

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Ids of pieces.

        Raises:
            DataError: a token is not in the vocabulary.
        """
        try:
            return [self._vocab[token] for token in tokens]
        except KeyError as error:
            raise DataError(
                f"the token {error.args[0]!r} is not in the vocabulary", hint="tokenize() makes only known tokens"
            ) from None

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Pieces of ids.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        tokens = []
        for index in ids:
            if not 0 <= index < len(self._pieces):
                raise DataError(f"the id {index} is not in the vocabulary, which has {len(self._pieces)} pieces")
            tokens.append(self._pieces[index])
        return tokens

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without special tokens; on all cores.

        Raises:
            DataError: an entry is not a string; names its number from 0.
        """
        return list(chain.from_iterable(self._chunks(texts)))

    def encode_flat(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids of all texts one after another, without special tokens, and where each text starts and ends.

        Returns:
            Flat ids, and offsets (texts + 1): text i is `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            DataError: an entry is not a string; names its number from 0.
        """
        flat = [np.empty(0, np.int32)]
        offsets = np.zeros(len(texts) + 1, np.int64)
        done = 0
        for chunk in self._chunks(texts):
            flat.append(np.fromiter(chain.from_iterable(chunk), np.int32))
            offsets[done + 1 : done + len(chunk) + 1] = [len(ids) for ids in chunk]
            done += len(chunk)
        return np.concatenate(flat), np.cumsum(offsets)

    def encode(
        self, text_a: str, text_b: str | None = None, *, max_length: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Ids and type ids of `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.

        Args:
            text_a: the first text.
            text_b: the second text of a pair.
            max_length: at most so many tokens, special tokens counted; None keeps all.

        Raises:
            ConfigError: max_length leaves no token of a text.
            DataError: a text is not a string.
        """
        pairs = text_b is not None
        if max_length is not None:
            check_max_length(max_length, template=BERT, pairs=pairs)
        texts = self.encode_batch([text_a] if text_b is None else [text_a, text_b])
        if max_length is not None:
            room = BERT.room(max_length, pairs=pairs)
            kept = truncated_lengths(len(texts[0]), len(texts[1]), room) if pairs else (room,)
            texts = [ids[:length] for ids, length in zip(texts, kept, strict=True)]
        before, *behind = ([self._vocab[piece] for piece in gap] for gap in BERT.gaps(pairs=pairs))
        ids, type_ids = list(before), [0] * len(before)
        for type_id, (text, gap) in enumerate(zip(texts, behind, strict=True)):
            ids += text + gap
            type_ids += [type_id] * (len(text) + len(gap))
        return ids, type_ids

    def save(self, directory: str | os.PathLike[str], *, model_max_length: int = 512) -> None:
        """Writes vocab.txt, tokenizer.json and tokenizer_config.json into a directory, made when absent.

        transformers' `AutoTokenizer.from_pretrained(directory)` then gives the same ids.

        Args:
            directory: where to.
            model_max_length: the most tokens the model takes, for those who read tokenizer_config.json.
        """
        tokenizer_directory.write(
            Path(directory),
            pieces=self._word_pieces,
            do_lower_case=self._do_lower_case,
            tokenizer_json=self._pipeline.to_str(pretty=False),
            model_max_length=model_max_length,
        )

    def _chunks(self, texts: Sequence[str]) -> Iterator[list[list[int]]]:
        if isinstance(texts, str):
            raise DataError("expected a sequence of texts, got one string", hint="put it into a list")
        for start in range(0, len(texts), _TEXTS_PER_CHUNK):
            chunk = [
                self._valid_text(text, number)
                for number, text in enumerate(texts[start : start + _TEXTS_PER_CHUNK], start)
            ]
            yield [encoding.ids for encoding in self._pipeline.encode_batch_fast(chunk, add_special_tokens=False)]

    def _valid_text(self, text: object, number: int) -> str:
        """The text as the library can take it: UTF-8 has no halves of surrogate pairs."""
        return valid_text(text, number, stand_in=self._stand_in)
