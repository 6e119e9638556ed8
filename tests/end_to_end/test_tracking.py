"""`bertune train --tensorboard` through the real command line."""

import json
import warnings
from pathlib import Path

from tests.end_to_end.world import COLUMNS, TRAINING, Run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of its dependencies
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_curves_hold_what_the_journal_holds(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common = ("--data", str(tables), *COLUMNS, "--model", str(model), *TRAINING)
    done = run("train", *common, "--out", str(out), "--tensorboard")
    assert done.returncode == 0, done.stderr
    curves = EventAccumulator(str(out / "tensorboard"))
    curves.Reload()
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    losses = [(event.step, round(event.value, 5)) for event in curves.Scalars("train/loss")]
    assert losses == [(step["step"] + 1, round(step["loss"], 5)) for step in steps]
    accuracies = [event["validation"]["metrics"]["accuracy"]["value"] for event in events if event["event"] == "epoch"]
    assert [round(event.value, 6) for event in curves.Scalars("eval/accuracy")] == [round(a, 6) for a in accuracies]
    again = run("train", "--config", str(out / "run.toml"), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "tensorboard").is_dir()
