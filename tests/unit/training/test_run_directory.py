"""Two runs and one folder, and what runs that were killed leave behind."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertune.checkpoints.model_files import find_model_folder
from bertune.errors import ConfigError, DataError, ResourceError
from bertune.training.run_directory import UNFINISHED, RunDirectory, begun_by, has_ended


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


def interrupted_after_an_epoch(directory: RunDirectory) -> None:
    (directory.path / "run.toml").write_text("new")
    (directory.path / "model").mkdir()
    directory.forget_earlier_run(ended=False)
    raise KeyboardInterrupt


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
        assert names(directory.path) == ["mine", "unfinished"]
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


def test_an_earlier_run_stays_until_the_one_that_replaces_it_has_ended(directory: RunDirectory) -> None:
    """Interrupted after an epoch: the earlier run is back, and the new model is not lost."""
    make_run(directory.path, "earlier", model=True)
    with pytest.raises(KeyboardInterrupt) as raised, directory.started(overwrite=True):
        interrupted_after_an_epoch(directory)
    runs = directory.path.parent
    assert names(runs) == ["q", "q.unfinished"]
    assert (runs / "q" / "run.toml").read_text() == "earlier"
    assert (runs / "q.unfinished" / "run.toml").read_text() == "new"
    assert not has_ended(runs / "q.unfinished")
    assert raised.value.__notes__ == [
        f"the earlier run is back in {runs / 'q'}; this one, which did not end, is in {runs / 'q.unfinished'}"
    ]
    with directory.started(overwrite=True):
        directory.write_settings({})
    assert has_ended(directory.path)
    assert names(runs) == ["q", "q.unfinished"]


def test_a_killed_run_does_not_cost_the_one_before_it(directory: RunDirectory, dead: int) -> None:
    runs = directory.path.parent
    make_run(runs / f".earlier-q-{dead}", "ended", model=True)
    make_run(directory.path, "killed", model=True)
    (directory.path / UNFINISHED).touch()
    with pytest.raises(ConfigError, match="already holds a run"), directory.started(overwrite=False):
        pass
    assert names(runs) == ["q", "q.unfinished"]
    assert (directory.path / "run.toml").read_text() == "ended"


def test_an_earlier_run_that_did_not_end_is_replaced_by_the_first_model(directory: RunDirectory) -> None:
    make_run(directory.path, "earlier", model=True)
    (directory.path / UNFINISHED).touch()
    with pytest.raises(KeyboardInterrupt), directory.started(overwrite=True):
        interrupted_after_an_epoch(directory)
    assert names(directory.path.parent) == ["q"]
    assert (directory.path / "run.toml").read_text() == "new"


def test_a_run_killed_while_it_wrote_its_settings_can_be_repeated(directory: RunDirectory, dead: int) -> None:
    """Only `.tmp-run.toml-…` is in the folder; the good run stands aside."""
    runs = directory.path.parent
    make_run(runs / f".earlier-q-{dead}", "good", model=True)
    directory.path.mkdir()
    (directory.path / f".tmp-run.toml-{dead}-0").touch()
    directory.check(overwrite=True)
    with pytest.raises(RuntimeError), directory.started(overwrite=True):
        raise RuntimeError
    assert names(runs) == ["q"]
    assert (directory.path / "run.toml").read_text() == "good"


@pytest.mark.parametrize("left", [["unfinished"], ["unfinished", "run.toml"]])
def test_a_run_killed_at_its_start_can_be_repeated(directory: RunDirectory, left: list[str]) -> None:
    directory.path.mkdir(parents=True)
    for name in left:
        (directory.path / name).touch()
    directory.check(overwrite=False)
    with directory.started(overwrite=False):
        directory.write_settings({})
    assert names(directory.path) == ["run.toml"]


def test_an_interrupt_right_after_a_run_stepped_aside_brings_it_back(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(directory.path, "good", model=True)
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        place = rename(path, target)
        if target.name.startswith(".earlier-"):
            raise KeyboardInterrupt
        return place

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), directory.started(overwrite=True):
        pass
    assert names(directory.path.parent) == ["q"]
    assert (directory.path / "run.toml").read_text() == "good"


def test_while_a_run_has_no_model_yet_the_earlier_one_is_named(directory: RunDirectory) -> None:
    make_run(directory.path, "good", model=True)
    with directory.started(overwrite=True):
        with pytest.raises(DataError, match="the run that replaces an earlier one has not ended") as raised:
            find_model_folder(directory.path)
        assert raised.value.hint == f"the earlier run is in {directory._earlier} until the new one ends"


def test_a_run_whose_folder_was_renamed_says_so(directory: RunDirectory) -> None:
    with directory.started(overwrite=False):
        directory.refuse_gone()
        directory.path.rename(directory.path.with_name("p"))
        with pytest.raises(ResourceError, match="was deleted or renamed while the run was writing into it"):
            directory.refuse_gone()


def test_a_full_disk_right_after_a_run_stepped_aside_brings_it_back(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(directory.path, "good", model=True)

    def full(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if path == directory.path:
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="no space"), directory.started(overwrite=True):
        pass
    assert names(directory.path.parent) == ["q"]
    assert (directory.path / "run.toml").read_text() == "good"


def test_a_second_signal_waits_until_the_earlier_run_is_back(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(directory.path, "good", model=True)
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path == directory.path and directory._earlier.is_dir():
            os.kill(os.getpid(), signal.SIGINT)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), directory.started(overwrite=True):
        raise RuntimeError
    assert (directory.path / "run.toml").read_text() == "good"


def test_a_link_to_a_folder_is_followed_when_its_run_is_replaced(tmp_path: Path) -> None:
    """On the disk that the link leads to, and the link stays one."""
    make_run(tmp_path / "disk" / "q", "earlier", model=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "q").symlink_to(tmp_path / "disk" / "q")
    directory = RunDirectory(tmp_path / "runs" / "q")
    with directory.started(overwrite=True):
        (directory.path / "run.toml").write_text("new")
    assert (tmp_path / "runs" / "q").is_symlink()
    assert (tmp_path / "runs" / "q" / "run.toml").read_text() == "new"
    assert names(tmp_path / "runs") == ["q"]
    assert names(tmp_path / "disk") == ["q"]


def test_the_current_folder_can_be_a_run_but_not_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q").mkdir()
    monkeypatch.chdir(tmp_path / "q")
    directory = RunDirectory(Path())
    with directory.started(overwrite=False):
        directory.write_settings({})
    assert names(tmp_path / "q") == ["run.toml"]
    with pytest.raises(ConfigError, match="is the current folder"), RunDirectory(Path()).started(overwrite=True):
        pass
    assert names(tmp_path / "q") == ["run.toml"]


def test_what_a_run_writes_has_its_name_and_its_letters(directory: RunDirectory) -> None:
    directory.path.mkdir(parents=True)
    places = {directory.journal: "metrics.jsonl", directory.model: "model", directory.tensorboard: "tensorboard"}
    assert [path.relative_to(directory.path).as_posix() for path in places] == list(places.values())
    directory.write_json("scores.json", {"label": "schön"})
    assert (directory.path / "scores.json").read_text("utf-8") == '{\n  "label": "schön"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.write_json("scores.json", {"loss": float("nan")})
    assert "schön" in (directory.path / "scores.json").read_text("utf-8")


def test_files_of_a_run_are_not_written_through_links(directory: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "bashrc").write_text("mine")
    directory.path.mkdir(parents=True)
    for name in ("scores.json", "run.toml"):
        (directory.path / name).symlink_to(tmp_path / "bashrc")
    directory.write_json("scores.json", {})
    directory.write_settings({})
    assert (tmp_path / "bashrc").read_text() == "mine"
    assert not (directory.path / "scores.json").is_symlink()


def test_an_interrupted_run_says_what_is_left_of_it(directory: RunDirectory) -> None:
    with pytest.raises(KeyboardInterrupt) as raised, directory.started(overwrite=False):
        interrupted_after_an_epoch(directory)
    (note,) = raised.value.__notes__
    assert note == (
        f"the best epoch so far is in {directory.model}, `bertune report {directory.path}` makes its report, "
        "--overwrite starts from scratch"
    )
    with pytest.raises(RuntimeError) as raised, RunDirectory(directory.path.with_name("p")).started(overwrite=False):
        raise RuntimeError
    assert not hasattr(raised.value, "__notes__")


def test_what_lies_where_an_unfinished_run_would_is_not_deleted(directory: RunDirectory) -> None:
    make_run(directory.path, "earlier", model=True)
    mine = directory.path.with_name("q.unfinished")
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), directory.started(overwrite=True):
            interrupted_after_an_epoch(directory)
    assert (mine / "thesis.txt").read_text() == "mine"
    assert names(directory.path.parent) == ["q", "q.unfinished", "q.unfinished-2", "q.unfinished-3"]
    assert (directory.path / "run.toml").read_text() == "earlier"


def test_a_run_is_found_again_by_the_launch_that_began_it(directory: RunDirectory) -> None:
    for launch in ("", "one"):  # the second takes it up
        with (
            pytest.raises(KeyboardInterrupt),
            directory.started(overwrite=False, resumes=bool(launch), launch=launch),
        ):
            raise KeyboardInterrupt
        assert directory.started_in == Path.cwd()
    assert begun_by("one", directory.path) == directory.path
    assert begun_by("two", directory.path) is None
    beside = directory.path.with_name(f"{directory.path.name}.unfinished")
    directory.path.rename(beside)
    assert begun_by("one", directory.path) == beside
    (beside / "unfinished").unlink()
    assert begun_by("one", directory.path) is None
