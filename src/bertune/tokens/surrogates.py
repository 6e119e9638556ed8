"""Halves of surrogate pairs: Python's strings may hold them, UTF-8 and so the `tokenizers` library may not."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str, stand_in: str) -> str:
    """Puts another character in the place of each half of a surrogate pair."""
    return text if text.isascii() else _SURROGATES.sub(stand_in, text)
