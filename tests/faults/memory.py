"""Memory and open files of a run over thousands of steps and over many saves: they stay what they were."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.isolated import outcomes_of
from tests.faults.sections import Part, Settings, part
from tests.resumed_runs import prepared, write_world

from bertune.training.callback import Callback
from bertune.training.run import execute
from bertune.training.step import StepResult

_STEPS, _WARM_UP, _MOST_GROWTH = 2000, 200, 0.02
# Few epochs, as runs have: the scores of each are kept, and are part of every checkpoint.
_ROWS, _STEPS_IN_EPOCH = 1600, 100


class Watched(Callback):
    """Notes memory (KiB) and open files at every tenth step."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.files: list[int] = []

    def on_step(self, result: StepResult) -> None:
        if result.step % 10 == 0:
            status = Path("/proc/self/status").read_text().splitlines()
            self.memory.append(next(int(line.split()[1]) for line in status if line.startswith("VmRSS")))
            self.files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 (closes what it opens)


def memory(settings: Settings) -> Iterator[Part]:
    """Trains long, without saving and with a save every tenth step."""
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        world = write_world(Path(name) / "world", rows=_ROWS)
        steps = max(settings.some(_STEPS), 2 * _WARM_UP)
        for what, every in (("no checkpoints", None), ("a checkpoint every 10 steps", 10)):
            found = Path(name) / f"{every}.json"

            def train(_: int, every: int | None = every, found: Path = found) -> str:
                found.write_text(json.dumps(_trained(world, found.with_suffix(""), steps, every)))
                return "read"

            (outcome,) = outcomes_of(1, train, limits=False)
            assert outcome.ended == "read", outcome
            yield f"{steps:,} steps, {what}", _judged(json.loads(found.read_text()))


def _trained(world: Path, out: Path, steps: int, every: int | None) -> dict[str, Any]:
    watched = Watched()
    run = prepared(world, out, epochs=-(-steps // _STEPS_IN_EPOCH), patience=0, save_every=every or "never")
    execute(run, callback=watched)
    return {"memory": watched.memory, "files": watched.files}


def _judged(found: dict[str, list[int]]) -> dict[str, Any]:
    after = found["memory"][_WARM_UP // 10 :]
    # Of the first and of the last tenth, the most.
    share = max(1, len(after) // 10)
    first, last = max(after[:share]), max(after[-share:])
    growth = last / first - 1
    files = sorted(set(found["files"][_WARM_UP // 10 :]))
    faults = [f"memory grew by {growth:.1%}"] if growth > _MOST_GROWTH else []
    faults += [f"open files: {files}"] if files[-1] > files[0] else []
    measured = f"{first / 1024:.0f} MiB after {_WARM_UP} steps, {last / 1024:.0f} MiB at the end ({growth:+.1%})"
    return part(1, faults[:1], measured=f"{measured}, {files[-1]} open files")
