"""`metrics.jsonl`: what a run did, also where it was killed or the disk was full."""

import errno
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.scored import scored

from bertune.training.history import EpochResult, Evaluation
from bertune.training.journal import Journal
from bertune.training.step import StepResult

STEP = StepResult(step=0, epoch=1, loss=0.75, learning_rate=1e-5, gradient_norm=2.5, examples=16, tokens=300)


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run begins at 1000 s; each line is written 1.2346 s after the one before."""
    passed: Iterator[float] = iter(1000 + 1.2346 * number for number in range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: next(passed))


@pytest.mark.usefixtures("_clock")
def test_every_event_is_a_line_that_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    scores = scored(np.eye(2)[[0, 1, 1]], [0, 1, 0], task_kind="classification", metrics=["accuracy"])
    with Journal(path) as journal:
        journal.on_start(6, 3, "fp32, kernels")
        journal.on_step(STEP)
        journal.on_epoch(EpochResult(1, 0.5, 2.0, 24.0, None, is_best=True))
        journal.on_epoch(EpochResult(2, 0.25, 4.0, 12.0, scores, is_best=False, logits=np.zeros((3, 2), np.float32)))
        journal.write("end", {"label": "schön"})
        lines = path.read_text("utf-8").splitlines()
    start, step, first, second, end = map(json.loads, lines)
    assert start == {
        "event": "start",
        "seconds": 1.235,
        "total_steps": 6,
        "steps_per_epoch": 3,
        "precision": "fp32, kernels",
    }
    assert step == {
        "event": "step",
        "seconds": 2.469,
        "step": 0,
        "epoch": 1,
        "loss": 0.75,
        "learning_rate": 1e-5,
        "gradient_norm": 2.5,
        "examples": 16,
        "tokens": 300,
    }
    assert first == {
        "event": "epoch",
        "seconds": 3.704,
        "epoch": 1,
        "train_loss": 0.5,
        "train_seconds": 2.0,
        "examples_per_second": 24.0,
        "is_best": True,
        "validation": None,
    }
    assert second == {
        "event": "epoch",
        "seconds": 4.938,
        "epoch": 2,
        "train_loss": 0.25,
        "train_seconds": 4.0,
        "examples_per_second": 12.0,
        "is_best": False,
        "validation": json.loads(json.dumps(scores.to_dict())),
    }
    assert end["label"] == "schön"
    assert "schön" in lines[-1]


def test_a_journal_that_is_there_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for loss in (0.5, 0.25):
        with Journal(path) as journal:
            journal.write("step", {"loss": loss})
    assert [json.loads(line)["loss"] for line in path.read_text("utf-8").splitlines()] == [0.5, 0.25]
    with pytest.raises(ValueError, match="closed file"):
        journal.write("step", {})


def test_what_is_no_number_in_json_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal, pytest.raises(ValueError, match="not JSON compliant"):
        journal.write("step", {"loss": float("nan")})
    assert path.read_text("utf-8") == ""


def test_a_full_disk_is_told_with_the_name_of_the_journal() -> None:
    path = Path("/dev/full")
    if not path.exists():
        pytest.skip("no device that is always full")
    with pytest.raises(OSError, match="/dev/full") as raised, Journal(path) as journal:
        journal.on_step(STEP)
    assert raised.value.errno == errno.ENOSPC


def test_evaluations_have_lines_of_their_own_where_some_are_within_epochs(tmp_path: Path) -> None:
    scores = scored(np.eye(2)[[0, 1, 1]], [0, 1, 0], task_kind="classification", metrics=["accuracy"])
    evaluations = [
        Evaluation(2, 2 / 3, 0.5, 2.0, 24.0, scores, is_best=True),
        Evaluation(3, 1, 0.25, 1.0, 24.0, scores, is_best=False),
    ]
    with Journal(tmp_path / "metrics.jsonl", tells_evaluations=True) as journal:
        for each in evaluations:
            journal.on_evaluation(each)
        journal.on_epoch(EpochResult(1, 0.4, 3.0, 24.0, scores, is_best=False))
    first, second, epoch = map(json.loads, (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines())
    assert (first["event"], first["step"], first["epoch"], first["train_loss"]) == ("evaluation", 2, 2 / 3, 0.5)
    assert (second["event"], second["step"], second["epoch"], second["is_best"]) == ("evaluation", 3, 1, False)
    assert first["validation"] == second["validation"] == epoch["validation"]
    assert (epoch["event"], epoch["train_loss"]) == ("epoch", 0.4)
    with Journal(tmp_path / "plain.jsonl") as journal:
        journal.on_evaluation(evaluations[0])
    assert (tmp_path / "plain.jsonl").read_bytes() == b""
