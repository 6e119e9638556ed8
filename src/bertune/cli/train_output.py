"""What `bertune train` prints, of one run or of several."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainOutput:
    """What a training prints.

    Args:
        json: one JSON document with the result.
        quiet: nothing but the result.
        verbose: more of it.
    """

    json: bool
    quiet: bool
    verbose: bool
