"""The beginning of a text that decides its first tokens, so that nobody tokenizes ten megabytes for 128 of them."""

import re
from typing import Final

#: Characters a token below which it is not worth looking.
_ROOM: Final = 16
#: Words beyond those that are asked for.
MARGIN: Final = 16
# White space of every tokenizer here: words on both sides of it know nothing of each other.
_WORD: Final = re.compile(r"[^ \t\n\r]+")
# A letter or digit, which no step of the normalizer removes: what has one becomes a token or more.
_KEPT: Final = re.compile(r"[^\W_]")


def beginning(text: str, tokens: int) -> str:
    """Cuts a long text at white space behind enough words for so many tokens, and some more.

    Args:
        text: of any length; a short one is returned as it is, as is one without white space.
        tokens: that are wanted.

    Returns:
        The text, or a beginning of it: the first `tokens` tokens of both are the same, and the beginning has more.
    """
    if len(text) <= _ROOM * (tokens + MARGIN):
        return text
    wanted = tokens + MARGIN
    for word in _WORD.finditer(text):
        if _KEPT.search(text, word.start(), word.end()):
            wanted -= 1
            if not wanted:
                return text[: word.end()]
    return text
