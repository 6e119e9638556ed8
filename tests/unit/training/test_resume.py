"""A run that goes on is the run that never stopped, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.resumed_runs import CrashAt, CrashError, crashed, prepared, results, resumed, say_nothing, write_world

import bertune
from bertune.api.resumed_run import prepare_interrupted
from bertune.training.callback import Callback
from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.journal import Journal
from bertune.training.run import execute
from bertune.training.run_directory import has_ended
from bertune.training.save_cadence import Cadence
from bertune.training.step import StepResult

pytestmark = pytest.mark.usefixtures("compiler")

TASKS: dict[str, dict[str, Any]] = {
    "classes, weights, parts, bf16": {
        "kind": "classification",
        "class_weights": ("balanced",),
        "micro_batch_size": 5,
        "precision": "bf16",
    },
    "several labels, windows, thresholds": {
        "kind": "multi-label",
        "long_text": "windows",
        "max_length": 12,
        "threshold": "auto",
        "precision": "fp32",
    },
    "values, the lesson": {"kind": "regression", "recipe": "lesson", "precision": "fp32"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The results of a run that was never interrupted, by its settings; it saves nothing on its way."""
    known: dict[str, dict[str, Any]] = {}

    def of(engine: str, task: str, **changes: Any) -> dict[str, Any]:
        key = str((engine, task, changes))
        if key not in known:
            out = tmp_path_factory.mktemp("whole") / "run"
            execute(prepared(world, out, **TASKS[task], **changes, save_every="100000m"))
            known[key] = results(out)
        return known[key]

    return of


# Six steps an epoch: in the middle of one, before and after the evaluation that ends one, and at the very end.
POINTS: dict[str, tuple[Callback, dict[str, Any], str]] = {
    "within an epoch": (CrashAt(9), {"save_every": 3}, "step-000000009"),
    "before an evaluation": (CrashAt(epoch=2), {"save_every": 6}, "step-000000012"),
    "after an evaluation": (CrashAt(8), {"save_every": "100000m"}, "step-000000006-evaluated"),
    "at the last step": (CrashAt(epoch=3), {"save_every": 1}, "step-000000018"),
}


@pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])
@pytest.mark.parametrize("task", TASKS)
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_never_interrupted(
    task: str, engine: str, world: Path, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    expected = whole(engine, task)
    assert expected["metrics.jsonl"][0]["precision"].endswith(", compiled kernels") == (engine == "")
    for number, (crash, settings, newest) in enumerate(POINTS.values()):
        out = crashed(prepared(world, tmp_path / str(number) / "run", **TASKS[task], **settings), crash)
        assert not has_ended(out)
        assert checkpoints_in(out / "checkpoints")[0].name == newest
        found = results(resumed(out))
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert value == expected[name], name


# Evaluated after 4, 6, 8, 12, 16 and 18 steps.
WITHIN: dict[str, tuple[Callback, dict[str, Any], str]] = {
    "between two evaluations": (CrashAt(10), {"save_every": 10}, "step-000000010"),
    "in an evaluation": (CrashAt(evaluation=8), {"save_every": 8}, "step-000000008"),
    "after an evaluation": (CrashAt(4), {"save_every": "100000m"}, "step-000000004-evaluated"),
    "in the last one": (CrashAt(epoch=3), {"save_every": 9}, "step-000000018"),
}


@pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])
def test_a_run_with_evaluations_within_epochs_goes_on_as_well(
    engine: str, world: Path, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best one is within an epoch, and some tokens are of validation rows alone: their rows decay by themselves."""
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    task, every = "values, the lesson", {"evaluate_every": 4, "weight_decay": 0.3}
    expected = whole(engine, task, **every)
    lines = [line for line in expected["metrics.jsonl"] if line["event"] == "evaluation"]
    assert [line["step"] for line in lines] == [4, 6, 8, 12, 16, 18]
    assert [line["step"] for line in lines if line["is_best"]] == [4]
    for number, (crash, settings, newest) in enumerate(WITHIN.values()):
        run = prepared(world, tmp_path / str(number) / "run", **TASKS[task], **every, **settings)
        out = crashed(run, crash)
        assert checkpoints_in(out / "checkpoints")[0].name == newest
        again, resume_point = prepare_interrupted(out, say=say_nothing)
        execute(again, resume_point=resume_point)
        kept = load_file(out / "model" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        assert torch.equal(again.classifier.encoder.input_embeddings.weight.detach(), kept)
        found = results(out)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert value == expected[name], name


def test_a_run_that_patience_ended_within_an_epoch_goes_on_to_its_end(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is so high that the later evaluations are worse; what is left after the last step is done again."""
    settings: dict[str, Any] = {
        "epochs": 8, "patience": 2, "learning_rate": 3e-2, "optimizer": "adamw", "seed": 1, "recipe": "lesson",
        "evaluate_every": 4, "tensorboard": True,
    }  # fmt: skip
    execute(prepared(world, tmp_path / "whole" / "run", **settings))
    expected = results(tmp_path / "whole" / "run")
    last = [line for line in expected["metrics.jsonl"] if line["event"] != "step"][-2:]
    assert [line["event"] for line in last] == ["evaluation", "epoch"]
    stopped = last[0]["step"]
    assert stopped % 6 != 0
    monkeypatch.setattr(Cadence, "is_due_after_evaluation", lambda _: True)
    for number, where in enumerate(("in the last evaluation", "after it")):
        crash: Callback = CrashAt(evaluation=stopped)
        with monkeypatch.context() as patch:
            if where == "after it":
                crash = Callback()
                patch.setattr("bertune.training.run.write_dynamics", crashes)
            out = crashed(prepared(world, tmp_path / str(number) / "run", **settings, save_every=1), crash)
        newest = f"step-{stopped:09d}{'-evaluated' if where == 'after it' else ''}"
        assert checkpoints_in(out / "checkpoints")[0].name == newest
        found = results(resumed(out))
        for name, value in found.items():
            if not name.startswith("tensorboard"):  # there are times in it
                assert value == expected[name], (where, name)
        assert size_of_curves(out) == size_of_curves(tmp_path / "whole" / "run")


def crashes(*_: Any) -> None:
    raise CrashError


def test_a_run_may_be_interrupted_at_every_step(world: Path, whole: Any, tmp_path: Path) -> None:
    task = "classes, weights, parts, bf16"
    expected = whole("", task)
    out = crashed(prepared(world, tmp_path / "run", **TASKS[task], save_every=1), CrashAt(0))
    for step in range(1, 18):
        with pytest.raises(CrashError):
            resumed(out, callback=CrashAt(step))
        assert len(checkpoints_in(out / "checkpoints")) <= 2
    assert results(resumed(out)) == expected


def test_a_run_without_a_checkpoint_begins_again(world: Path, whole: Any, tmp_path: Path) -> None:
    task = "values, the lesson"
    out = crashed(prepared(world, tmp_path / "run", **TASKS[task], save_every="100000m"), CrashAt(2))
    said: list[str] = []
    assert results(resumed(out, say=said.append)) == whole("", task)
    assert f"{out} resumes from its beginning" in said


def test_early_stopping_the_best_epoch_and_curves_go_on_as_well(world: Path, tmp_path: Path) -> None:
    """The best epoch is long ago when the run stops; a rate that is much too high makes the later ones worse."""
    settings: dict[str, Any] = {
        "epochs": 8, "patience": 3, "learning_rate": 3e-2, "optimizer": "adamw", "skip_probe": False,
        "tensorboard": True, "seed": 1, "recipe": "lesson",
    }  # fmt: skip
    execute(prepared(world, tmp_path / "whole" / "run", **settings))
    expected = results(tmp_path / "whole" / "run")
    epochs = [line for line in expected["metrics.jsonl"] if line["event"] == "epoch"]
    best = max(line["epoch"] for line in epochs if line["is_best"])
    assert best < len(epochs) < 8
    crash = CrashAt(6 * best + 8)
    out = crashed(prepared(world, tmp_path / "run", **settings, save_every=5), crash)
    found = results(resumed(out))
    for name, value in found.items():
        if not name.startswith("tensorboard"):  # there are times in it
            assert value == expected[name], name
    assert len(list((out / "tensorboard").iterdir())) == 1
    assert size_of_curves(out) == size_of_curves(tmp_path / "whole" / "run")


def size_of_curves(run: Path) -> int:
    return sum(file.stat().st_size for file in (run / "tensorboard").iterdir())


def test_nothing_is_left_of_the_checkpoints_but_what_was_asked_for(world: Path, tmp_path: Path) -> None:
    execute(prepared(world, tmp_path / "gone", save_every=2))
    assert not (tmp_path / "gone" / "checkpoints").exists()
    execute(prepared(world, tmp_path / "kept", save_every=2, keep_checkpoints=True, keep_last=3))
    kept = [place.name for place in checkpoints_in(tmp_path / "kept" / "checkpoints")]
    assert len(kept) == 3
    assert kept[-2:] == ["step-000000018", "step-000000016"] or kept[0].startswith("step-000000018")


def test_python_goes_on_from_another_folder_and_with_data_in_memory(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["good film", "a bad plot", "nice music", "very sad", "great story", "awful actor"] * 12
    moods = ["up", "down"] * 36
    settings: dict[str, Any] = {"model": str(world / "model"), "epochs": 2, "quiet": True, "skip_probe": True}
    whole = bertune.train((texts, moods), out=tmp_path / "whole" / "run", **settings)
    monkeypatch.setattr(Journal, "on_step", crash_at(7))
    with pytest.raises(CrashError):
        bertune.train((texts, moods), out=tmp_path / "run", save_every=2, **settings)
    monkeypatch.undo()
    with pytest.raises(bertune.ConfigError, match="data were in memory"):
        bertune.resume(tmp_path / "run", quiet=True)
    with pytest.raises(bertune.ConfigError, match="the rows of its data have changed"):
        bertune.resume(tmp_path / "run", data=(texts, ["down", "up"] * 36), quiet=True)
    found = bertune.resume(tmp_path / "run", data=(texts, moods), quiet=True)
    assert found.scores == whole.scores
    assert found.history is not None
    assert whole.history is not None
    assert found.history.steps == whole.history.steps
    assert results(tmp_path / "run") == results(tmp_path / "whole" / "run")


def crash_at(step: int) -> Any:
    real = Journal.on_step

    def on_step(self: Journal, result: StepResult) -> None:
        real(self, result)
        if result.step == step:
            raise CrashError

    return on_step


def test_relative_paths_lead_from_where_the_run_was_started(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train.csv", "validation.csv", "test.csv"):
        (tmp_path / name).write_bytes((world / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"data": "train.csv", "validation": "validation.csv", "test": "test.csv"}
    execute(prepared(world, Path("whole") / "run", **names))
    crashed(prepared(world, Path("run"), **names, save_every=2), CrashAt(0))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed(Path("..") / "run")
    monkeypatch.chdir(tmp_path)
    assert results(tmp_path / "run") == results(tmp_path / "whole" / "run")


def test_checkpoints_that_a_run_was_deleting_when_it_was_killed_go_when_it_is_resumed(
    world: Path, tmp_path: Path
) -> None:
    execute(prepared(world, tmp_path / "run"))
    for name, keeps in (("run", False), ("kept", True)):
        out = tmp_path / name
        execute(prepared(world, out, save_every=2, keep_checkpoints=True, overwrite=True))
        if not keeps:  # it had ended, but for this
            settings = (out / "run.toml").read_text()
            (out / "run.toml").write_text(settings.replace("keep-checkpoints = true\n", ""))
        with pytest.raises(bertune.ConfigError, match="this run has ended"):
            resumed(out)
        assert (out / "checkpoints").is_dir() == keeps
