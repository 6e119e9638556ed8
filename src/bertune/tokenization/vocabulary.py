"""Vocabulary files: one WordPiece a line, its id the line number from 0.

The original's `load_vocab` accepts almost anything and so shifts or loses ids without a word. Here each such file is
refused with its line: see docs/concepts/tokenizer.md.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.git_pointer import refuse_pointer

CLS: Final = "[CLS]"
SEP: Final = "[SEP]"
PAD: Final = "[PAD]"
UNK: Final = "[UNK]"
MASK: Final = "[MASK]"
SPECIAL_TOKENS: Final = (PAD, UNK, CLS, SEP, MASK)

#: The largest WordPiece vocabulary of a published BERT, LaBSE's, has 501,153 pieces, and 10 MB as tokenizer.json.
MAX_PIECES: Final = 1_000_000
MAX_VOCABULARY_BYTES: Final = 32_000_000

_RESTORE = "use the vocab.txt that came with the model, unchanged"


def read_vocabulary(path: Path) -> list[str]:
    """Reads the pieces of a vocab.txt, in the order of their ids.

    Lines end in line feeds, or all of them in CRLF. A whole piece may be a white space character beyond ASCII, such as
    the U+2028 and ##U+2028 of bert-base-chinese: no word is spelled with it, but it has its id.

    Raises:
        CheckpointError: the file is missing, empty, a Git LFS pointer, not UTF-8, begins with a byte order mark, has
            both kinds of line ends or other carriage returns, a blank line, white space around a piece, a piece twice,
            or lacks one of the special tokens.
    """
    content = read_bounded(path, MAX_VOCABULARY_BYTES)
    if content.count(b"\n") > MAX_PIECES:
        raise CheckpointError(f"{path}: more than {MAX_PIECES:,} lines, more than any vocabulary has", hint=_RESTORE)
    if not content:
        raise CheckpointError(f"{path}: the vocabulary is empty", hint=_RESTORE)
    if content.startswith(b"\xef\xbb\xbf"):
        raise CheckpointError(f"{path}, line 1: begins with a byte order mark (BOM)", hint="save the file without it")
    refuse_pointer(path, content)
    lines = _without_carriage_returns(content.removesuffix(b"\n").split(b"\n"), path)
    pieces = [_decode(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    check_pieces(pieces, [f"{path}, line {number}" for number in range(1, len(pieces) + 1)], str(path))
    return pieces


def check_pieces(pieces: Sequence[str], places: Sequence[str], source: str) -> None:
    """Refuses a vocabulary that different readers number or match differently.

    Args:
        pieces: in the order of their ids.
        places: for each piece, where it stands, for the message.
        source: the file.

    Raises:
        CheckpointError: names the place.
    """
    first_place: dict[str, str] = {}
    for piece, place in zip(pieces, places, strict=True):
        body = piece.removeprefix("##")
        is_space = body.isspace() and not any(map(str.isascii, body))
        if not piece.strip() and not is_space:
            raise CheckpointError(f"{place}: blank, expected one piece", hint=_RESTORE)
        if piece != piece.strip() and not is_space:
            raise CheckpointError(f"{place}: white space around the piece {piece!r}", hint=_RESTORE)
        if piece in first_place:
            raise CheckpointError(f"{place}: {piece!r} stands there already at {first_place[piece]}", hint=_RESTORE)
        first_place[piece] = place
    missing = [token for token in SPECIAL_TOKENS if token not in first_place]
    if missing:
        raise CheckpointError(
            f"{source}: the vocabulary lacks {', '.join(missing)}",
            hint="only BERT's WordPiece vocabularies, with these spellings, are supported",
        )
    # A WordPiece vocabulary of whole words alone is possible; one with the sign of SentencePiece is not.
    if not any(piece.startswith("##") for piece in pieces) and any(piece.startswith("\u2581") for piece in pieces):
        raise CheckpointError(
            f"{source}: no piece begins with ##, some with \u2581 (U+2581): this is a SentencePiece vocabulary",
            hint="only WordPiece vocabularies are supported; take a BERT model that has one, such as"
            " --model bert-base-multilingual-cased",
        )


def looks_cased(pieces: Sequence[str]) -> bool:
    """Tells a cased vocabulary by its ASCII capitals outside of bracketed tokens such as [CLS] and [unused7].

    An uncased tokenizer never makes a capital A to Z, so its vocabulary has none. Other scripts say nothing here:
    older Unicode versions lower-cased fewer of them.
    """
    words = (piece for piece in pieces if not (piece.startswith("[") and piece.endswith("]")))
    return any("A" <= char <= "Z" for piece in words for char in piece)


def _without_carriage_returns(lines: list[bytes], path: Path) -> list[bytes]:
    """Takes away the carriage returns of a file whose lines all end in CRLF, as Windows editors write them."""
    ends = [line.endswith(b"\r") for line in lines]
    # The last line may be without an end.
    if any(ends) and not all(ends[:-1]):
        raise CheckpointError(
            f"{path}, line {ends.index(True) + 1}: Windows line end (CRLF), "
            f"where line {ends.index(False) + 1} ends in LF",
            hint=rf"run: sed -i 's/\r$//' {shlex.quote(str(path))}",
        )
    plain = [line.removesuffix(b"\r") for line in lines]
    odd = next((number for number, line in enumerate(plain, start=1) if b"\r" in line), None)
    if odd is not None:
        raise CheckpointError(f"{path}, line {odd}: carriage return inside of a piece", hint=_RESTORE)
    return plain


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{place}: not UTF-8 (byte {error.start + 1} of the line)", hint=_RESTORE) from error
