"""Which vector instructions this processor has, by which the same file is fast or slow, and right or wrong, on it."""

import platform
from pathlib import Path
from typing import Final

# Those that change how fast, or how exactly, matrices are multiplied; in the order of their age.
_OF_INTEREST: Final = (
    *("avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "sve", "i8mm", "bf16"),
)
# With one of these, products of 8-bit numbers are added up in 32 bits; without, pairs of them saturate at 16.
_EXACT_PRODUCTS: Final = ("avx512_vnni", "avx_vnni", "amx_int8")


def instructions() -> tuple[str, ...]:
    """Returns the architecture and its instructions for products of matrices, where the system tells them."""
    flags = _flags()
    return platform.machine(), *(name for name in _OF_INTEREST if name in flags)


def integer_instructions() -> str | None:
    """Returns what this processor multiplies 8-bit integers exactly with; None for an x86 without."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return platform.machine()
    flags = _flags()
    return next((name for name in _EXACT_PRODUCTS if name in flags), None)


def _flags() -> frozenset[str]:
    """Reads what Linux calls flags on an x86 and features on ARM; elsewhere there are none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split() for line in lines if line.startswith(("flags", "Features"))), []))
