"""A second kind of tokenizer: byte-level BPE of a few merges, with RoBERTa's template."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, processors

from bertune.errors import DataError
from bertune.tokenization.added_tokens import AddedToken
from bertune.tokenization.pair_template import PairTemplate
from bertune.tokenization.tokenizer_protocol import AlignedPiece, WhiteSpace

ROBERTA = PairTemplate("<s> {a} </s>", "<s> {a} </s></s> {b} </s>")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MERGES = [("g", "o"), ("o", "d"), ("go", "od"), ("Ġ", "good"), ("b", "a"), ("ba", "d"), ("Ġ", "bad")]
VOCABULARY = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(one + other for one, other in MERGES)]


class ByteLevelTokenizer:
    """What the protocol asks for, and no more.

    Args:
        white_space: what it says of itself; `leads` is the truth.
    """

    def __init__(self, white_space: WhiteSpace = "leads") -> None:
        self._ids = {piece: number for number, piece in enumerate(VOCABULARY)}
        self.pipeline = tokenizers.Tokenizer(models.BPE(vocab=self._ids, merges=MERGES))
        self.pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.pipeline.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
        self._white_space = white_space

    @property
    def template(self) -> PairTemplate:
        return ROBERTA

    @property
    def white_space(self) -> WhiteSpace:
        return self._white_space

    @property
    def algorithm(self) -> str:
        return "byte-level BPE"

    @property
    def vocab_size(self) -> int:
        return len(VOCABULARY)

    @property
    def do_lower_case(self) -> bool:
        return False

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        return ()

    @property
    def pad_id(self) -> int:
        return SPECIAL.index("<pad>")

    @property
    def unk_id(self) -> int | None:
        return None

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{ROBERTA} {self.pipeline.to_str()}".encode()).hexdigest()

    @property
    def code_digest(self) -> str:
        return hashlib.sha256(tokenizers.__version__.encode()).hexdigest()

    def encode_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        found = [encoding.ids for encoding in self.pipeline.encode_batch(list(texts), add_special_tokens=False)]
        flat = np.array(list(chain.from_iterable(found)), np.int32)
        return flat, np.cumsum([0, *map(len, found)], dtype=np.int64)

    def align(self, text: str) -> list[AlignedPiece]:
        found = self.pipeline.encode(text, add_special_tokens=False)
        aligned = zip(found.tokens, found.word_ids, found.offsets, strict=True)
        return [AlignedPiece(piece, word or 0, *place) for piece, word, place in aligned]

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        try:
            return [self._ids[token] for token in tokens]
        except KeyError as error:
            raise DataError(f"the token {error.args[0]!r} is not in the vocabulary") from None

    def save(self, directory: str | os.PathLike[str], *, model_max_length: int = 512) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.pipeline.save(str(Path(directory) / "tokenizer.json"))
