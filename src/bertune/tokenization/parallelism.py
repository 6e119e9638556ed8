"""Keeps the threads of `tokenizers` and forked processes apart.

The library tokenizes a batch on all cores. A process forked after that has no such threads: the library then prints a
warning and falls back, or, told by TOKENIZERS_PARALLELISM=true to go on, hangs. So a forked child is told to work on
one thread before it asks; the parent stays as it was. A user's own setting is left alone.
"""

import os
from functools import cache

_VARIABLE = "TOKENIZERS_PARALLELISM"


class _ForkGuard:
    """Sets the variable for the moment of the fork; the child keeps it, the parent does not."""

    def __init__(self) -> None:
        self._ours = False

    def before(self) -> None:
        self._ours = _VARIABLE not in os.environ
        if self._ours:
            os.environ[_VARIABLE] = "false"

    def in_parent(self) -> None:
        if self._ours:
            os.environ.pop(_VARIABLE, None)
            self._ours = False


@cache
def guard_forks() -> None:
    """Installs the guard, once a process."""
    if hasattr(os, "register_at_fork"):
        guard = _ForkGuard()
        os.register_at_fork(before=guard.before, after_in_parent=guard.in_parent)
