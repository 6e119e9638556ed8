"""Scores are those of the weights beside them, wherever a run was killed."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.conftest import model, tables

from bertune.cli.calibrate import calibrate
from bertune.cli.inspect_model import inspect_run
from bertune.cli.options import DataOptions, OutputOptions
from bertune.errors import ConfigError
from bertune.reports.numbers import report_numbers
from bertune.reports.run_files import read_run
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_directory import RunDirectory
from bertune.training.run_settings import RunSettings

__all__ = ["model", "tables"]


@pytest.mark.parametrize("killed_before", ["calibration.json", None])
def test_scores_stay_and_say_so_when_the_model_is_recalibrated(
    model: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str | None
) -> None:
    """Also where `calibrate` was killed when the model had its new temperature, and nothing else was written."""
    out = tmp_path / "run"
    settings = RunSettings(
        data=str(tables), out=out, model=str(model), text_a="first", label="mood", max_length=32, skip_probe=True
    )
    config = TrainingConfig(epochs=1, batch_size=16, learning_rate=3e-3)
    execute(prepare(settings, config, say=lambda line: None))
    before = read_run(out)
    assert before.calibration is not None
    assert before.scores is not None
    assert before.calibration.model == before.scores.model is not None
    assert before.scores.calibrated_since is None
    write = RunDirectory.write_json

    def killed(self: RunDirectory, name: str, values: dict[str, Any]) -> None:
        if name == killed_before:
            raise KeyboardInterrupt
        write(self, name, values)

    monkeypatch.setattr(RunDirectory, "write_json", killed)
    with nullcontext() if killed_before is None else pytest.raises(KeyboardInterrupt):
        calibrate(out, DataOptions(data=str(tables / "test.csv")), output=OutputOptions(quiet=True))
    after = read_run(out)
    assert after.signature != before.signature
    assert after.scores == replace(before.scores, calibrated_since=True)
    assert after.validation == before.validation
    assert (after.calibration is None) == (killed_before is not None)


def test_calibrate_changes_nothing_out_of_the_run(model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = RunSettings(
        data=str(tables), out=out, model=str(model), text_a="first", label="mood", max_length=32, skip_probe=True
    )
    config = TrainingConfig(epochs=1, batch_size=16, learning_rate=3e-3)
    execute(prepare(settings, config, say=lambda line: None))
    (out / "model").rename(tmp_path / "mine")
    (out / "model").symlink_to("../mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    for named in (out, out / "model"):
        with pytest.raises(ConfigError, match=r"is a link out of the run, to .*mine") as raised:
            calibrate(named, DataOptions(data=str(tables / "test.csv")), output=OutputOptions(quiet=True))
        assert raised.value.hint == f"if that model is meant: bertune calibrate {tmp_path / 'mine'} --data FILE"
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_scores_of_other_weights_are_not_shown(
    model: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    settings = RunSettings(
        data=str(tables), out=out, model=str(model), text_a="first", label="mood", max_length=32, skip_probe=True
    )
    config = TrainingConfig(epochs=3, batch_size=16, learning_rate=1e-3)
    written = 0
    write = RunDirectory.write_json

    def killed(self: RunDirectory, name: str, values: dict[str, Any]) -> None:
        nonlocal written
        written += name == "scores.json"
        if written == 2:  # the second model is in place, its scores are not
            raise KeyboardInterrupt
        write(self, name, values)

    monkeypatch.setattr(RunDirectory, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        execute(prepare(settings, config, say=lambda line: None))
    assert json.loads((out / "scores.json").read_text())["epoch"] == 1
    files = read_run(out)
    assert not files.ended
    assert not files.of_the_model
    assert files.scores is None
    assert files.validation == ()
    warnings = [each.message for each in report_numbers(out).warnings if each.level == "severe"]
    assert warnings[0].startswith("This run did not end")
    assert warnings[1].startswith("Scores and validation rows were of other weights")
    lines = inspect_run(out).lines
    assert "this run did not end: it was interrupted or killed, and this is the model of an epoch before" in lines
    assert any(line.startswith("its scores are of other weights") for line in lines)
    assert not any("accuracy" in line for line in lines)
