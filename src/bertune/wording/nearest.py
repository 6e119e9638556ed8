"""The known word a user most likely meant."""

import difflib
import re
from collections.abc import Iterable

_DIGITS = re.compile(r"\d+")


def nearest(word: str, known: Iterable[str], *, alike: float = 0.5) -> str | None:
    """Finds the known word closest to a mistyped one.

    Upper and lower case count as equal, so ``Sentence1`` finds ``sentence1``. What differs in its digits alone is
    another thing, not a mistyped one: ``301`` is no ``314``, ``T-0007`` no ``T-0017``.

    Args:
        word: what was given.
        known: what would have been right.
        alike: how much of both must be equal, from 0 to 1.

    Returns:
        The closest known word, or None where nothing is close.
    """
    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    # difflib takes time quadratic in the length: nobody mistypes a word of thousands of characters.
    matches = difflib.get_close_matches(word.casefold()[:200], list(by_folded), n=3, cutoff=alike)
    return next((by_folded[match] for match in matches if not _differ_in_digits(match, word.casefold())), None)


def _differ_in_digits(one: str, other: str) -> bool:
    """Tells whether two words have digits, and nothing else is different."""
    return one != other and _DIGITS.sub("0", one) == _DIGITS.sub("0", other)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Makes a hint of the closest known word, or None where nothing is close."""
    match = nearest(word, known)
    return None if match is None else f"did you mean '{shorten(match)}'?"


def shown_label(label: str, limit: int = 60) -> str:
    """Gives a label as it stands in a table: in quotes where a blank at its end or a sign would not be seen."""
    shown = shorten(label, limit)
    return shown if label == label.strip() and label.isprintable() else f"'{shown}'"


def shorten(text: str, limit: int = 60) -> str:
    """Cuts a text for use inside a message and makes its control characters visible."""
    visible = repr(text if len(text) <= limit else text[:limit] + "…")[1:-1]
    return visible.replace("\\'", "'")
