"""Vocabulary files: one WordPiece a line, its id the line number from 0.

The original's `load_vocab` accepts almost anything and so shifts or loses ids without a word. Here each such file is
refused with its line: see docs/concepts/tokenizer.md.
"""

import shlex
from collections.abc import Callable, Sequence
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
#: The largest tokenizer.json of an encoder, that of 256,000 pieces of mmBERT, has 34 MB.
MAX_TOKENIZER_BYTES: Final = 40_000_000

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
    lines = content.removesuffix(b"\n").split(b"\n")
    if b"\r" in content:
        lines = _without_carriage_returns(lines, path)
    pieces = _decoded(lines, path)
    check_pieces(pieces, lambda index: f"{path}, line {index + 1}", str(path))
    return pieces


def check_pieces(pieces: Sequence[str], place_of: Callable[[int], str], source: str) -> None:
    """Refuses a vocabulary that different readers number or match differently.

    Args:
        pieces: in the order of their ids.
        place_of: tells of a piece, by its number from 0, where it stands, for the message.
        source: the file.

    Raises:
        CheckpointError: names the place.
    """
    known, whole = set(pieces), "\n".join(pieces)
    # Almost all vocabularies pass both at a glance: no piece twice, and white space in none.
    if len(known) != len(pieces) or whole.split() != pieces:
        _check_each_piece(pieces, place_of)
    missing = [token for token in SPECIAL_TOKENS if token not in known]
    if missing:
        raise CheckpointError(
            f"{source}: the vocabulary lacks {', '.join(missing)}",
            hint="only BERT's WordPiece vocabularies, with these spellings, are supported",
        )
    # A WordPiece vocabulary of whole words alone is possible; one with the sign of SentencePiece is not.
    if "\n\u2581" in f"\n{whole}" and not any(piece.startswith("##") for piece in pieces):
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


def _check_each_piece(pieces: Sequence[str], place_of: Callable[[int], str]) -> None:
    first: dict[str, int] = {}
    for index, piece in enumerate(pieces):
        body = piece.removeprefix("##")
        is_space = body.isspace() and not any(map(str.isascii, body))
        if not piece.strip() and not is_space:
            raise CheckpointError(f"{place_of(index)}: blank, expected one piece", hint=_RESTORE)
        if piece != piece.strip() and not is_space:
            raise CheckpointError(f"{place_of(index)}: white space around the piece {piece!r}", hint=_RESTORE)
        if piece in first:
            raise CheckpointError(
                f"{place_of(index)}: {piece!r} stands there already at {place_of(first[piece])}", hint=_RESTORE
            )
        first[piece] = index


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


def _decoded(lines: list[bytes], path: Path) -> list[str]:
    try:
        # No line feed is part of another character in UTF-8, so that lines can be decoded together.
        return b"\n".join(lines).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start)
        place = error.start - (error.object.rfind(b"\n", 0, error.start) + 1)
        raise CheckpointError(
            f"{path}, line {number + 1}: not UTF-8 (byte {place + 1} of the line)", hint=_RESTORE
        ) from error
