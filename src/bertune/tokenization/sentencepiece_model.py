"""The model file of SentencePiece: pieces with scores, and how a text is normalized before it is split.

Source: `sentencepiece_model.proto` of https://github.com/google/sentencepiece, version 0.2.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.git_pointer import refuse_pointer
from bertune.system.protobuf_wire import WireError, as_bytes, as_int, as_text, fields
from bertune.tokenization.charsmap import charsmap_fault
from bertune.tokenization.vocabulary import MAX_PIECES, MAX_VOCABULARY_BYTES

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
_UNIGRAM = 1
_ALGORITHMS: Final = {1: "Unigram", 2: "BPE", 3: "word", 4: "char"}
_RESTORE = "copy the file again"


@dataclass(frozen=True)
class SentencePiece:
    """One piece.

    Args:
        text: with U+2581 for a space.
        score: its log probability.
        kind: `NORMAL` and so on.
    """

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What the file says of the splitting of texts.

    Args:
        pieces: in the order of their ids.
        charsmap: the table of normalization, empty for none.
        add_dummy_prefix: whether a text begins with a space more.
        remove_extra_whitespaces: whether several spaces are one, and those at the ends none.
        byte_fallback: whether characters without a piece are split into bytes.
    """

    pieces: tuple[SentencePiece, ...]
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    byte_fallback: bool

    @property
    def unk_id(self) -> int:
        """Number of the piece for what no other spells."""
        return next(number for number, piece in enumerate(self.pieces) if piece.kind == UNKNOWN)


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Reads a model of the Unigram algorithm.

    Raises:
        CheckpointError: the file is missing, cut or damaged, or of another algorithm.
    """
    content = read_bounded(path, MAX_VOCABULARY_BYTES)
    refuse_pointer(path, content)
    try:
        found = _parse(path, memoryview(content))
    except (WireError, struct.error) as error:
        raise CheckpointError(f"{path}: not a model of SentencePiece ({error})", hint=_RESTORE) from error
    _check(path, found.pieces)
    if found.charsmap and (fault := charsmap_fault(found.charsmap)):
        raise CheckpointError(
            f"{path}: the table of characters (precompiled_charsmap) is damaged: {fault}", hint=_RESTORE
        )
    return found


@dataclass
class _Normalizer:
    charsmap: bytes = b""
    flags: dict[int, bool] = field(default_factory=dict)


# Fields of `NormalizerSpec`.
_CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5
# Fields of `TrainerSpec`.
_MODEL_TYPE, _SUFFIX, _BYTE_FALLBACK = 3, 24, 35


def _parse(path: Path, content: memoryview) -> SentencePieceModel:
    pieces: list[SentencePiece] = []
    normalizer = _Normalizer()
    trainer: dict[int, int] = {}
    for number, value in fields(content):
        if number == 1:
            if len(pieces) == MAX_PIECES:
                raise CheckpointError(f"{path}: more than {MAX_PIECES:,} pieces, more than any vocabulary has")
            pieces.append(_piece(as_bytes(value)))
        elif number == 2:
            wanted = (_MODEL_TYPE, _SUFFIX, _BYTE_FALLBACK)
            trainer |= {key: as_int(inner) for key, inner in fields(as_bytes(value)) if key in wanted}
        elif number == 3:
            _read_normalizer(as_bytes(value), normalizer)
    algorithm = trainer.get(_MODEL_TYPE, _UNIGRAM)
    if algorithm != _UNIGRAM:
        raise CheckpointError(
            f"{path}: the algorithm is {_ALGORITHMS.get(algorithm, str(algorithm))}, only Unigram models of "
            "SentencePiece are read",
            hint="save the tokenizer as tokenizer.json: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    if trainer.get(_SUFFIX) or not normalizer.flags.get(_ESCAPE_SPACES, True):
        raise CheckpointError(
            f"{path}: white space is not written as U+2581 before its word, as it is in every encoder's model"
        )
    return SentencePieceModel(
        tuple(pieces),
        normalizer.charsmap,
        add_dummy_prefix=normalizer.flags.get(_DUMMY_PREFIX, True),
        remove_extra_whitespaces=normalizer.flags.get(_REMOVE_SPACES, True),
        byte_fallback=bool(trainer.get(_BYTE_FALLBACK)),
    )


def _piece(content: memoryview) -> SentencePiece:
    text, score, kind = "", 0.0, NORMAL
    for number, value in fields(content):
        if number == 1:
            text = as_text(value)
        elif number == 2:
            (score,) = struct.unpack("<f", struct.pack("<I", as_int(value)))
        elif number == 3:
            kind = as_int(value)
    return SentencePiece(text, score, kind)


def _read_normalizer(content: memoryview, normalizer: _Normalizer) -> None:
    for number, value in fields(content):
        if number == _CHARSMAP:
            normalizer.charsmap = bytes(as_bytes(value))
        elif number in (_DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES):
            normalizer.flags[number] = bool(as_int(value))


def _check(path: Path, pieces: tuple[SentencePiece, ...]) -> None:
    first: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        if not piece.text or not abs(piece.score) < float("inf"):
            raise CheckpointError(f"{path}: the piece {number} is empty, or its score is no number", hint=_RESTORE)
        if piece.text in first:
            raise CheckpointError(
                f"{path}: the pieces {first[piece.text]} and {number} are both {piece.text!r:.60}", hint=_RESTORE
            )
        if piece.kind == UNUSED or not NORMAL <= piece.kind <= BYTE:
            raise CheckpointError(
                f"{path}: the piece {number}, {piece.text!r:.60}, is of the kind {piece.kind}, which is not supported"
            )
        first[piece.text] = number
    if sum(piece.kind == UNKNOWN for piece in pieces) != 1:
        raise CheckpointError(f"{path}: not a model of SentencePiece (no piece for what is unknown, or several)")
