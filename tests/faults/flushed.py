"""What real verbs write is on disk by the time that it has its name: watched from inside their processes.

Of every file and folder that is given a name, it is noted whether its content was flushed after it was last opened to
be written, and whether the folder of the name was flushed afterwards; of every file that is there at the end, whether
it was flushed at all. The seconds are those of the disk on which the temporary folder is.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.commands import run
from tests.faults.sections import Part, Settings, part
from tests.resumed_runs import write_world

_TRAIN = [
    *("train", "--data", "train.csv", "--validation", "validation.csv", "--test", "test.csv", "--model", "model"),
    *("--text-a", "first", "--label", "mood", "--max-length", "32", "--epochs", "2", "--save-every", "3"),
]
_ENCODE = ["encode", "--data", "train.csv", "--model", "model", "--text-a", "first", "--label", "mood"]
_QUESTIONS = Path(__file__).parents[2] / "examples" / "data"
_PAIRS = ["--text-a", "question1", "--text-b", "question2", "--label", "label"]
_MINILM = ["--model", "sentence-transformers/all-MiniLM-L6-v2"]
#: Each with what it writes, in this order: later ones read what earlier ones wrote.
VERBS: dict[str, list[str]] = {
    "train": [*_TRAIN, "--out", "out/run", "--keep-checkpoints", "--tensorboard"],
    "train, several seeds": [*_TRAIN, "--out", "out/seeds", "--seeds", "2", "--parallel-seeds", "1"],
    "report": ["report", "out/run"],
    "evaluate": ["evaluate", "out/run", "--data", "test.csv"],
    "calibrate": ["calibrate", "out/run", "--data", "test.csv"],
    "compare": ["compare", "out/run", "out/run", "--html", "out/compared.html"],
    "predict, CSV": ["predict", "out/run", "--data", "test.csv", "--out", "out/predictions.csv"],
    "predict, Parquet": ["predict", "out/run", "--data", "test.csv", "--out", "out/predictions.parquet"],
    "encode, TFRecord": [*_ENCODE, "--out", "out/records", "--shards", "2"],
    "encode, store": [*_ENCODE, "--out", "out/store", "--format", "store"],
    "export, transformers": ["export", "out/run", "--format", "transformers", "--out", "out/transformers"],
    "export, TensorFlow": ["export", "out/run", "--format", "tf_checkpoint", "--out", "out/tf"],
    # Of a size at which the share of the time means something.
    "demo train": ["train", "--data", str(_QUESTIONS), *_PAIRS, *_MINILM, "--epochs", "2", "--out", "out/demo"],
    "demo encode": ["encode", "--data", str(_QUESTIONS / "train.csv"), *_PAIRS, *_MINILM, "--out", "out/encoded"],
    "inspect --plot": ["inspect", "out/run", "--plot", "out/model.svg"],
}


class Watch:
    """Notes what a process writes, flushes and names below a folder."""

    def __init__(self, below: Path) -> None:
        self.below = os.path.realpath(below)
        self.dirty: set[int] = set()
        self.flushed: set[int] = set()
        self.open_folders: set[str] = set()
        self.faults: list[str] = []
        self.calls, self.seconds = 0, 0.0

    def install(self) -> None:
        """Begins to watch, in this process and for ever."""
        import sys

        from bertune.system import atomic, committed_folder

        real_sync = os.fsync

        def sync(descriptor: int) -> None:
            started = time.perf_counter()
            real_sync(descriptor)
            self.seconds += time.perf_counter() - started
            status = os.fstat(descriptor)
            self.calls += 1
            self.flushed.add(status.st_ino)
            self.dirty.discard(status.st_ino)
            self.open_folders.discard(os.path.realpath(f"/proc/self/fd/{descriptor}"))

        os.fsync = sync
        real_place = atomic.put_in_place

        def place(temporary: Path, folder: Path) -> None:
            self._named(temporary, folder)
            real_place(temporary, folder)

        # The exchange of folders is a call of the system that Python does not announce.
        for module in (atomic, committed_folder):
            vars(module)["put_in_place"] = place
        sys.addaudithook(self._audited)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            is_written = (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) and path.startswith(self.below)
            if is_written and Path(path).exists():  # a new one is not among those that were flushed
                self.dirty.add(Path(path).stat().st_ino)
        elif event == "os.rename":
            self._named(Path(os.fsdecode(arguments[0])), Path(os.fsdecode(arguments[1])))

    def _named(self, source: Path, place: Path) -> None:
        """A file or folder is about to get a name; what becomes hidden or is deleted need not be on disk."""
        path = os.path.realpath(place)
        if not path.startswith(self.below) or place.name.startswith("."):
            return
        inner = [source] if source.is_file() else sorted(entry for entry in source.rglob("*") if entry.is_file())
        for entry in inner:
            number = entry.stat().st_ino
            if number in self.dirty or number not in self.flushed:
                self.faults.append(f"{place.name}: {entry.name} is named before it is flushed")
        self.open_folders.add(str(Path(path).parent))

    def found(self) -> dict[str, Any]:
        """Returns what was wrong, and how many files are there."""
        files = [Path(top) / name for top, _, names in os.walk(self.below) for name in names]
        faults = list(self.faults)
        faults += [f"{folder}: its names are not flushed" for folder in sorted(self.open_folders)]
        faults += [f"{file.name}: is not flushed" for file in files if file.stat().st_ino in self.dirty]
        return {"faults": faults, "calls": self.calls, "files": len(files), "seconds": self.seconds}


def flushed(settings: Settings) -> Iterator[Part]:
    """Runs the verbs that write."""
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        world = write_world(Path(name) / "world")
        (world / "out").mkdir()
        for verb, arguments in VERBS.items():
            if settings.parts is not None and not any(map(verb.startswith, settings.parts)):
                continue
            yield verb, _watched(world, arguments, Path(name))


def _watched(world: Path, arguments: list[str], folder: Path) -> dict[str, Any]:
    found = folder / "found.json"
    found.unlink(missing_ok=True)

    def hook() -> None:
        watch = Watch(world / "out")
        watch.install()
        real = os._exit

        def leave(code: int) -> None:
            found.write_text(json.dumps(watch.found()))
            real(code)

        os._exit = leave  # type: ignore[assignment]

    done = run(arguments, world, folder / "log", hook)
    if done.code != 0:
        return part(1, [f"exit code {done.code}: {done.output[-200:]}"])
    values = json.loads(found.read_text())
    took = f"{values['calls']} flushes took {values['seconds']:.2f} s of {done.seconds:.1f} s"
    return part(1, values["faults"][:1], measured=f"{values['files']} files are there, {took}")
