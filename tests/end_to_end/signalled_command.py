"""Runs the command line, and sends itself signals at exact points.

    python signalled_command.py SIGKILL step:7 train --data …
    python signalled_command.py SIGTERM step:7,save:3 train --data …

A point is the beginning of a step, from 0, the n-th call that changes the disk while checkpoints are written, from 1,
or the n-th evaluation, from 1. With several points, each has its signal, and they are met in this order. Under
`torchrun` a point of one process ends with its rank, `step:7@1`; after a restart there are none.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CALLS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


class Points:
    def __init__(self, number: int, points: list[str]) -> None:
        self.number, self.points = number, [point.split(":") for point in points]
        self.counts = {"save": 0, "evaluation": 0}

    def at(self, kind: str, place: int | None = None) -> None:
        if kind in self.counts:
            self.counts[kind] += 1
            place = self.counts[kind]
        if self.points and self.points[0] == [kind, str(place)]:
            self.points.pop(0)
            self.reached()

    def reached(self) -> None:
        os.kill(os.getpid(), self.number)

    def before(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            self.at(kind, more["place"].step if kind == "step" else None)
            return function(*arguments, **more)

        return called


def install(points: Points) -> None:
    """Watches for the points in this process."""
    from bertune.training import fitting
    from bertune.training.objective import Objective

    of_module: Any = vars(fitting)
    of_module["take_step"] = points.before(of_module["take_step"], "step")
    Objective.score = points.before(Objective.score, "evaluation")  # type: ignore[method-assign]
    real_sync = os.fsync

    def sync(descriptor: int) -> None:
        if "/checkpoints" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            points.at("save")
        real_sync(descriptor)

    os.fsync = sync

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        is_read = event == "open" and "w" not in str(arguments[1])
        if event in _CALLS and not is_read and "/checkpoints/" in str(arguments[0]) and "step-" in str(arguments[0]):
            points.at("save")

    sys.addaudithook(audited)


def main() -> int:
    wanted = [point.partition("@") for point in sys.argv[2].split(",")]
    is_first_start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    own = [point for point, _, rank in wanted if is_first_start and rank in ("", os.environ.get("RANK"))]
    points = Points(int(signal.Signals[sys.argv[1]]), own)
    sys.argv = ["bertune", *sys.argv[3:]]
    install(points)
    from bertune.__main__ import start

    return start()


if __name__ == "__main__":
    sys.exit(main())
