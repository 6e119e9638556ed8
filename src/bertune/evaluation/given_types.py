"""Forms in which a program gives texts to be predicted or scored."""

from collections.abc import Iterable
from typing import Any, Protocol

from bertune.data.examples import Examples


class ArrowStream(Protocol):
    """A table in memory that can be read through Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Gives the stream, as a capsule."""


GivenTexts = Examples | ArrowStream | Iterable[str] | Iterable[tuple[str, str]]
GivenLabelled = Examples | ArrowStream | tuple[GivenTexts, Iterable[Any]]
