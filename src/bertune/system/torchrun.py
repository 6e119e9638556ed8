"""What `torchrun` tells the processes that it starts, by variables of the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

WAITS: Final = 1800.0
"""Seconds that a process waits for another, if nobody says otherwise."""


@dataclass(frozen=True)
class Launch:
    """The place of a process among those that `torchrun` has started.

    Args:
        rank: of the process, from 0.
        size: processes in all, of all machines.
        local_rank: of the process among those of its machine, from 0.
        local_size: processes of its machine.
        restarts: how often all of them were started again.
        run_id: the same in all processes and after a restart.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    restarts: int
    run_id: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Reads the environment; None where `torchrun` has not started the process."""
        # A variable called RANK may be anybody's.
        run_id = environment.get("TORCHELASTIC_RUN_ID")
        if run_id is None:
            return None
        place = f"{environment.get('MASTER_ADDR', '')}:{environment.get('MASTER_PORT', '')}"
        return cls(
            rank=int(environment["RANK"]),
            size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment["LOCAL_RANK"]),
            local_size=int(environment["LOCAL_WORLD_SIZE"]),
            restarts=int(environment["TORCHELASTIC_RESTART_COUNT"]),
            # Without a rendezvous every launch is called none.
            run_id=place if run_id == "none" else run_id,
        )

    @property
    def is_first(self) -> bool:
        """Whether the process is the one that writes and prints."""
        return self.rank == 0

    @property
    def is_several(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1
