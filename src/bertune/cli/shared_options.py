"""Flags that mean the same on every verb that has them."""

from dataclasses import dataclass
from typing import Literal

from bertune.nn.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Where and how a model answers.

    Args:
        precision: in which the layers compute; bf16 is faster where the processor multiplies it natively.
        device: where to compute; auto takes the GPU where torch finds one.
    """

    precision: Literal["auto", "bf16", "fp32"] = "fp32"
    device: DeviceName = "auto"

    def flags(self) -> dict[str, bool]:
        """Tells of each flag whether it is set."""
        return {"precision": self.precision != "fp32", "device": self.device != "auto"}


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What a verb prints.

    Args:
        json: print one JSON document.
        quiet: print nothing but the result and errors.
    """

    json: bool = False
    quiet: bool = False
