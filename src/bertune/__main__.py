"""Where the process of the command line begins: `bertune`, and `python -m bertune`."""

import gc
import os
import signal
import sys
from types import FrameType


def start() -> int:
    """Runs the command line and returns its exit code."""
    # Ignored it is where a shell started the command in the background.
    answers_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers_interrupts:
        # The command line, which answers signals, is not there yet, and what is imported may swallow an exception.
        signal.signal(signal.SIGINT, _leave)
    # What is imported stays until the process ends. To look for garbage in it, meanwhile and at the end, takes a tenth
    # of the time of `bertune --help`.
    gc.disable()
    from bertune.system.processors import limit_threads

    limit_threads(os.environ)
    from bertune.cli import main

    gc.freeze()
    gc.enable()
    try:
        return main()
    finally:
        # All is said: a signal that comes now ends the process, without a traceback.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if answers_interrupts:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _leave(_signum: int, _frame: FrameType | None) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(start())
