"""Texts and labels that a program holds in lists, arrays or series: checked value by value, each named by its place."""

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from bertune.data.label_words import label_word
from bertune.errors import DataError
from bertune.wording.nearest import shorten

# How pandas writes nothing; told by name, since pandas need not be installed.
_NOTHING = ("NAType", "NaTType")
# Each gives Python's own values: pyarrow's arrays, the series of polars and pandas, the arrays of NumPy and torch.
_TO_VALUES = ("to_pylist", "to_list", "tolist")


def listed(values: Any, name: str) -> list[Any]:
    """Returns the values of a list, array, series or any other iterable in its order.

    Args:
        values: what was given.
        name: how messages call it, as the caller would write it.

    Raises:
        DataError: it is one text, a mapping or a set, or cannot be iterated.
    """
    if isinstance(values, str):
        raise DataError(f"{name} is one text, expected several", hint=f"put it into a list: [{name}]")
    if isinstance(values, Mapping):
        keys = ", ".join(repr(key) for key in list(values)[:3])
        raise DataError(
            f"{name} is a {type(values).__name__} with the keys {keys}, expected a list",
            hint="give one of its values, or a data frame with columns",
        )
    if isinstance(values, Set):
        raise DataError(f"{name} is a {type(values).__name__}, which has no order", hint="give a list")
    if isinstance(values, bytes | bytearray) or not isinstance(values, Iterable):
        raise DataError(f"{name} is {described(values)}, expected a list")
    for method in _TO_VALUES:
        if hasattr(values, method):
            found = getattr(values, method)()
            if isinstance(found, list):
                return found
    return list(values)


def texts_in(values: Any, name: str) -> list[str]:
    """Returns texts as a list.

    Raises:
        DataError: they are no list, or one of them is no text; names its place.
    """
    texts = listed(values, name)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{name}[{place}] is {described(text)}, expected a text", hint=_hint_for_text(text))
    return texts


def label_words_in(values: Any, name: str) -> tuple[list[str] | None, list[tuple[str, ...]] | None]:
    """Returns labels or targets as the words that a file would hold: numbers become their digits.

    Args:
        values: a label or number for each example, or a list of labels for each.
        name: how messages call it.

    Returns:
        The words and None; or None and the words of each example, where it has a list of them.

    Raises:
        DataError: they are no list, or one of them is missing, blank or no label; names its place.
    """
    labels = listed(values, name)
    if labels and all(isinstance(label, list | tuple | np.ndarray) for label in labels):
        return None, [
            tuple(_word(label, f"{name}[{place}][{number}]") for number, label in enumerate(several))
            for place, several in enumerate(labels)
        ]
    return [_word(label, f"{name}[{place}]") for place, label in enumerate(labels)], None


def described(value: Any) -> str:
    """Says in a few words what a value is, for a message."""
    if is_nothing(value):
        return f"{value} (nothing)"
    if isinstance(value, str):
        return f"the text '{shorten(value, 20)}'"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return f"the number {value}" if not isinstance(value, bool | np.bool_) else f"{value}"
    return f"of type {type(value).__name__}"


def is_nothing(value: Any) -> bool:
    """Tells whether a value stands for a missing one: None, NaN, or what pandas writes."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in _NOTHING


def _word(label: Any, where: str) -> str:
    value = label.item() if isinstance(label, np.generic) else label
    if not is_nothing(value):
        try:
            word = label_word(value)
        except TypeError:
            word = None
        if word is not None and word.strip():
            return word
    found = "blank" if isinstance(value, str) else described(value)
    raise DataError(f"{where} is {found}, expected a label", hint="leave out examples without a label")


def _hint_for_text(value: Any) -> str | None:
    if is_nothing(value):
        return "leave it out, or make it an empty text"
    return "make it a text with str(…)" if isinstance(value, int | float | np.number) else None
