"""Vocabulary files: one WordPiece a line, its id the line number from 0.

The original's `load_vocab` accepts almost anything and so shifts or loses ids without a word. Here each such file is
refused with its line: see docs/concepts/tokenizer.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bertune.errors import CheckpointError

CLS: Final = "[CLS]"
SEP: Final = "[SEP]"
PAD: Final = "[PAD]"
UNK: Final = "[UNK]"
MASK: Final = "[MASK]"
SPECIAL_TOKENS: Final = (PAD, UNK, CLS, SEP, MASK)

_RESTORE = "use the vocab.txt that came with the model, unchanged"


def read_vocabulary(path: Path) -> list[str]:
    """Reads the pieces of a vocab.txt, in the order of their ids.

    Raises:
        CheckpointError: the file is missing, empty, not UTF-8, begins with a byte order mark, has Windows line ends or
            other carriage returns, a blank line, white space around a piece, a piece twice, or lacks one of the special
            tokens.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: the vocabulary cannot be read ({error.strerror})", hint="give the path of a vocab.txt"
        ) from error
    if not content:
        raise CheckpointError(f"{path}: the vocabulary is empty", hint=_RESTORE)
    if content.startswith(b"\xef\xbb\xbf"):
        raise CheckpointError(f"{path}, line 1: begins with a byte order mark (BOM)", hint="save the file without it")
    lines = content.removesuffix(b"\n").split(b"\n")
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
        if not piece.strip():
            raise CheckpointError(f"{place}: blank, expected one piece", hint=_RESTORE)
        if piece != piece.strip():
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


def looks_cased(pieces: Sequence[str]) -> bool:
    """Tells a cased vocabulary by its ASCII capitals outside of bracketed tokens such as [CLS] and [unused7].

    An uncased tokenizer never makes a capital A to Z, so its vocabulary has none. Other scripts say nothing here:
    older Unicode versions lower-cased fewer of them.
    """
    words = (piece for piece in pieces if not (piece.startswith("[") and piece.endswith("]")))
    return any("A" <= char <= "Z" for piece in words for char in piece)


def _decode(line: bytes, place: str) -> str:
    if b"\r" in line:
        kind = "Windows line end (CRLF)" if line.endswith(b"\r") else "carriage return inside of a piece"
        raise CheckpointError(f"{place}: {kind}", hint="convert the file to plain line feeds")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{place}: not UTF-8 (byte {error.start + 1} of the line)", hint=_RESTORE) from error
