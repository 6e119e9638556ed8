"""Which number type the layers compute in on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from bertune.errors import ConfigError

# The command line's help reads the names below and must not wait for torch.
if TYPE_CHECKING:
    import torch

    from bertune.encoder.encoder import Encoder

Precision = Literal["auto", "bf16", "fp32"]


def choose_precision(wanted: Precision, device: "torch.device") -> "torch.dtype":
    """Returns the type for the encoder's layers.

    Args:
        wanted: `auto` takes bf16 where the device multiplies it natively; emulated bf16 would be slower than fp32.
        device: where the encoder computes.

    Raises:
        ConfigError: an unknown name.
    """
    import torch

    if wanted == "auto":
        return torch.bfloat16 if _has_native_bf16(device) else torch.float32
    if wanted not in ("bf16", "fp32"):
        raise ConfigError(f"precision must be auto, bf16 or fp32, not {wanted!r}")
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _has_native_bf16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Private in torch, so a release without it means fp32, never a crash.
        is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(is_supported and is_supported())
    return False


def name_of(dtype: "torch.dtype") -> str:
    """Returns the name by which a precision is set."""
    import torch

    return {torch.bfloat16: "bf16", torch.float32: "fp32"}[dtype]


@contextmanager
def computing_in(encoder: "Encoder", dtype: "torch.dtype") -> Iterator[None]:
    """Makes the encoder's layers compute in a type, and in what it was before afterwards."""
    import torch

    from bertune.encoder.exact_products import fast_float32_products

    before = encoder.compute_dtype
    encoder.compute_dtype = dtype
    try:
        with fast_float32_products() if dtype == torch.float32 else nullcontext():
            yield
    finally:
        encoder.compute_dtype = before
