"""Small runs that are interrupted, go on, and are compared with those that never were."""

import csv
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.end_to_end.world import BAD, GOOD, OTHER, SPECIAL, sentence, write_encoder

from bertune.api.resumed_run import prepare_interrupted
from bertune.reports.run_report import write_report
from bertune.training.callback import Callback
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.history import EpochResult, Evaluation
from bertune.training.prepare import PreparedRun, prepare
from bertune.training.run import execute
from bertune.training.run_settings import RunSettings
from bertune.training.step import StepResult

_NOT_COMPARED = ("seconds", "train_seconds", "examples_per_second", "out", "run", "save-every", "command")
KINDS: dict[str, dict[str, Any]] = {
    "classification": {"label": "mood"},
    "multi-label": {"label": "moods", "kind": "multi-label", "label_separator": "|"},
    "regression": {"label": "value", "kind": "regression"},
}


class CrashError(BaseException):
    """Stands in for a process that ends here."""


class CrashAt(Callback):
    """Crashes after a step, from 0, or when an epoch, from 1, or so many steps have been evaluated and kept."""

    def __init__(self, step: int | None = None, *, epoch: int | None = None, evaluation: int | None = None) -> None:
        self.step, self.epoch, self.evaluation = step, epoch, evaluation

    def on_step(self, result: StepResult) -> None:
        if result.step == self.step:
            raise CrashError

    def on_evaluation(self, result: Evaluation) -> None:
        if result.step == self.evaluation:
            raise CrashError

    def on_epoch(self, result: EpochResult) -> None:
        if result.epoch == self.epoch:
            raise CrashError


def say_nothing(line: str) -> None:
    pass


def write_world(folder: Path, rows: int = 90) -> Path:
    """Writes an encoder that compiled kernels compute, and a table that every kind of task can learn from."""
    # Many words that no row has: the run's own token table leaves them out.
    write_encoder(folder / "model", [*SPECIAL, *GOOD, *BAD, *OTHER, *(f"w{number}" for number in range(40))], heads=2)
    source = random.Random(7)
    for name, count in (("train", rows), ("validation", 30), ("test", 30)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["first", "mood", "moods", "value"])
            for _ in range(count):
                is_good = source.random() < 0.6
                text = " ".join(sentence(source, GOOD if is_good else BAD) for _ in range(source.randint(1, 3)))
                loud = "|loud" if "music" in text else ""
                writer.writerow([text, "up" if is_good else "down", ("up" if is_good else "down") + loud, len(text)])
    return folder


def prepared(world: Path, out: Path, *, kind: str = "classification", **changes: Any) -> PreparedRun:
    """Prepares a run of the small world; changes are settings of any of its parts."""
    values: dict[str, Any] = {
        "data": str(world / "train.csv"),
        "validation": str(world / "validation.csv"),
        "test": str(world / "test.csv"),
        "model": str(world / "model"),
        "text_a": "first",
        "max_length": 32,
        "skip_probe": True,
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 3e-3,
        **KINDS[kind],
        **changes,
    }
    of = {
        group: {name: values[name] for name in values if name in group.__dataclass_fields__}
        for group in (RunSettings, TrainingConfig, CheckpointSettings)
    }
    run = prepare(RunSettings(out=out, **of[RunSettings]), TrainingConfig(**of[TrainingConfig]), say=say_nothing)
    return replace(run, checkpoints=CheckpointSettings(**of[CheckpointSettings]))


def crashed(run: PreparedRun, crash: Callback) -> Path:
    """Executes a run that crashes; returns its folder."""
    try:
        execute(run, callback=crash)
    except CrashError:
        return run.settings.out
    raise AssertionError("the run did not crash")


def resumed(out: Path, *, callback: Callback | None = None, say: Callable[[str], None] = say_nothing) -> Path:
    """Lets a run go on; returns its folder."""
    run, resume_point = prepare_interrupted(out, say=say)
    execute(run, callback=callback, resume_point=resume_point, say=say)
    return out


def results(out: Path) -> dict[str, Any]:
    """All that a run has left, without times and without its own name."""
    write_report(out)
    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name, content = str(path.relative_to(out)), path.read_bytes()
        if name == "metrics.jsonl":
            found[name] = [_without_times(json.loads(line)) for line in content.decode().splitlines()]
        elif name == "metrics.json":
            found[name] = _without_times(json.loads(_unnamed(content, out)))
        elif name == "report.html":
            found[name] = _plain_report(_unnamed(content, out))
        elif name == "run.toml":
            found[name] = re.sub(r"(?m)^(out|save-every) = .*\n", "", content.decode())
        else:
            found[name] = content
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in _NOT_COMPARED}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def _unnamed(content: bytes, out: Path) -> str:
    """Takes the folder out of a text: where it is, and that it may be called `run.unfinished`."""
    return content.decode().replace(str(out), "RUN").replace("run.unfinished", "run")


def _plain_report(page: str) -> str:
    page = re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)  # the command, with what is not compared
    page = re.sub(r"<tr><td>(?:save-every|out)</td><td>[^<]*</td></tr>", "", page)
    return re.sub(r"[\d,.]+ (?:s|min|examples/s|examples a second)\b", "TIME", page)
