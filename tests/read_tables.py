"""Reads the tables whose paths stand on standard input and prints a line for each, in a process that may die of it."""

import resource
import sys
import time

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import BertuneError


def outcome(path: str) -> str:
    """Says how the reading of a table ended."""
    try:
        read_examples(path, Columns("text", None, "label"), on_bad_row="skip")
    except BertuneError as error:
        return "typed" if path in error.message and error.exit_code in (2, 3) else f"unnamed: {error.message}"
    except Exception as error:
        return f"untyped: {error!r:.200}"
    return "read"


def main() -> None:
    """Reads them all."""
    for line in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        print("begins", line.strip(), flush=True)
        ended = outcome(line.strip())
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        print(f"{time.process_time() - started:.3f}", grown, ended, flush=True)


if __name__ == "__main__":
    main()
