"""The known word a user most likely meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Finds the known word closest to a mistyped one.

    Upper and lower case count as equal, so ``Sentence1`` finds ``sentence1``.

    Args:
        word: what was given.
        known: what would have been right.

    Returns:
        The closest known word, or None where nothing is close.
    """
    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    # difflib takes time quadratic in the length: nobody mistypes a word of thousands of characters.
    matches = difflib.get_close_matches(word.casefold()[:200], list(by_folded), n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Makes a hint of the closest known word, or None where nothing is close."""
    match = nearest(word, known)
    return None if match is None else f"did you mean '{match}'?"


def shorten(text: str, limit: int = 60) -> str:
    """Cuts a text for use inside a message and makes its control characters visible."""
    visible = repr(text if len(text) <= limit else text[:limit] + "…")[1:-1]
    return visible.replace("\\'", "'")
