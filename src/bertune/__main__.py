"""Where the process of the command line begins: `bertune`, and `python -m bertune`."""

import gc
import os
import sys


def start() -> int:
    """Runs the command line and returns its exit code."""
    # What is imported stays until the process ends. To look for garbage in it, meanwhile and at the end, takes a tenth
    # of the time of `bertune --help`.
    gc.disable()
    from bertune.processors import limit_threads

    limit_threads(os.environ)
    from bertune.cli import main

    gc.freeze()
    gc.enable()
    return main()


if __name__ == "__main__":
    sys.exit(start())
