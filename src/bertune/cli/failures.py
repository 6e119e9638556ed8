"""Ends of a command that failed by no error of bertune's: one message, and the exit code."""

import contextlib
import errno
import os
import sys
import traceback
from typing import Final

from bertune.cli.terminal import say

_LONGEST_LINE: Final = 2000
# What a container that serves exports does without, see docs/guides/deploy.md.
_PACKAGES: Final = frozenset(
    {"httpx", "huggingface_hub", "matplotlib", "pyarrow", "safetensors", "scipy", "tomli_w", "torch"}
)
_PACKAGES_HINT: Final = (
    "pip install bertune brings it; without, there are predict, verify and serve, of exports to ONNX"
)
_MEMORY_HINT: Final = "use a smaller --micro-batch-size or --max-length"


def fail_on(error: Exception) -> int:
    """Tells of an error that nothing in bertune raised on purpose.

    Returns:
        The exit code.
    """
    if isinstance(error, OSError):
        return _fail_on_system_error(error)
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return fail("not enough memory", _MEMORY_HINT, 4)
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in _PACKAGES:
        return fail(f"{package} is not installed, and this needs it", _PACKAGES_HINT, 2)
    return _fail_unexpectedly(error)


def _fail_on_system_error(error: OSError) -> int:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return fail(f"{error.filename or 'output'}: {error.strerror}", "free some space, or write elsewhere", 4)
    if error.filename is None:
        return _fail_unexpectedly(error)
    return fail(f"{error.filename}: {error.strerror}", None, 3)


def _fail_unexpectedly(error: Exception) -> int:
    if os.environ.get("BERTUNE_TRACEBACK"):
        traceback.print_exc()
    message = f"unexpected {type(error).__name__}: {_one_line(str(error))}"
    return fail(message, "this is a fault of bertune; run again with BERTUNE_TRACEBACK=1 and report what it prints", 1)


def fail(message: str, hint: str | None, code: int) -> int:
    """Tells what failed and what to do.

    Returns:
        The exit code that was given.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    for line in (*_message_lines(f"error: {message}"), *([f"hint: {hint}"] if hint else [])):
        say(line)
    return code


def _message_lines(message: str) -> list[str]:
    """Gives the lines of a message; a line end in a name makes none, since what belongs to a message is indented.

    A name from a file could otherwise show a hint of its own. Nor is a line of any length shown.
    """
    lines: list[str] = []
    for line in message.split("\n"):
        if lines and not line.startswith("  "):
            lines[-1] += "\n" + line  # `say` shows what it is
        else:
            lines.append(line)
    return [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines]


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch had no memory left; on the CPU it says so in the text of a plain RuntimeError only."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())
