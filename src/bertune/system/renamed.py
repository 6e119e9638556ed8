"""Public names that changed: the old one works for a release, with a DeprecationWarning."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def warn_renamed(before: str, now: str, *, stacklevel: int = 3) -> None:
    """Warns that a name is deprecated.

    Args:
        before: the old name, as the caller wrote it.
        now: the name to use in its place.
        stacklevel: of the line that the warning names, counted from here.
    """
    warnings.warn(f"{before} is deprecated: use {now}", DeprecationWarning, stacklevel=stacklevel)


def takes_renamed(before: str, now: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Makes a function take a keyword by its old name too.

    Args:
        before: the old name.
        now: the parameter.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def renamed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if before in kwargs:
                if now in kwargs:
                    raise TypeError(f"{function.__name__}() got {before}= and {now}=, which are the same")
                warn_renamed(f"{before}= of {function.__name__}", f"{now}=")
                kwargs[now] = kwargs.pop(before)
            return function(*args, **kwargs)

        return renamed

    return decorate


class RenamedAttribute:
    """An attribute by its old name."""

    def __init__(self, now: str) -> None:
        self._now = now

    def __set_name__(self, owner: type, name: str) -> None:
        self._before = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        warn_renamed(f".{self._before} of {owner.__name__}", f".{self._now}")
        return getattr(instance, self._now)
