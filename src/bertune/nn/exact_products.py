"""float32 matrix products by the faster of two libraries, where its results are float32's."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from bertune.system.feature_switches import is_disabled

# Rounding float32 inputs to bfloat16 would show at 2e-3; sums in another order at 1e-6.
_TOLERANCE = 1e-5


@contextmanager
def fast_float32_products() -> Iterator[None]:
    """Sends float32 products to oneDNN on processors where that is faster and as exact.

    Torch's setting for it is called "bf16": it allows oneDNN to round inputs to bfloat16. Without AMX oneDNN has no
    such kernel and computes in float32, on AMD's processors faster than torch's default library there. So
    that nothing depends on this being so, a product is computed first and compared with float64.
    """
    if not are_of_onednn():
        yield
        return
    with _oneDNN():
        yield


@contextmanager
def _oneDNN() -> Iterator[None]:  # noqa: N802 (its name)
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


@cache
def are_of_onednn() -> bool:
    """Returns whether `fast_float32_products` sends them to oneDNN here."""
    return not is_disabled("fp32-products") and _is_amd() and is_exact()


def is_exact() -> bool:
    """Returns whether oneDNN's product of float32 matrices is one of float32."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 384, generator=generator), torch.randn(384, 256, generator=generator)
    exact = a.double() @ b.double()
    with _oneDNN():
        error = ((a @ b).double() - exact).abs().max() / exact.abs().max()
    return bool(error < _TOLERANCE)


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
