"""The signals that tell a server, or the process that started it, to end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def heeding_signals(heed: Callable[[int], None]) -> Iterator[None]:
    """Has the running loop take SIGTERM and SIGINT; afterwards, until the process has ended, they are ignored.

    Args:
        heed: told the number of each that comes; one that the process ignores stays ignored.
    """
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, heed, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            # What is left is to end; the command line's answer to a signal would be another exit code.
            signal.signal(number, signal.SIG_IGN)
