"""Labels of typed formats as words, so that one data set reads alike from CSV, JSON, Parquet and Arrow."""

import math
from collections.abc import Mapping
from typing import Any

from bertune.system.json_file import parse_json

_EXACT_INTEGERS = 2.0**53


def label_word(value: object) -> str | None:
    """Writes a label or target as the word that a CSV file would hold.

    Truth values become ``true`` and ``false``; integers their decimal digits; floating-point numbers without a
    fraction lose the ``.0`` (pandas turns integer columns with gaps into them), others keep all digits. Nothing and NaN
    (how pandas writes nothing) are a missing label.

    Args:
        value: what the file holds.

    Returns:
        The word, or None for a missing label.

    Raises:
        TypeError: a list, an object or another value that is no single label.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_INTEGERS else repr(value)
    raise TypeError(f"a {type(value).__name__} is no label")


def _of_lists(feature: Any) -> Any:
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature", feature) if isinstance(feature, dict) else feature


def class_label_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Reads the label words that Hugging Face `datasets` writes into the schema of Parquet and Arrow files.

    Args:
        metadata: the metadata of an Arrow schema.

    Returns:
        For each ClassLabel column, and each column of lists of them, its words in the order of their ids; empty where
        there are none.
    """
    try:
        features = parse_json((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        # The labels of a list column are described one level deeper.
        inner = {name: _of_lists(feature) for name, feature in features.items()}
        pairs = [(name, feature.get("names")) for name, feature in inner.items() if isinstance(feature, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        name: tuple(names)
        for name, names in pairs
        if isinstance(names, list) and names and all(isinstance(word, str) for word in names)
    }
