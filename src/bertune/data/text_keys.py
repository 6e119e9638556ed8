"""64-bit keys of texts, so that repetitions are found among numbers and the texts need not be held.

Two different texts get the same key by chance once in 2^64: among a million texts some two are taken for equal with
odds of 1 to 37 million, among a hundred million with odds of 1 to 3,700. Keys are Python's own hashes (SipHash with a
random key a process), so they mean nothing to another process.
"""

import re
import unicodedata
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

# Format characters (category Cf) that leave no trace in a line: soft hyphens, zero widths, marks of direction.
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0020-\U000e007f]"
)
_NOT_WORDS = re.compile(r"[\W_]+")
_ASCII_NOT_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}
_ODD = np.uint64(0x9E3779B97F4A7C15)


def same_look(text: str) -> str:
    """Gives one text for all that look the same: composed characters (NFKC), without those that are not seen."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text))


def normalised(text: str) -> str:
    """Folds case, composes characters and turns what is between words into one space.

    A text without words stays as it is, trimmed.
    """
    folded = same_look(same_look(text).casefold())
    if folded.isascii():  # the same, three times as fast
        return " ".join(folded.translate(_ASCII_NOT_WORDS).split()) or text.strip()
    return _NOT_WORDS.sub(" ", folded).strip() or text.strip()


def keys_of(texts: Collection[str]) -> Keys:
    """Gives the key of each text, (texts,)."""
    return np.fromiter(map(hash, texts), dtype=np.int64, count=len(texts)).view(np.uint64)


def pair_keys(first: Keys, second: Keys) -> Keys:
    """Gives one key for each pair of keys; (a, b) and (b, a) get different ones."""
    mixed: Keys = _mix(_mix(first) ^ (second + _ODD))
    return mixed


def unordered_keys(first: Keys, second: Keys) -> Keys:
    """Gives one key for each pair of keys, the same for (a, b) and (b, a)."""
    mixed: Keys = _mix(first) + _mix(second)
    return mixed


def _mix(keys: Keys) -> Keys:
    """Spreads every bit over all others (the finalizer of SplitMix64), one to one."""
    mixed = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Keys = mixed ^ (mixed >> np.uint64(31))
    return result
