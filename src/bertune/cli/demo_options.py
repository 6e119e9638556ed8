"""The flags of `bertune demo`."""

from dataclasses import dataclass
from pathlib import Path

from bertune.nn.device import DeviceName
from bertune.nn.precision import Precision


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What is trained, where and how.

    Args:
        out: the folder of the run; an earlier demo in it is replaced.
        model: the encoder to start from.
        precision: in which the layers compute while they train; auto takes bf16 where the processor multiplies it
            natively.
        device: where to compute; auto takes the GPU where torch finds one.
    """

    out: Path = Path("runs/demo")
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    precision: Precision = "auto"
    device: DeviceName = "auto"
