"""Instructions of a processor for products of 8-bit integers."""

import platform
from pathlib import Path
from typing import Final

# With one of these, products of 8-bit numbers are added up in 32 bits; without, pairs of them saturate at 16.
_EXACT_PRODUCTS: Final = ("avx512_vnni", "avx_vnni", "amx_int8")


def integer_instructions() -> str | None:
    """Returns what this processor multiplies 8-bit integers exactly with; None for an x86 without."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return next((name for name in _EXACT_PRODUCTS if name in flags), None)
