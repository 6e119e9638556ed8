"""JSON from disk, none of which is trusted: the one reader of all such files.

What Python's reader takes and nothing here can use is refused: NaN, numbers that no program computes with, a key twice
in an object, half of a surrogate pair, and nesting that ends the stack of whoever walks over it.
"""

import json
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

from bertune.errors import BertuneError, CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.git_pointer import refuse_pointer

JsonObject = dict[str, Any]
"""An object of a JSON file as it stands there. What is passed on between rooms has a type of its own."""

MAX_JSON_BYTES: Final = 16_000_000
#: Of files that bertune itself writes: scores of a hundred thousand labels are 20 MB.
MAX_OWN_BYTES: Final = 256_000_000
MAX_DEPTH: Final = 100
#: What an integer of 64 bits holds.
MAX_INTEGER: Final = 2**63 - 1
#: `transformers` writes 10**30 for "no limit".
MAX_FOREIGN_INTEGER: Final = 10**31


def read_json_object(
    path: str | Path,
    *,
    max_bytes: int = MAX_JSON_BYTES,
    max_integer: int = MAX_INTEGER,
    any_text: bool = False,
    error: type[BertuneError] = CheckpointError,
) -> JsonObject:
    """Reads a JSON file that must hold one object.

    Args:
        path: the file.
        max_bytes: a larger file is refused unread.
        max_integer: see `parse_json`, as for the next.
        any_text: whether halves of surrogate pairs are taken.
        error: what is raised.

    Raises:
        BertuneError: as `error` says: the file is missing, no plain file, too large, not UTF-8, not JSON, holds
            something else, or what `parse_json` refuses.
    """
    content = read_bounded(path, max_bytes, error=error)
    refuse_pointer(Path(path), content)
    if not content.strip():
        raise error(f"{path}: the file is empty", hint="bring it back from a copy")
    try:
        values = parse_json(content, max_integer=max_integer, any_text=any_text)
    except ValueError as problem:
        hint = "bring it back from a copy, or download it again"
        raise error(f"{path}: not a JSON file ({problem})", hint=hint) from problem
    if not isinstance(values, dict):
        raise error(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def parse_json(content: bytes, *, max_integer: int = MAX_INTEGER, any_text: bool = False) -> Any:
    """Reads JSON.

    Args:
        content: in UTF-8.
        max_integer: the largest integer, below and above 0.
        any_text: whether halves of surrogate pairs are taken, as texts of data may hold them.

    Raises:
        ValueError: what is wrong: not UTF-8, not JSON, or one of what the module says.
    """
    try:
        values = json.loads(
            content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_repetition
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    check_values(values, max_integer=max_integer, any_text=any_text)
    return values


def check_values(values: Any, *, max_integer: int = MAX_INTEGER, any_text: bool = False) -> None:
    """Refuses what is nested too deeply, numbers that are too large, and texts that are no Unicode.

    Args:
        values: of dicts, lists and plain values.
        max_integer: see `parse_json`, as for the next.
        any_text: whether halves of surrogate pairs are taken.

    Raises:
        ValueError: says what was found.
    """
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not any_text:
                    _check_texts(value)
                inner += _worth_a_look(value.values())
            elif isinstance(value, list):
                inner += _worth_a_look(value)
            elif isinstance(value, str):
                if not any_text:
                    _check_texts((value,))
            elif isinstance(value, float):
                if math.isinf(value):
                    raise ValueError("a number is too large")
            elif isinstance(value, int) and not -max_integer <= value <= max_integer:
                raise ValueError("a whole number is too large")
        if not inner:
            return
        level = inner
    raise ValueError("nested too deeply")


def _worth_a_look(values: Collection[Any]) -> Collection[Any]:
    """Spares whole numbers between the least and the largest, such as the ids of tens of thousands of pieces."""
    return (min(values), max(values)) if set(map(type, values)) == {int} else values


def _check_texts(texts: Iterable[str]) -> None:
    try:
        # Together: halves of a pair, at the end of one text and the beginning of the next, make no pair either.
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair, which is no character") from None


def repeated_key(pairs: list[tuple[str, Any]]) -> str | None:
    """Returns the first key that stands twice in an object, None where none does."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return None


def _without_repetition(pairs: list[tuple[str, Any]]) -> JsonObject:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"the key {repeated_key(pairs)!a:.60} stands twice in one object")
    return values


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
