"""Real runs of `bertune train` that are killed, or asked to stop, and resumed."""

import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.end_to_end.signalled_command import Points
from tests.faults.commands import Command, Ended, kill, run
from tests.faults.sections import Part, Settings, part
from tests.resumed_runs import results, write_world

from bertune.errors import BertuneError
from bertune.training.run_checkpoints import newest_state

_DATA = ["--data", "train.csv", "--validation", "validation.csv", "--test", "test.csv", "--model", "model"]
_COLUMNS = ["--text-a", "first", "--label", "mood", "--batch-size", "16", "--learning-rate", "3e-3"]
_STEPS, _EPOCHS = 18, 3
_MOST_SECONDS = 10.0


class Runs:
    """A small world, what an uninterrupted run leaves there, and how many calls its saves make."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, write_world(folder / "world")
        self.train = ["train", *_DATA, *_COLUMNS, "--max-length", "32", "--epochs", str(_EPOCHS), "--save-every", "2"]
        whole = folder / "whole" / "run"
        done = self.run([*self.train, "--out", str(whole)])
        assert done.code == 0, done.output
        self.seconds, self.expected = done.seconds, results(whole)
        self.saves = self._calls_of_saves()

    def run(self, arguments: list[str], hook: Callable[[], None] = lambda: None) -> Ended:
        return run(arguments, self.world, self.folder / "log", hook)

    def start(self, arguments: list[str]) -> Command:
        (self.folder / "log").unlink(missing_ok=True)
        return Command(arguments, self.world, self.folder / "log")

    def new_out(self, number: int) -> Path:
        """Returns a folder for a run, alone in one of its own."""
        out = self.folder / "runs" / str(number) / "run"
        out.parent.mkdir(parents=True, exist_ok=True)
        return out

    def killed_at(self, out: Path, where: str) -> Ended:
        """Lets a run be killed at a step, at a call of a save, or in an evaluation."""
        return self.run([*self.train, "--out", str(out)], lambda: _stopped(where, kill))

    def problem_of(self, out: Path) -> str | None:
        """Resumes a run and compares what it leaves; None where all is as it has to be."""
        done = self.run(["train", "--resume", str(out)])
        if done.code == 2 and "has ended" in done.output:
            done = Ended(0, done.output, 0.0)
        if done.code == 2 and ("no such folder" in done.output or "has no run.toml" in done.output):
            done = self.run([*self.train, "--out", str(out)])  # killed before there was anything to resume
        if done.code != 0 or "Traceback" in done.output:
            return f"exit code {done.code}: {done.output[-200:]}"
        found = results(out)
        wrong = sorted(
            name for name in self.expected.keys() | found.keys() if found.get(name) != self.expected.get(name)
        )
        leftovers = [path.name for path in out.parent.iterdir() if path != out]
        return f"differs: {', '.join(wrong)}" if wrong else f"left behind: {leftovers}" if leftovers else None

    def _calls_of_saves(self) -> int:
        count = self.folder / "count"

        def hook() -> None:
            points = _hooked("none:0", lambda: None)
            count.write_text("0")
            real = points.at

            def at(kind: str, place: int | None = None) -> None:
                real(kind, place)
                count.write_text(str(points.counts["save"]))

            points.at = at  # type: ignore[method-assign]

        done = self.run([*self.train, "--out", str(self.folder / "counted" / "run")], hook)
        assert done.code == 0, done.output
        return int(count.read_text())


def _hooked(where: str, fault: Callable[[], None]) -> Points:
    from tests.end_to_end import signalled_command

    points = Points(0, where.split(","))
    points.reached = fault  # type: ignore[method-assign]
    signalled_command.install(points)
    return points


def _stopped(where: str, fault: Callable[[], None]) -> None:
    _hooked(where, fault)


def kills(settings: Settings) -> Iterator[Part]:
    """Kills runs at random moments and resumes them; sends signals, one and two."""
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        runs, draw = Runs(Path(name)), random.Random(settings.seed)
        steps = [f"step:{draw.randrange(_STEPS)}" for _ in range(settings.some(50))]
        saves = [f"save:{draw.randint(1, runs.saves)}" for _ in range(settings.some(70))]
        evaluations = [f"evaluation:{draw.randint(1, _EPOCHS + 1)}" for _ in range(settings.some(10))]
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "SIGKILL at a step, then --resume": lambda: _killed(runs, steps),
            "SIGKILL inside a save, then --resume": lambda: _killed(runs, saves),
            "SIGKILL in an evaluation, then --resume": lambda: _killed(runs, evaluations),
            "SIGKILL at a random moment, then --resume": lambda: _killed_any_time(runs, draw, settings.some(70)),
            "SIGTERM while it trains: exit code 6, a whole checkpoint": lambda: _asked(runs, draw, settings.some(50)),
            "a second signal, 0 to 50 ms after the first": lambda: _asked_twice(runs, draw, settings.some(30)),
        }
        for what, attempt in parts.items():
            if settings.parts is None or any(word in what for word in settings.parts):
                yield what, attempt()


def _killed(runs: Runs, points: list[str]) -> dict[str, Any]:
    faults, ended = [], 0
    for number, where in enumerate(points):
        out = runs.new_out(number)
        done = runs.killed_at(out, where)
        ended += done.code == 0  # saves follow the clock too: a run may make a few calls less than the one counted
        problem = runs.problem_of(out) if done.code in (0, -signal.SIGKILL) else f"not killed: {done.code}"
        if problem is not None:
            faults.append(f"{where}: {problem}")
        _clear(out.parent)
    return part(len(points), faults, measured=f"all files to the bit; {ended} had ended before")


def _killed_any_time(runs: Runs, draw: random.Random, count: int) -> dict[str, Any]:
    faults, ended = [], 0
    for number in range(count):
        out = runs.new_out(number)
        command = runs.start([*runs.train, "--out", str(out)])
        time.sleep(draw.uniform(0, runs.seconds))
        command.send(signal.SIGKILL)
        ended += command.wait().code != -signal.SIGKILL
        if (problem := runs.problem_of(out)) is not None:
            faults.append(problem)
        _clear(out.parent)
    return part(count, faults, measured=f"{ended} had ended before")


def _asked(runs: Runs, draw: random.Random, count: int) -> dict[str, Any]:
    """Sends SIGTERM while a run trains that would take minutes; its state must be whole."""
    faults, slowest = [], 0.0
    for number in range(count):
        out = runs.new_out(number)
        command = runs.start([*_longer(runs.train), "--out", str(out)])
        command.wait_for("\ntraining ")
        time.sleep(draw.uniform(0, 1.0))
        sent = time.monotonic()
        command.send(signal.SIGTERM)
        done = command.wait()
        seconds = time.monotonic() - sent
        slowest = max(slowest, seconds)
        problem = _not_whole(out)
        if done.code != 6 or "Traceback" in done.output or seconds > _MOST_SECONDS or problem:
            faults.append(f"exit code {done.code} after {seconds:.1f} s, {problem}: {done.output[-100:]}")
        _clear(out.parent)
    return part(count, faults, measured=f"slowest {slowest:.1f} s")


def _asked_twice(runs: Runs, draw: random.Random, count: int) -> dict[str, Any]:
    faults, codes = [], {6: 0, 130: 0, 143: 0}
    for number in range(count):
        out = runs.new_out(number)
        command = runs.start([*_longer(runs.train), "--out", str(out)])
        command.wait_for("epoch 1/")
        time.sleep(draw.uniform(0, 0.5))
        first, second = draw.choice((signal.SIGINT, signal.SIGTERM)), draw.choice((signal.SIGINT, signal.SIGTERM))
        command.send(first)
        time.sleep(draw.uniform(0, 0.05))
        command.send(second)
        done = command.wait()
        codes[done.code] = codes.get(done.code, 0) + 1
        problem = _not_whole(out)
        if done.code not in (6, 130, 143) or "Traceback" in done.output or problem:
            faults.append(f"exit code {done.code}, {problem}: {done.output[-100:]}")
        _clear(out.parent)
    return part(count, faults, measured=", ".join(f"exit code {code}: {many}" for code, many in codes.items()))


def _longer(arguments: list[str]) -> list[str]:
    longer = list(arguments)
    longer[longer.index("--epochs") + 1] = "4000"
    longer[longer.index("--save-every") + 1] = "7"
    return longer


def _not_whole(out: Path) -> str | None:
    """What is wrong with the newest checkpoint."""
    said: list[str] = []
    try:
        state = newest_state(out / "checkpoints", said.append)
    except BertuneError as error:
        return error.message
    return "no checkpoint" if state is None else ", ".join(said) or None


def _clear(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
