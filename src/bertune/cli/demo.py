"""`bertune demo`."""

from typing import Annotated

from cyclopts import Parameter

from bertune.cli.demo_options import DemoOptions
from bertune.cli.options import OutputOptions


def demo(
    *,
    options: Annotated[DemoOptions, Parameter(name="*")] = DemoOptions(),  # noqa: B008 (frozen)
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Do the whole job on a small data set: audit, restore, train, score, predict, save, reload.

    Args:
        options: what is trained.
        output: what is printed.
    """
    from bertune.cli.demonstration import run_demo

    run_demo(options, output)
