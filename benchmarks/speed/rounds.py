"""Takes turns: A B C A B C …; before that each system has a first turn, which is thrown away."""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.child import Child, WorkerError
from benchmarks.speed.systems import System

# A worker may need this much more than the largest so far.
_MEMORY_MARGIN = 1.25


@dataclass
class Measured:
    """What was measured of one system.

    Args:
        system: which.
        about: what it said when it was ready.
        warm_up: its first answer, from when it was started, which counts for nothing.
        rounds: its answers.
        failure: why it has no rounds, or fewer.
    """

    system: System
    about: dict[str, Any] = field(default_factory=dict)
    warm_up: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.system.name,
            "title": self.system.title,
            "about": self.about,
            "warm_up": self.warm_up,
            "rounds": self.rounds,
            "failure": self.failure,
        }


def take_turns(
    systems: Iterable[System], folder: Path, command: Mapping[str, Any], *, rounds: int, threads: int, logs: Path
) -> tuple[list[Measured], list[float]]:
    """Measures systems in turns.

    A system that cannot start or fails later is listed with the reason; the others go on.

    Args:
        systems: whom, in the order of their turns.
        folder: the workload.
        command: of each turn.
        rounds: that count.
        threads: of each worker.
        logs: folder for what workers print.

    Returns:
        One entry a system, and the load average before each round.
    """
    measured = [Measured(system) for system in systems]
    loads = []
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for entry in measured:
            child = _start(entry, folder, threads, logs, _largest(measured))
            if child is not None:
                children[entry.system.name] = stack.enter_context(child)
                _turn(entry, child, command, 0)
        for number in range(1, rounds + 1):
            loads.append(os.getloadavg()[0])
            for entry in measured:
                if entry.failure is None:
                    _turn(entry, children[entry.system.name], command, number)
    return measured, loads


def _start(entry: Measured, folder: Path, threads: int, logs: Path, largest: int) -> Child | None:
    name = entry.system.name
    available = _available_bytes()
    if available is not None and available < largest * _MEMORY_MARGIN:
        entry.failure = f"not started: {available / 2**30:.1f} GiB of memory left; choose fewer systems with --systems"
        _say(f"{name}: {entry.failure}")
        return None
    try:
        child = Child(entry.system, folder, threads=threads, log=logs / f"{name.replace('/', '_')}.log")
    except WorkerError as failure:
        entry.failure = str(failure)
        _say(f"{name}: not measured: {failure}")
        return None
    entry.about = child.about
    _say(f"{name}: ready after {entry.about['start_seconds']:.1f} s")
    return child


def _turn(entry: Measured, child: Child, command: Mapping[str, Any], number: int) -> None:
    try:
        answer = child.ask(**command)
    except WorkerError as failure:
        entry.failure = f"in round {number}: {failure}"
        _say(f"{entry.system.name}: {entry.failure}")
        return
    if number:
        entry.rounds.append(answer)
    else:
        entry.warm_up = answer
    if answer["examples"]:
        _say(f"round {number}  {entry.system.name}  {answer['examples'] / answer['seconds']:.1f} examples/s")


def _largest(measured: list[Measured]) -> int:
    """The most memory that a worker took in its warm-up: the next one may need as much."""
    return max((entry.warm_up.get("peak_rss_bytes", 0) for entry in measured), default=0)


def _available_bytes() -> int | None:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
