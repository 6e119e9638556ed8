"""An interrupted seed of a study, and an interrupted trial of a sweep, go on within themselves."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from tests.resumed_runs import CrashAt, CrashError

from bertune.experiments.search import run_sweep
from bertune.experiments.seed_settings import SeedSettings
from bertune.experiments.study import FinishedStudy, execute_study, prepare_study
from bertune.experiments.sweep_settings import Drawn, SweepSettings
from bertune.training.callback import Callback
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings
from bertune.training.step import StepResult

# Twenty steps an epoch.
CONFIG = TrainingConfig(epochs=2, batch_size=16, learning_rate=3e-3, seed=1)


class Steps(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_step(self, result: StepResult) -> None:
        self.steps.append(result.step)


def settings(model: Path, tables: Path, out: Path) -> RunSettings:
    return RunSettings(
        data=str(tables), out=out, model=str(model), text_a="first", label="mood", max_length=32, skip_probe=True
    )


def study(model: Path, tables: Path, out: Path, callbacks: dict[int, Callback]) -> FinishedStudy:
    seeds = SeedSettings(seeds=2, parallel_seeds=1)
    prepared = prepare_study(settings(model, tables, out), CONFIG, seeds, say=lambda line: None)
    prepared = replace(prepared, run=replace(prepared.run, checkpoints=CheckpointSettings(save_every=5)))
    return execute_study(prepared, say=lambda line: None, callback_of=lambda seed, place: callbacks.get(seed))


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_a_seed_goes_on_at_the_step_of_its_checkpoint(model: Path, tables: Path, tmp_path: Path) -> None:
    study(model, tables, tmp_path / "whole", {})
    with pytest.raises(CrashError):
        study(model, tables, tmp_path / "study", {2: CrashAt(27)})
    first, second = Steps(), Steps()
    study(model, tables, tmp_path / "study", {1: first, 2: second})
    assert (first.steps, second.steps) == ([], list(range(25, 40)))
    for name in ("seed-1", "seed-2", "."):
        assert weights(tmp_path / "study" / name) == weights(tmp_path / "whole" / name)
    told = [json.loads((tmp_path / name / "seeds.json").read_text())["summary"] for name in ("study", "whole")]
    assert told[0]["metrics"] == told[1]["metrics"]
    assert not list((tmp_path / "study").glob("*/checkpoints"))


def test_a_seed_of_changed_settings_begins_again(model: Path, tables: Path, tmp_path: Path) -> None:
    with pytest.raises(CrashError):
        study(model, tables, tmp_path / "study", {1: CrashAt(27)})
    newest = max((tmp_path / "study" / "seed-1" / "checkpoints").glob("step-*"))
    (newest / "weights.safetensors").write_bytes(b"")
    for place in (tmp_path / "study" / "seed-1" / "checkpoints").glob("step-*"):
        (place / "state.json").write_bytes(b"{}")
    seen = Steps()
    study(model, tables, tmp_path / "study", {1: seen})
    assert seen.steps == list(range(40))


def test_a_trial_goes_on_and_the_sweep_is_the_same(model: Path, tables: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = SweepSettings(trials=3, search_learning_rate=(1e-3, 1e-2), reduction=2, draw_seed=3)
    config = TrainingConfig(epochs=4, batch_size=16, seed=1)

    def sweep(out: Path, callbacks: dict[int, Callback]) -> dict[str, object]:
        def watch(number: int, drawn: Drawn) -> AbstractContextManager[Callback | None]:
            del drawn
            return nullcontext(callbacks.get(number))

        run_sweep(settings(model, tables, out), config, search, say=lambda line: None, watch=watch)
        return dict(json.loads((out / "sweep.json").read_text()))

    expected = sweep(tmp_path / "whole", {})
    with pytest.raises(CrashError):
        sweep(tmp_path / "sweep", {2: CrashAt(25)})
    seen = Steps()
    found = sweep(tmp_path / "sweep", {2: seen})
    assert seen.steps[0] == 20
    assert found == expected
    assert weights(tmp_path / "sweep") == weights(tmp_path / "whole")
    assert not list((tmp_path / "sweep").glob("*/checkpoints"))
