"""What the command line does in a process that `torchrun` has started with others."""

import os
from collections.abc import Collection, Sequence

from bertune.errors import ConfigError
from bertune.system.torchrun import Launch


def is_one_of_several() -> bool:
    """Whether another process, which `torchrun` started too, is the one that prints."""
    launch = Launch.of(os.environ)
    return launch is not None and not launch.is_first


def refuse_several_processes(tokens: Sequence[str], verbs: Collection[str]) -> None:
    """Refuses `torchrun` for verbs that would do the same in each process.

    Args:
        tokens: as typed.
        verbs: that there are.

    Raises:
        ConfigError: names the verb.
    """
    launch = Launch.of(os.environ)
    if launch is not None and launch.is_several and tokens[:1] != ["train"]:
        verb = tokens[0] if tokens and tokens[0] in verbs else "this"
        raise ConfigError(
            f"torchrun is for bertune train; {verb} runs in one process",
            hint=f"without torchrun: bertune {' '.join(tokens[:1])}".rstrip(),
        )
