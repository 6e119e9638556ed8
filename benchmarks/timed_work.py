"""Numbered work that tells its processor time, in whichever process it is done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertune.system.shard_work import ShardEngine, ShardWork


@dataclass(frozen=True)
class _Timed:
    """Work whose pieces come with the processor time of their process before and after each."""

    work: ShardWork[Any]

    def open(self) -> Callable[[int], tuple[Any, float, float]]:
        do = self.work.open()

        def timed(number: int) -> tuple[Any, float, float]:
            before = time.process_time()
            done = do(number)
            return done, before, time.process_time()

        return timed


class HereEngine:
    """Does every piece in this process, one after another: the plain loop."""

    def run(self, work: ShardWork[Any], numbers: Sequence[int], on_done: Callable[[int, Any], None]) -> None:
        do = work.open()
        for number in numbers:
            on_done(number, do(number))


@dataclass
class TimedEngine:
    """Has work done by another engine, and keeps the processor seconds of the pieces.

    Args:
        engine: does it.
        pieces: processor seconds of each piece.
    """

    engine: ShardEngine
    pieces: list[float] = field(default_factory=list)

    def run(self, work: ShardWork[Any], numbers: Sequence[int], on_done: Callable[[int, Any], None]) -> None:
        def take(number: int, done: tuple[Any, float, float]) -> None:
            self.pieces.append(done[2] - done[1])
            on_done(number, done[0])

        self.engine.run(_Timed(work), numbers, take)
