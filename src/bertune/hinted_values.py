"""Values from files, held against the type hints of the fields that they are for."""

import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def fits(value: Any, hint: Any) -> bool:
    """Tells whether a value, as JSON and TOML hold it, is one of a type.

    Args:
        value: a list stands for a tuple, a text for a path, a whole number also for a float; nothing else is bent.
        hint: a plain type, `None`, a union, a literal, or a tuple or mapping of such.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        of_list = isinstance(value, list) and all(fits(part, arguments[0]) for part in value)
        return of_list and (arguments[-1] is Ellipsis or len(value) == len(arguments))
    if origin is Mapping:
        return isinstance(value, dict) and all(fits(part, arguments[1]) for part in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is (str if hint is Path else hint)


def checked_fields(values: Any, kind: type) -> dict[str, Any]:
    """Makes sure that an object of a file has what a dataclass needs.

    Args:
        values: what the file holds.
        kind: a dataclass whose fields are plain.

    Returns:
        The values.

    Raises:
        ValueError: says which entry is missing, unknown or of another kind.
    """
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found {type(values).__name__}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"unknown entry {name!a:.60}")
        if not fits(value, hints[name]):
            raise ValueError(f"{name} is {value!a:.60}, which does not belong there")
    for field in fields(kind):
        if field.name not in values and field.default is field.default_factory:  # both are MISSING
            raise ValueError(f"{field.name} is missing")
    return values


def described(hint: Any) -> str:
    """Says what a value of a type is, to a reader who knows no Python."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(described(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)} numbers"
        return "a list of texts" if arguments[0] is str else "a list of whole numbers"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    return words[hint]
