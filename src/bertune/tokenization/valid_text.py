"""Texts as the `tokenizers` library takes them: Python's may hold halves of surrogate pairs, UTF-8 may not."""

import re

from bertune.errors import DataError

_SURROGATES = re.compile("[\ud800-\udfff]")


def valid_text(text: object, number: int, *, stand_in: str) -> str:
    """Puts another character in the place of each half of a surrogate pair.

    Args:
        text: to encode.
        number: of the text, for the message.
        stand_in: the other character.

    Raises:
        DataError: it is no text.
    """
    if not isinstance(text, str):
        raise DataError(
            f"text {number} is {type(text).__name__}, expected str", hint="convert or remove cells that are no text"
        )
    return text if text.isascii() else _SURROGATES.sub(stand_in, text)
