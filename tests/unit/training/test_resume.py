"""A run that goes on is the run that never stopped, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
from tests.resumed_runs import CrashAt, CrashError, crashed, prepared, results, resumed, write_world

from bertune.training.callback import Callback
from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.run import execute
from bertune.training.run_directory import has_ended

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
    assert f"{out} goes on from its beginning" in said


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
    sizes = [
        sum(file.stat().st_size for file in (run / "tensorboard").iterdir())
        for run in (out, tmp_path / "whole" / "run")
    ]
    assert sizes[0] == sizes[1]


def test_nothing_is_left_of_the_checkpoints_but_what_was_asked_for(world: Path, tmp_path: Path) -> None:
    execute(prepared(world, tmp_path / "gone", save_every=2))
    assert not (tmp_path / "gone" / "checkpoints").exists()
    execute(prepared(world, tmp_path / "kept", save_every=2, keep_checkpoints=True, keep_last=3))
    kept = [place.name for place in checkpoints_in(tmp_path / "kept" / "checkpoints")]
    assert len(kept) == 3
    assert kept[-2:] == ["step-000000018", "step-000000016"] or kept[0].startswith("step-000000018")
