"""What the command line does in a process that `torchrun` has started with others."""

import os
import time
from collections.abc import Collection, Sequence
from typing import Final

from bertune.errors import ConfigError
from bertune.system.torchrun import Launch

_SECONDS_TO_END: Final = 20.0


def is_one_of_several() -> bool:
    """Whether another process, which `torchrun` started too, is the one that prints."""
    launch = Launch.of(os.environ)
    return launch is not None and not launch.is_first


def first_process_ends() -> bool:
    """Waits whether the first process ends, as by an error that all meet: `torchrun` then ends this one too.

    Whoever ends before it would have it ended before it has told why.
    """
    try:
        time.sleep(_SECONDS_TO_END)
    except (KeyboardInterrupt, SystemExit):
        return True
    return False


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
