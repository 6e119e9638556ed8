"""Work that falls into numbered pieces, and who has it done."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Done = TypeVar("Done")
Done_co = TypeVar("Done_co", covariant=True)


class ShardWork(Protocol[Done_co]):
    """Work in numbered pieces that can be sent to another process; what comes of one depends on its number alone."""

    def open(self) -> Callable[[int], Done_co]:
        """Gets ready, once in each process, such as by loading a model; returns what does one piece."""


class ShardEngine(Protocol):
    """Has pieces of work done, in whichever order and wherever."""

    def run(self, work: ShardWork[Done], numbers: Sequence[int], on_done: Callable[[int, Done], None]) -> None:
        """Has every piece done once.

        Args:
            work: what is done.
            numbers: of the pieces.
            on_done: told of each that is done, in any order.

        Raises:
            BertuneError: what a piece raises; or nobody can do them any more.
        """
