"""Two runs and one folder, and what runs that were killed leave behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertune.errors import ConfigError
from bertune.training.run_directory import RunDirectory


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "q")


def make_run(folder: Path, name: str, *, model: bool) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(name)
    if model:
        (folder / "model").mkdir()
        (folder / "model" / "bertune.json").write_text(name)
    return folder


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_run_is_refused_while_the_first_writes(directory: RunDirectory) -> None:
    with directory.started(overwrite=False):
        for overwrite in (False, True):
            second = RunDirectory(directory.path)
            with pytest.raises(ConfigError, match="another run is writing into") as raised:
                second.check(overwrite=overwrite)
            assert raised.value.hint == "wait for it to end, or name another folder"
            with pytest.raises(ConfigError, match="another run is writing into"), second.started(overwrite=overwrite):
                pass
        directory.write_settings({})
    assert names(directory.path.parent) == ["q"]
    with pytest.raises(ConfigError, match="already holds a run"):
        directory.check(overwrite=False)
    directory.check(overwrite=True)


def test_a_refused_run_leaves_the_folder_of_the_first_alone(directory: RunDirectory) -> None:
    make_run(directory.path, "first", model=True)
    with directory.started(overwrite=True):
        (directory.path / "mine").write_text("x")
        with pytest.raises(ConfigError), RunDirectory(directory.path).started(overwrite=True):
            pass
        assert names(directory.path) == ["mine"]
        directory.forget_earlier_run()
    assert names(directory.path.parent) == ["q"]


def test_the_run_that_a_killed_one_set_aside_comes_back_first(directory: RunDirectory, dead: int) -> None:
    """The killed run had no model yet; if this one fails too, the good run of before is there again."""
    runs = directory.path.parent
    make_run(runs / f".earlier-q-{dead}", "good", model=True)
    make_run(directory.path, "killed", model=False)
    with pytest.raises(RuntimeError), directory.started(overwrite=True):
        raise RuntimeError
    assert names(runs) == ["q"]
    assert (directory.path / "run.toml").read_text() == "good"


def test_the_run_that_a_killed_one_had_replaced_is_deleted(directory: RunDirectory, dead: int) -> None:
    runs = directory.path.parent
    make_run(runs / f".earlier-q-{dead}", "old", model=True)
    make_run(directory.path, "new", model=True)
    with pytest.raises(RuntimeError), directory.started(overwrite=True):
        raise RuntimeError
    assert names(runs) == ["q"]
    assert (directory.path / "run.toml").read_text() == "new"


def test_half_written_folders_of_killed_runs_go_and_those_of_others_stay(directory: RunDirectory, dead: int) -> None:
    runs = directory.path.parent
    make_run(directory.path, "killed", model=True)
    (directory.path / f".tmp-model-{dead}-3").mkdir()
    (runs / f".tmp-q-{dead}-0").mkdir()
    others = [".tmp-q-1-0", f".tmp-q-2-{dead}-0", ".earlier-q-1", f".earlier-q-x-{dead}"]
    for name in others:
        (runs / name).mkdir()
    with pytest.raises(RuntimeError), directory.started(overwrite=True):
        raise RuntimeError
    assert names(runs) == sorted([*others, "q"])
    assert names(directory.path) == ["model", "run.toml"]


def test_a_folder_that_is_no_run_is_not_replaced_by_one_that_was_set_aside(directory: RunDirectory, dead: int) -> None:
    runs = directory.path.parent
    make_run(runs / f".earlier-q-{dead}", "good", model=True)
    directory.path.mkdir()
    (directory.path / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(ConfigError, match="not a run"), directory.started(overwrite=True):
        pass
    assert names(directory.path) == ["cat.jpg"]
    assert names(runs) == [f".earlier-q-{dead}", "q"]
