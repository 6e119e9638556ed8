"""Verbs that are ended, or find the disk full, at every single call by which they change files."""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.commands import DiskCalls, Ended, full, kill, run
from tests.faults.sections import Part, Settings, part
from tests.resumed_runs import results, write_world

from bertune.runtime.export_files import PROOF_FILE
from bertune.system.atomic import is_leftover

_TRAIN = [
    *("train", "--data", "train.csv", "--validation", "validation.csv", "--model", "model", "--text-a", "first"),
    *("--label", "mood", "--max-length", "32", "--epochs", "2", "--batch-size", "16", "--save-every", "5"),
    *("--skip-probe", "--seed", "3"),
]
# After how many of the calls a whole run is made once more, to see that nothing is in its way.
_AGAIN_EVERY = 4
_TRAIN_EVERY = 3
_MEGABYTES = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Verb:
    """A command that writes.

    Args:
        name: what is said of it.
        arguments: with `OUT` for where it writes.
        has_earlier: whether an earlier result stands there, which has to stay until the new one is whole.
        content: reads the result; what a rerun gives must be equal.
        earlier: the folder or file of the world that is copied there before.
    """

    name: str
    arguments: list[str]
    has_earlier: bool
    content: Callable[[Path], Any]
    earlier: str = ""


def _files(place: Path) -> dict[str, bytes]:
    """What stands at a place, without what is only half written."""
    if place.is_file():
        return {"": place.read_bytes()}
    found = {str(path.relative_to(place)): path for path in sorted(place.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not any(map(_is_hidden, Path(name).parts))}


def _is_hidden(name: str) -> bool:
    return is_leftover(name) or name.startswith((".partial-", ".earlier-", ".lock-"))


def _model(place: Path) -> Any:
    from bertune.checkpoints.model_folder import load

    load(place / "model")
    return _files(place / "model")


def _export(place: Path) -> Any:
    """What stands there but for the one file that tells how fast the export was."""
    return {name: content for name, content in _files(place).items() if name != PROOF_FILE}


def _run(place: Path) -> Any:
    from bertune.checkpoints.model_folder import load

    load(place / "model")
    return results(place)


_VERBS = [
    Verb("train into a new folder", [*_TRAIN, "--out", "OUT"], False, _run),
    Verb("train --overwrite", [*_TRAIN, "--out", "OUT", "--overwrite"], True, _run, "run"),
    Verb("report", ["report", "OUT"], True, results, "run"),
    Verb("calibrate", ["calibrate", "OUT", "--data", "test.csv"], True, _model, "run"),
    Verb(
        "predict --out",
        ["predict", "run", "--data", "test.csv", "--out", "OUT.csv", "--overwrite"],
        True,
        _files,
        "earlier.csv",
    ),
    Verb("predict --out .parquet", ["predict", "run", "--data", "test.csv", "--out", "OUT.parquet"], False, _files),
    Verb("export", ["export", "run", "--format", "transformers", "--out", "OUT"], False, _export),
    Verb(
        "encode",
        [
            *("encode", "--data", "train.csv", "--model", "model", "--text-a", "first", "--label", "mood"),
            *("--max-length", "16", "--shards", "2", "--processes", "1", "--out", "OUT"),
        ],
        False,
        _files,
    ),
]


class World:
    """A small world with a run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, write_world(folder / "world")
        done = self.run([*_TRAIN[:-1], "4", "--out", "run"])
        assert done.code == 0, done.output
        (self.world / "earlier.csv").write_text("an earlier table\n")

    def run(self, arguments: list[str], hook: Callable[[], None] = lambda: None) -> Ended:
        return run(arguments, self.world, self.folder / "log", hook)

    def place(self, verb: Verb, name: str) -> Path:
        """Makes the folder in which a verb will write, with the earlier result where there is to be one."""
        out = self.folder / "outs" / name / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir(parents=True)
        if verb.earlier:
            source = self.world / verb.earlier
            if source.is_dir():
                shutil.copytree(source, out)
            else:
                shutil.copyfile(source, out.with_suffix(source.suffix))
        return out

    def arguments(self, verb: Verb, out: Path) -> list[str]:
        return [word.replace("OUT", str(out)) for word in verb.arguments]

    def result(self, verb: Verb, out: Path) -> Path:
        """Returns what the verb writes: its folder or its file."""
        word = next(word for word in verb.arguments if word.startswith("OUT"))
        return Path(word.replace("OUT", str(out)))


def writes(settings: Settings) -> Iterator[Part]:
    """Ends each verb, and fills the disk, at every call in turn; then real full disks."""
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        world, draw = World(Path(name)), Random(settings.seed)
        for verb in _VERBS:
            if settings.parts is None or any(map(verb.name.startswith, settings.parts)):
                yield from _each_call(world, verb, settings, draw)
        if settings.parts is None or "disk" in settings.parts:
            yield "train on a full disk (tmpfs)", _full_disks(world, settings)


def _each_call(world: World, verb: Verb, settings: Settings, draw: Random) -> Iterator[Part]:
    out = world.place(verb, "counted")
    before = _state_of(world, verb, out)
    count = world.folder / "count"
    done = world.run(world.arguments(verb, out), lambda: _count_into(count, out.parent))
    assert done.code == 0, f"{verb.name}: {done.output}"
    expected, calls = verb.content(world.result(verb, out)), int(count.read_text())
    for what, fault in (("killed", kill), ("ENOSPC", full)):
        # A whole run makes hundreds of calls, most of them in the same few functions.
        count = settings.some(calls // (_TRAIN_EVERY if verb.arguments[0] == "train" else 1))
        chosen = sorted(draw.sample(range(1, calls + 1), min(calls, count)))
        faults = []
        for at in chosen:
            problem = _problem_at(world, verb, at, fault, before, expected)
            if problem is not None:
                faults.append(f"call {at} of {calls}: {problem}")
        which = "each call" if len(chosen) == calls else "some calls"
        yield f"{verb.name}: {what} at {which}", part(len(chosen), faults, measured=f"of {calls} calls")


def _count_into(file: Path, below: Path) -> None:
    calls = DiskCalls(below, 0, lambda: None)
    calls.install()
    real = os._exit

    def leave(code: int) -> None:
        number = calls.count
        file.write_text(str(number))
        real(code)

    os._exit = leave  # type: ignore[assignment]


def _state_of(world: World, verb: Verb, out: Path) -> Any:
    result = world.result(verb, out)
    return (
        verb.content(result)
        if verb.has_earlier and result.exists() and result.is_dir()
        else (_files(result) if result.exists() else None)
    )


def _problem_at(world: World, verb: Verb, at: int, fault: Callable[[], None], before: Any, expected: Any) -> str | None:
    out = world.place(verb, "tried")
    try:
        calls = DiskCalls(out.parent, at, fault)
        done = world.run(world.arguments(verb, out), calls.install)
        if "Traceback" in done.output or (fault is full and done.code not in (0, 4)):
            return f"exit code {done.code}: {done.output[-200:]}"
        # Saves follow the clock too: a run may make a few calls less than the one that was counted.
        if fault is kill and done.code not in (-signal.SIGKILL, 0):
            return f"not killed: exit code {done.code}: {done.output[-100:]}"
        problem = _torn(world, verb, out, before, expected, done)
        if problem is not None:
            return problem
        result = world.result(verb, out)
        if verb.arguments[0] == "predict" and result.exists() and verb.content(result) == expected:
            return None  # it was there already; the same command again would say so
        if verb.arguments[0] == "train" and at % _AGAIN_EVERY:
            return None
        again = world.run(_again(world.arguments(verb, out), out))
        if again.code != 0:
            return f"the same command again: exit code {again.code}: {again.output[-150:]}"
        return None if verb.content(world.result(verb, out)) == expected else "another result after the rerun"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.150}"
    finally:
        shutil.rmtree(out.parent, ignore_errors=True)


def _again(arguments: list[str], out: Path) -> list[str]:
    """The same command; a run that has begun is replaced, or resumed where it says so."""
    if arguments[0] == "train" and "--overwrite" not in arguments and (out / "run.toml").exists():
        return [*arguments, "--overwrite"]
    return arguments


def _torn(world: World, verb: Verb, out: Path, before: Any, expected: Any, done: Ended) -> str | None:
    """Whether what stands there is neither the earlier result nor the new one, nor nothing where nothing was."""
    result = world.result(verb, out)
    if verb.arguments[0] in ("predict", "export"):
        found = verb.content(result) if result.exists() else None
        return None if found in (before, expected) else "neither the earlier result nor the new one"
    if verb.arguments[0] == "train":
        return _torn_run(verb, out, done)
    if verb.arguments[0] == "report":
        return None if all((out / name).stat().st_size for name in ("report.html", "metrics.json")) else "an empty file"
    if verb.arguments[0] == "calibrate":
        _model(out)
    return None


def _torn_run(verb: Verb, out: Path, done: Ended) -> str | None:
    """A run's model is whole wherever one stands, and an earlier run is at its place, or beside it."""
    from bertune.checkpoints.model_folder import load
    from bertune.reports.run_files import read_run

    places = [place for place in out.parent.iterdir() if (place / "model").is_dir()]
    for place in places:
        load(place / "model")
        if (place / "scores.json").is_file() and (place / "run.toml").is_file():
            read_run(place)
    if verb.has_earlier and not places:
        return "the earlier run is gone"
    if verb.has_earlier and done.code == 4 and not (out / "model").is_dir():
        return "the earlier run is not at its place"
    return None


def _full_disks(world: World, settings: Settings) -> dict[str, Any]:
    """Trains on small disks; a run that does not fit ends with exit code 4 and leaves the earlier one as it was."""
    disk = world.folder / "disk"
    disk.mkdir()
    faults, ended = [], {}
    sizes = _MEGABYTES[: settings.some(len(_MEGABYTES))]
    for megabytes in sizes:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)], capture_output=True, text=True
        )
        if mounted.returncode:
            return part(0, [], measured=f"skipped: no disk can be mounted here ({mounted.stderr.strip()})")
        try:
            out = disk / "run"
            shutil.copytree(world.world / "run", out)
            before = _run(out)
            done = world.run([*_TRAIN, "--out", str(out), "--overwrite"])
            ended[done.code] = ended.get(done.code, 0) + 1
            if done.code not in (0, 4) or "Traceback" in done.output:
                faults.append(f"{megabytes} MB: exit code {done.code}: {done.output[-150:]}")
            elif done.code == 4 and _run_files(out) != _run_files_of(before):
                faults.append(f"{megabytes} MB: the earlier run has changed")
        except OSError as error:
            ended["too small for the earlier run"] = ended.get("too small for the earlier run", 0) + 1
            if error.errno not in (None, errno.ENOSPC, errno.ENOENT):
                raise
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return part(len(sizes), faults, measured=", ".join(f"exit code {code}: {many}" for code, many in ended.items()))


def _run_files(out: Path) -> Any:
    return _files(out / "model")


def _run_files_of(found: dict[str, Any]) -> Any:
    return {name.removeprefix("model/"): value for name, value in found.items() if name.startswith("model/")}
