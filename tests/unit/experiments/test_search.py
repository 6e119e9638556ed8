"""A sweep: which model is kept, what is resumed, what an interrupted one leaves."""

import contextlib
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertune.cli.sweep import sweep_lines
from bertune.errors import ConfigError, DivergedError
from bertune.experiments import search as module
from bertune.experiments.halving import Trial
from bertune.experiments.search import FinishedSweep, best_of, run_sweep, shown_value
from bertune.experiments.sweep_directory import SweepDirectory
from bertune.experiments.sweep_picture import draw_sweep
from bertune.experiments.sweep_settings import SweepSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_directory import UNFINISHED
from bertune.training.run_settings import RunSettings

Sweep = Callable[..., FinishedSweep]


@pytest.fixture
def sweep(model: Path, tables: Path, tmp_path: Path) -> Sweep:
    """Sweeps rates on the small tables, into `sweep` in the test's folder."""

    def run(
        trials: int, *, overwrite: bool = False, data: Path | None = None, out: Path | None = None
    ) -> FinishedSweep:
        settings = RunSettings(
            data=str(data or tables),
            out=out or tmp_path / "sweep",
            model=str(model),
            text_a="first",
            label="mood",
            max_length=32,
            overwrite=overwrite,
        )
        config = TrainingConfig(epochs=1, batch_size=16)
        search = SweepSettings(search_learning_rate=(1e-5, 3e-3), trials=trials)
        return run_sweep(settings, config, search, say=lambda line: None, watch=lambda *_: contextlib.nullcontext())

    return run


def kept_by(folder: Path) -> tuple[int, bytes]:
    scores: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return scores["trial"], (folder / "model" / "model.safetensors").read_bytes()


def assert_best_is_kept(finished: FinishedSweep) -> None:
    best = best_of(list(finished.trials))
    assert best is not None
    own = finished.directory.run_of(best.number) / "model" / "model.safetensors"
    assert kept_by(finished.directory.path) == (best.number, own.read_bytes())


def valued(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Lets trials come to these values, whatever their models are."""
    real = module._run_trial

    def run(number: int, *arguments: Any) -> Trial:
        trial = real(number, *arguments)
        return Trial(number, trial.drawn, trial.state, 1, (values[number - 1],), {}, (0.5,))

    monkeypatch.setattr(module, "_run_trial", run)


@pytest.mark.parametrize("values", [(0.5, 0.7, 0.6), (0.7, 0.6, 0.5), (0.5, 0.6, 0.7)])
def test_the_best_trials_model_is_kept(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...]
) -> None:
    valued(monkeypatch, *values)
    finished = sweep(3)
    assert finished.best.number == values.index(0.7) + 1
    assert_best_is_kept(finished)


@pytest.mark.parametrize("failing", ["before", "between model and scores"])
def test_what_a_full_disk_left_out_is_made_up_for(sweep: Sweep, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    valued(monkeypatch, 0.5, 0.7)
    sweep(1)

    def full(self: SweepDirectory, *arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        if failing == "before":
            patch.setattr(SweepDirectory, "keep", full)
        else:
            real = SweepDirectory.write_json
            patch.setattr(
                SweepDirectory,
                "write_json",
                lambda self, name, values: full(self) if name == "scores.json" else real(self, name, values),
            )
        with pytest.raises(OSError, match="no space"):
            sweep(2)
    finished = sweep(2)
    assert [trial.number for trial in finished.trials] == [1, 2]
    assert finished.best.number == 2
    assert_best_is_kept(finished)


def test_a_sweep_over_changed_data_is_refused(sweep: Sweep, tables: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train.csv", "validation.csv"):
        (data / name).write_text((tables / name).read_text())
    sweep(1, data=data)
    before = kept_by(tmp_path / "sweep")
    swapped = (data / "validation.csv").read_text().replace(",up", ",?").replace(",down", ",up").replace(",?", ",down")
    (data / "validation.csv").write_text(swapped)
    with pytest.raises(ConfigError, match="holds a sweep of other data: the files have changed since"):
        sweep(2, data=data)
    assert kept_by(tmp_path / "sweep") == before


def test_an_interrupted_overwrite_leaves_the_earlier_sweep(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep(1)
    before = kept_by(tmp_path / "sweep")

    def interrupted(*arguments: Any) -> Trial:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep(1, overwrite=True)
    assert kept_by(tmp_path / "sweep") == before
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    assert len(sweep(1).trials) == 1
    with monkeypatch.context() as patch:
        patch.setattr(module, "_run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt) as raised:
            sweep(2)
    assert raised.value.__notes__ == ["the same command, without --overwrite, resumes after trial 1"]


@pytest.mark.parametrize("failing", ["interrupted", "diverged"])
def test_an_earlier_sweep_stays_until_the_one_that_replaces_it_has_ended(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: str
) -> None:
    sweep(1)
    before = kept_by(tmp_path / "sweep")
    real = module._run_trial

    def second_fails(number: int, *arguments: Any) -> Trial:
        if failing == "diverged":
            return Trial(number, {"learning_rate": 1e-3}, "diverged", 1, ())
        if number == 2:
            raise KeyboardInterrupt
        return real(number, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_run_trial", second_fails)
        with pytest.raises((KeyboardInterrupt, DivergedError)) as raised:
            sweep(2, overwrite=True)
    assert kept_by(tmp_path / "sweep") == before
    if failing == "diverged":
        assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
        return
    unfinished = tmp_path / "sweep.unfinished"
    assert raised.value.__notes__[-1] == (
        f"the same command, with --out {unfinished} and without --overwrite, resumes after trial 1"
    )
    finished = sweep(2, out=unfinished)
    assert [trial.number for trial in finished.trials] == [1, 2]
    assert_best_is_kept(finished)
    assert kept_by(tmp_path / "sweep") == before


def test_a_killed_sweep_goes_on_while_the_one_before_it_stands_aside(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep(1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    aside = tmp_path / f".earlier-sweep-{dead.pid}"
    shutil.copytree(tmp_path / "sweep", aside)
    (tmp_path / "sweep" / UNFINISHED).touch()
    finished = sweep(2)
    assert [trial.number for trial in finished.trials] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


@pytest.mark.parametrize("left", [["unfinished"], ["unfinished", "run.toml"]])
def test_a_sweep_killed_at_its_start_can_be_repeated(sweep: Sweep, tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "sweep").mkdir()
    for name in left:
        (tmp_path / "sweep" / name).touch()
    assert len(sweep(1).trials) == 1


def test_a_trial_whose_model_is_gone_is_trained_again(sweep: Sweep) -> None:
    finished = sweep(2)
    first = kept_by(finished.directory.path)
    (finished.directory.run_of(2) / "model" / "bertune.json").unlink()
    again = sweep(2)
    assert again.trials == finished.trials
    assert kept_by(finished.directory.path) == first


def test_what_a_trial_came_to_is_told_as_the_metric_gives_it() -> None:
    loss = Trial(3, {}, "complete", 2, (-0.3, -0.2))
    assert (shown_value(loss, "hamming_loss"), shown_value(replace(loss, values=(0.3, 0.2)), "accuracy")) == (0.2, 0.3)
    stories = {
        "complete": "trial 3: accuracy 60.0 % at epoch 2, all 3 epochs",
        "stopped": "trial 3: accuracy 60.0 % at epoch 2, stopped after epoch 2 of 3",
        "diverged": "trial 3: accuracy 60.0 % at epoch 2, diverged after epoch 2 of 3",
    }
    for state, story in stories.items():
        assert module._story(Trial(3, {}, state, 3, (0.5, 0.6)), "accuracy") == story  # type: ignore[arg-type]
    assert module._story(Trial(3, {}, "diverged", 3, ()), "accuracy") == "trial 3: diverged in its first epoch"


def test_a_trial_that_diverged_comes_last_in_the_table(tmp_path: Path) -> None:
    drawn = {"learning_rate": 1e-3}
    trials = (
        Trial(1, drawn, "diverged", 2, (0.9,)),
        Trial(2, drawn, "complete", 1, (0.5,)),
        Trial(3, drawn, "diverged", 2, ()),
        Trial(4, drawn, "complete", 1, (0.6,)),
    )
    finished = FinishedSweep(SweepDirectory(tmp_path), "accuracy", trials, trials[3], 2)
    table = [line.split()[0] for line in sweep_lines(finished) if line[:1].isdecimal() and " trials" not in line]
    assert table == ["4", "2", "1", "3"]


def test_the_picture_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "bashrc").write_text("mine")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.svg").symlink_to(tmp_path / "bashrc")
    trial = Trial(1, {"learning_rate": 1e-3}, "complete", 1, (0.5,))
    draw_sweep(FinishedSweep(SweepDirectory(tmp_path / "sweep"), "accuracy", (trial,), trial, 2))
    assert (tmp_path / "bashrc").read_text() == "mine"
    assert "<svg" in (tmp_path / "sweep" / "sweep.svg").read_text()


def test_a_trial_that_diverged_is_not_kept(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    best = Trial(1, {}, "complete", 2, (0.6,))
    assert best_of([best, Trial(2, {}, "diverged", 2, (0.9,))]) is best

    def diverged(number: int, *arguments: Any) -> Trial:
        return Trial(number, {}, "diverged", 1, (0.9,))

    monkeypatch.setattr(module, "_run_trial", diverged)
    with pytest.raises(DivergedError, match="all 1 trials diverged"):
        sweep(1)
