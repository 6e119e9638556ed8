"""Which number type the layers compute in on this machine."""

from typing import TYPE_CHECKING, Literal

from bertune.errors import ConfigError

# The command line's help reads the names below and must not wait for torch.
if TYPE_CHECKING:
    import torch

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


def name_of(dtype: "torch.dtype") -> Literal["bf16", "fp32"]:
    """Returns the name by which a precision is set."""
    import torch

    names: dict[torch.dtype, Literal["bf16", "fp32"]] = {torch.bfloat16: "bf16", torch.float32: "fp32"}
    return names[dtype]
