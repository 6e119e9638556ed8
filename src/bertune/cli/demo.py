"""`bertune demo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.shared_options import OutputOptions
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


def demo(
    *,
    options: Annotated[DemoOptions, Parameter(name="*")] = DemoOptions(),
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Do the whole job on a small data set: audit, restore, train, score, predict, save, reload.

    Args:
        options: what is trained.
        output: what is printed.
    """
    from bertune.cli.demonstration import run_demo

    run_demo(options, output)
