"""Plain values of a JSON file with one of them changed, in every place and in the ways in which programs differ."""

import copy
from collections.abc import Iterator
from typing import Any

_OTHERS: tuple[Any, ...] = (None, [], {}, "x", True, -1, 10**18, 1e308, [[]], {"x": None})
_MOST_OF_A_LIST = 2


def changed(values: Any) -> Iterator[Any]:
    """Changes one value at a time: takes it out, or puts another one in its place.

    Of a list only the first entries are changed: the others are like them.
    """
    for place in list(_places(values, ())):
        if place:
            without = copy.deepcopy(values)
            del _at(without, place[:-1])[place[-1]]
            yield without
        for other in _OTHERS:
            if not place:
                yield copy.deepcopy(other)
                continue
            instead = copy.deepcopy(values)
            _at(instead, place[:-1])[place[-1]] = copy.deepcopy(other)
            yield instead


def _places(values: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        if isinstance(values, dict) or key < _MOST_OF_A_LIST:
            yield from _places(value, (*place, key))


def _at(values: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        values = values[key]
    return values
