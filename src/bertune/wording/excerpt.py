"""The beginning of a text that is too long to be kept or shown."""

from typing import Final

KEPT_CHARACTERS: Final = 1_000
"""Of a text in the files of a run."""


def excerpt(text: str, most: int) -> str:
    """Returns a text of at most so many characters and, where it was longer, an ellipsis and how long it was."""
    if len(text) <= most:
        return text
    return f"{text[:most].rstrip()} … ({len(text):,} characters)"
