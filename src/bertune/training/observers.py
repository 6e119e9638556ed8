"""Several observers of a run as one."""

from collections.abc import Iterable
from typing import Any

from bertune.training.history import Observer


class Observers:
    """Tells each observer in turn; one that raises ends the run there.

    Args:
        observers: in the order in which they are told; None is left out.
    """

    def __init__(self, observers: Iterable[Observer | None]) -> None:
        self._observers = tuple(observer for observer in observers if observer is not None)

    def on_start(self, *arguments: Any) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.on_start(*arguments)

    def on_step(self, result: Any) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.on_step(result)

    def on_epoch(self, result: Any) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.on_epoch(result)
