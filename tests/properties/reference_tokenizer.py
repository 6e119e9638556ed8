"""FullTokenizer's algorithm in plain Python, character by character, for comparison; slow, and without our tables.

Meant for Unicode 14.0.0, that is Python 3.11; later interpreters know more characters.
"""

import unicodedata
from collections.abc import Iterator, Mapping

CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def reference_pieces(text: str, vocab: Mapping[str, int], *, do_lower_case: bool) -> list[str]:
    """Pieces of a text, without special tokens."""
    return [piece for word in _words(text, do_lower_case) for piece in _spell(word, vocab)]


def _words(text: str, do_lower_case: bool) -> Iterator[str]:
    spaced = "".join(f" {char} " if _is_cjk(char) else char for char in map(_clean, text))
    for word in spaced.split():
        kept = _lowered(word) if do_lower_case else word
        yield from "".join(f" {char} " if _is_punctuation(char) else char for char in kept).split()


def _lowered(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.lower())
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def _clean(char: str) -> str:
    if char in "\t\n\r":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    return " " if unicodedata.category(char) == "Zs" else char


def _is_cjk(char: str) -> bool:
    return bool(char) and any(first <= ord(char) <= last for first, last in CJK)


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or char in "$+<=>^`|~"


def _spell(word: str, vocab: Mapping[str, int]) -> list[str]:
    if len(word) > 400:
        return ["[UNK]"]
    pieces: list[str] = []
    rest = word
    while rest:
        prefix = "##" if pieces else ""
        length = next((n for n in range(len(rest), 0, -1) if prefix + rest[:n] in vocab), 0)
        if not length:
            return ["[UNK]"]
        pieces.append(prefix + rest[:length])
        rest = rest[length:]
    return pieces
