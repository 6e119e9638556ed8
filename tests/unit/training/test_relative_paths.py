"""A run that was started with relative paths can be sent to others, and knows its rows from any folder."""

import shutil
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.conftest import model, tables

from bertune.reports.kept_evaluations import _seen_as
from bertune.reports.run_report import write_report
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_settings import RunSettings

__all__ = ["model", "tables"]


@pytest.fixture
def run(model: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was started in `home`."""
    home = tmp_path / "home"
    shutil.copytree(tables, home / "data")
    shutil.copytree(model, home / "encoder")
    monkeypatch.chdir(home)
    settings = RunSettings(
        data="data",
        out=Path("runs/q"),
        model="./encoder",
        test="data/test.csv",
        text_a="first",
        label="mood",
        max_length=32,
        skip_probe=True,
    )
    execute(prepare(settings, TrainingConfig(epochs=1, batch_size=16), say=lambda line: None))
    write_report(Path("runs/q"))
    return home / "runs" / "q"


def test_no_file_of_the_run_says_where_it_was_made(run: Path, tmp_path: Path) -> None:
    settings = tomllib.loads((run / "run.toml").read_text())["train"]
    given = {"data": "data", "out": "runs/q", "model": "./encoder", "test": "data/test.csv"}
    assert {name: settings[name] for name in given} == given
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"metrics.json", "report.html", "data.json", "bertune.json", "README.md"} <= {path.name for path in files}
    assert [path.name for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_the_rows_of_the_run_are_known_from_another_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one file of a folder that was named: scores on it are no surprise."""
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    shutil.copy(run.parent.parent / "data" / "validation.csv", tmp_path / "elsewhere" / "data")
    for folder, data in (("home", "data"), ("elsewhere", "../home/data"), ("elsewhere", str(tmp_path / "home/data"))):
        monkeypatch.chdir(tmp_path / folder)
        assert _seen_as(run, f"{data}/train.csv", None) == "train"
        assert _seen_as(run, f"{data}/validation.csv", None) == "validation"
        assert _seen_as(run, data, "validation") == "validation"
        assert _seen_as(run, f"{data}/test.csv", None) == ""
    assert _seen_as(run, "data/validation.csv", None) == ""  # another file
