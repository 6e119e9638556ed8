"""The processes that train one run together: who is who, and what they tell each other."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from bertune.errors import BertuneError

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


class ProcessError(BertuneError):
    """An error of one process of a group, of which it tells, whichever it is."""


class ProcessLostError(ProcessError):
    """Another process of the group has ended or does not answer, so that this one cannot go on."""


class ToldElsewhereError(BertuneError):
    """The end of a run of which another of its processes tells; this one says nothing but notes.

    Args:
        exit_code: of the error that is told.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this run has failed, and tells why")
        self.exit_code = exit_code


class ProcessGroup:
    """One process by itself: what it adds up, asks or tells is its own. `JoinedGroup` is several.

    Every method is called by all processes of a group, in the same order.

    Attributes:
        rank: of this process, from 0.
        size: processes in all.
        launch: the same name in all processes, and after they were started again; empty where nobody will.
    """

    rank: int = 0
    size: int = 1
    launch: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints; the others do neither."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def add_up(self, tensors: "Sequence[Tensor]") -> None:
        """Puts into each tensor the sum over the processes, the same bits in all of them.

        Args:
            tensors: contiguous, of the same shapes and types in every process; float or integer.
        """

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process."""
        return flag

    def gather(self, value: Value) -> list[Value]:
        """Returns the value of each process, by rank."""
        return [value]

    def from_first(self, value: Value) -> Value:
        """Returns the value of the first process; those of the others are not looked at."""
        return value

    def in_turn(self, work: Callable[[], Value]) -> Value:
        """Does work in every process; of each machine's processes one does it first, and the others find it done.

        What it downloads, compiles or caches is there for the others. Where it fails in one process it fails in all:
        one of them raises its error, the others `ToldElsewhereError`.
        """
        return work()


ALONE: Final = ProcessGroup()
"""A process without others."""
