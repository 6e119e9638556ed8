"""Runs with a teacher: it answers once, and a run that goes on is the run that never stopped."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.resumed_runs import CrashAt, crashed, prepared, results, resumed, say_nothing, write_world

from bertune.checkpoints.model_folder import load
from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import ConfigError
from bertune.evaluation.predict_texts import predict
from bertune.training import teacher_answers
from bertune.training.prepare import PreparedRun
from bertune.training.run import FinishedRun, execute
from bertune.training.teacher_answers import ANSWERS_FILE, taught

pytestmark = pytest.mark.usefixtures("compiler")

TEXTS = [f"the film was {word}" for word in ("good", "bad", "lovely", "sad", "nice", "poor")] * 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    with (folder / "more.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["first"], *([text] for text in TEXTS)])
    for kind in ("classification", "multi-label", "regression"):
        execute(prepared(folder, folder / kind, kind=kind))
    return folder


def student(world: Path, out: Path, *, kind: str = "classification", **changes: Any) -> PreparedRun:
    settings: dict[str, Any] = {
        "model": str(world / kind),
        "keep_layers": "1",
        "teacher": str(world / kind),
        "unlabelled": (str(world / "more.csv"),),
        "batch_size": 20,
        "epochs": 2,
        **changes,
    }
    return prepared(world, out, kind=kind, **settings)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the teacher was asked again")


@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_a_student_learns_the_answers_of_its_teacher_to_all_rows(kind: str, world: Path, tmp_path: Path) -> None:
    run = student(world, tmp_path / "run", kind=kind)
    finished: FinishedRun = execute(run)
    ready = taught(run, finished.directory.path, say=say_nothing)
    soft = ready.train.soft
    assert soft is not None
    assert soft.labelled is not None
    assert soft.labelled.tolist() == [True] * 90 + [False] * 30
    teacher = load(world / kind)
    rows = read_examples(world / "train.csv", Columns("first"))
    for part, texts in ((soft.values[:90], rows), (soft.values[90:], TEXTS)):
        expected = predict(teacher, texts, precision="auto").logits
        assert np.abs(part - expected).max() < 0.05  # in other batches, and in bfloat16
    assert finished.history.engine.endswith("compiled kernels")
    assert len(finished.history.steps) == 12
    beside = finished.teacher
    assert beside is not None
    assert (beside.split, beside.student.rows) == ("test", 30)
    assert beside.student.values == pytest.approx(finished.also["test"].values, abs=1e-6)
    assert -1 <= beside.agreement <= 1
    assert beside.student_rate > 0
    assert len(beside.lines()) == 2


def test_the_labels_of_a_teacher_may_have_another_order(world: Path, tmp_path: Path) -> None:
    run, turned = student(world, tmp_path / "run"), student(world, tmp_path / "turned", positive="up")
    assert run.task.labels is not None
    assert turned.task.labels is not None
    assert run.task.labels.names == turned.task.labels.names[::-1]
    one, other = (taught(each, tmp_path, say=say_nothing).train.soft for each in (run, turned))
    assert one is not None
    assert other is not None
    assert np.array_equal(one.values, other.values[:, ::-1])


def test_the_teacher_answers_once(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = execute(student(world, tmp_path / "first"))
    kept = (first.directory.path / ANSWERS_FILE).read_bytes()
    monkeypatch.setattr(teacher_answers, "predict", never)
    again = student(world, tmp_path / "again")
    assert again.teaching is not None
    again = replace(again, teaching=replace(again.teaching, cache=first.directory.path))
    second = execute(again)
    assert (
        results(second.directory.path)["model/model.safetensors"]
        == results(first.directory.path)["model/model.safetensors"]
    )
    assert (first.directory.path / ANSWERS_FILE).read_bytes() == kept
    assert not (second.directory.path / ANSWERS_FILE).exists()


@pytest.mark.parametrize("damage", ["cut", "another teacher", "other rows"])
def test_answers_of_others_are_not_taken(
    damage: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = student(world, tmp_path / "run")
    taught(run, tmp_path, say=say_nothing)
    assert run.teaching is not None
    monkeypatch.setattr(teacher_answers, "predict", never)
    taught(run, tmp_path, say=say_nothing)
    other = run.teaching
    if damage == "cut":
        (tmp_path / ANSWERS_FILE).write_bytes((tmp_path / ANSWERS_FILE).read_bytes()[:-8])
    elif damage == "another teacher":
        other = replace(other, digest="0" * 64)
    else:
        other = replace(other, examples=replace(other.examples, texts_a=[*other.examples.texts_a[:-1], "good"]))
    with pytest.raises(AssertionError, match="asked again"):
        taught(replace(run, teaching=other), tmp_path, say=say_nothing)


@pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])
def test_a_run_with_a_teacher_goes_on_with_the_same_bits(
    engine: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    whole = execute(student(world, tmp_path / "whole" / "run", save_every="100000m"))
    assert whole.history.engine.endswith("compiled kernels") == (engine == "")
    out = crashed(student(world, tmp_path / "part" / "run", save_every=2), CrashAt(8))
    with monkeypatch.context() as patch:
        patch.setattr(teacher_answers, "predict", never)
        resumed(out)
    expected, found = results(whole.directory.path), results(out)
    for name in ("model/model.safetensors", "metrics.jsonl", "dynamics.npz", "doubtful.jsonl", ANSWERS_FILE):
        assert found[name] == expected[name], name


def test_a_run_does_not_go_on_with_another_teacher(world: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    execute(prepared(world, teacher))
    out = crashed(student(world, tmp_path / "run", teacher=str(teacher), save_every=2), CrashAt(8))
    execute(prepared(world, teacher, seed=7, overwrite=True))
    before = (out / ANSWERS_FILE).read_bytes()
    with pytest.raises(ConfigError, match="cannot be resumed as it began: its teacher has changed since"):
        resumed(out)
    assert (out / ANSWERS_FILE).read_bytes() == before


def test_a_run_of_soft_labels_does_not_go_on_with_others(world: Path, tmp_path: Path) -> None:
    table = tmp_path / "soft.csv"

    def write(first: float) -> None:
        ups = [first, *(0.75 if row % 2 else 0.25 for row in range(1, len(TEXTS)))]
        rows = [[text, up, 1 - up] for text, up in zip(TEXTS, ups, strict=True)]
        with table.open("w", newline="") as stream:
            csv.writer(stream).writerows([["first", "p_up", "p_down"], *rows])

    settings: dict[str, Any] = {
        "data": str(table),
        "label": "mood",
        "soft_labels": ("p_up=up", "p_down=down"),
        "validation": "none",
        "test": None,
        "epochs": 2,
        "batch_size": 5,
        "save_every": 2,
    }
    write(0.9)
    out = crashed(prepared(world, tmp_path / "run", **settings | {"label": None}), CrashAt(8))
    write(0.8)  # the same arg max, and the same texts
    with pytest.raises(ConfigError, match="the rows of its data have changed since"):
        resumed(out)
    write(0.9)
    whole = execute(prepared(world, tmp_path / "whole", **settings | {"label": None}))
    resumed(out)
    weights = "model/model.safetensors"
    assert results(out)[weights] == results(whole.directory.path)[weights]


def test_a_teacher_with_other_labels_is_refused(world: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text((world / "train.csv").read_text().replace(",down,", ",low,"))
    with pytest.raises(ConfigError, match=r"has other labels than these data: 'up', 'down' against 'up', 'low'"):
        student(world, tmp_path / "run", data=str(other), validation="none", test=None)
    with pytest.raises(ConfigError, match="is for regression, this run for classification"):
        student(world, tmp_path / "run", teacher=str(world / "regression"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"class_weights": ("balanced",)}, "--class-weights weighs rows by their label"),
        ({"temperature": -1.0}, "--temperature must be a number above 0"),
        ({"mix": 2.0}, "--mix is the teacher's share"),
        ({"teacher": None}, "--unlabelled has no effect without a teacher"),
        ({"keep_layers": "0,5"}, "the model has no layer 5, its 2 layers are numbered 0 to 1"),
        ({"keep_layers": "1,0"}, "layers stay in their order"),
        ({"keep_layers": "a"}, "expected numbers of layers"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    changes: dict[str, Any], reason: str, world: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=reason):
        student(world, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_values_have_no_temperature(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="values are learned without --temperature"):
        student(world, tmp_path / "run", kind="regression", temperature=2.0)
