"""Memory that one training step frees and the next one takes again."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bertune.system.feature_switches import is_disabled

# Numbers of glibc's settings, from its malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_MIB = 1 << 20
_WHILE = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * _MIB}
# Where glibc's own adaptation ends in a process that frees large tensors; it adapts no more once it has been told.
_AFTERWARDS = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB, _TOP_PAD: 128 * 1024}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Has glibc keep what is freed meanwhile; at the end it is given back to the system.

    Otherwise the activations of each step are mapped, filled with zeros page by page, and unmapped again. Elsewhere
    than with glibc, and where the environment already sets its allocator, nothing is done.
    """
    if not _may_set():
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, _WHILE)
    try:
        yield
    finally:
        _set(libc, _AFTERWARDS)
        libc.malloc_trim(0)


def _may_set() -> bool:
    if sys.platform != "linux" or is_disabled("kept-memory"):
        return False
    told = [name for name in os.environ if name.startswith("MALLOC_")]
    if told or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def _set(libc: ctypes.CDLL, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        libc.mallopt(name, value)
