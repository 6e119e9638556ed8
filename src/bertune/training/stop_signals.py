"""Ctrl-C and SIGTERM while a run trains: the first asks it to stop at the next step, the second ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from bertune.system.process_group import ProcessGroup

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


class StopAskedError(Exception):
    """Raised by the first signal where nothing has to be finished first."""


class StopSignals:
    """Whether the run was asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False
        self._may_leave = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Takes the place of the handlers that are there, until the block ends; only in the main thread."""
        if threading.current_thread() is not threading.main_thread():  # where no handler can be set
            yield
            return
        # Ignored they are by shells, behind `&`; None is a handler that is not Python's.
        known = {number: signal.getsignal(number) for number in _NUMBERS}
        self._before = {number: known[number] for number in known if known[number] not in (signal.SIG_IGN, None)}
        for number in self._before:
            signal.signal(number, self._take)
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def may_leave(self) -> Iterator[None]:
        """Lets the first signal end the block at once.

        Raises:
            StopAskedError: it came, now or before.
        """
        self._may_leave = True
        try:
            if self.is_asked:
                raise StopAskedError
            yield
        except Exception as error:
            # A library that is interrupted while it calls Python may make another error of it.
            if self.is_asked and not isinstance(error, StopAskedError):
                raise StopAskedError from error
            raise
        finally:
            self._may_leave = False

    def agree(self, group: ProcessGroup) -> None:
        """Makes what one process of a group was asked known to all."""
        self.is_asked = group.any(self.is_asked)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            handler = self._before[number]
            self._give_back()
            if callable(handler):
                handler(number, frame)
            else:
                signal.raise_signal(number)
            return
        self.is_asked = True
        if self._may_leave:
            raise StopAskedError

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
