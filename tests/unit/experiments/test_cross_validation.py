"""Cross-validation: whose answers are the score, how long the model of all rows trains, and what is resumed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.resumed_runs import CrashAt, CrashError
from tests.unit.experiments.test_resumed_experiments import Steps

from bertune.checkpoints.model_folder import load
from bertune.cli.inspect_model import inspect_run
from bertune.errors import ConfigError
from bertune.evaluation.intervals import share_interval
from bertune.experiments.cross_validation import FinishedFolds, execute_folds, prepare_folds
from bertune.experiments.fold_directory import FoldDirectory
from bertune.experiments.fold_run import prepared_fold, steps_for_fold
from bertune.experiments.fold_settings import FoldSettings
from bertune.experiments.fold_table import FoldResult
from bertune.models.classifier import Classifier
from bertune.reports.compared_runs import compare_runs, read_compared_run
from bertune.reports.run_report import write_report
from bertune.training.callback import Callback
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.interrupted_run import find_interrupted
from bertune.training.plan import StepLimit, plan_of
from bertune.training.run_settings import RunSettings

# 213 or 214 of 320 rows, 14 steps an epoch.
CONFIG = TrainingConfig(epochs=2, batch_size=16, learning_rate=3e-3, seed=1)
Callbacks = Callable[[str], Callback | None]


def folds_in(
    out: Path,
    model: Path,
    tables: Path,
    *,
    callbacks: Callbacks = lambda name: None,
    say: Callable[[str], None] = lambda line: None,
    config: TrainingConfig = CONFIG,
    **more: Any,
) -> FinishedFolds:
    given = {"data": str(tables), "text_a": "first", "label": "mood", "max_length": 32} | more
    settings = RunSettings(out=out, model=str(model), **given)
    prepared = prepare_folds(settings, config, FoldSettings(folds=3), say=say)
    prepared = replace(prepared, run=replace(prepared.run, checkpoints=CheckpointSettings(save_every=5)))
    return execute_folds(prepared, say=say, callback_of=callbacks)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedFolds:
    """A cross-validation that nothing interrupted."""
    return folds_in(tmp_path_factory.mktemp("folds") / "run", model, tables, test=str(tables / "test.csv"))


def test_every_training_row_is_answered_once_and_that_is_the_score(whole: FinishedFolds, tables: Path) -> None:
    folder = whole.directory.path
    rows = lines_of(folder / "out_of_fold.jsonl")
    assert [row["row"] for row in rows] == list(range(320))
    assert [row["where"] for row in rows] == [f"{tables / 'train.csv'}:{row + 2}" for row in range(320)]
    right = np.mean([("down", "up")[int(np.argmax(row["logits"]))] == row["target"] for row in rows])
    told = json.loads((folder / "scores.json").read_text())
    assert told["cross_validation"]["rows"] == 320
    assert told["cross_validation"]["metrics"]["accuracy"]["value"] == whole.scores.value("accuracy") == right
    assert "validation" not in told
    assert [fold["fold"] for fold in told["folds"]] == [1, 2, 3]
    by_fold = [fold["metrics"]["accuracy"] * fold["rows"] for fold in told["folds"]]
    assert sum(by_fold) == pytest.approx(right * 320)
    assert all(sum(row["probabilities"]) == pytest.approx(1) for row in rows)


def test_a_folds_rows_are_not_among_those_its_model_learns(model: Path, tables: Path, tmp_path: Path) -> None:
    settings = RunSettings(
        data=str(tables), out=tmp_path, model=str(model), text_a="first", label="mood", max_length=32
    )
    prepared = prepare_folds(settings, CONFIG, FoldSettings(folds=3), say=lambda line: None)
    for number in (1, 2, 3):
        run = prepared_fold(prepared.run, prepared.folds, number, FoldDirectory(tmp_path))
        assert run.validation is not None
        learned = {run.describe["train"](row).where for row in range(len(run.train))}
        answered = {run.describe["validation"](row).where for row in range(len(run.validation))}
        assert len(learned) + len(answered) == 320
        assert not learned & answered


def test_the_interval_is_wider_than_that_of_independent_rows(whole: FinishedFolds) -> None:
    found = whole.scores.metrics["accuracy"]
    low, high = share_interval(found.value, 320)
    assert found.method == "Agresti-Coull, widened for folds"
    assert (found.high - found.low) / (high - low) == pytest.approx((1 + 3 / 2) ** 0.5, rel=1e-6) or found.high == 1


def test_the_model_kept_learned_all_rows_for_the_median_of_the_best_steps(whole: FinishedFolds) -> None:
    folder = whole.directory.path
    best = sorted(fold.best_step for fold in whole.folds)
    assert whole.steps == len(whole.history.steps) == best[1]
    assert len(lines_of(folder / "fold-1" / "metrics.jsonl")) > 2
    assert json.loads((folder / "folds.json").read_text())["steps"] == whole.steps
    kept = load(folder / "model")
    assert kept.signature.train_rows == 320
    assert whole.calibration is not None
    assert kept.signature.temperature == whole.calibration.temperature
    # 320 rows are 20 steps an epoch, a fold's 213 are 14: the rate falls over the steps of the folds.
    rates = [step.learning_rate for step in whole.history.steps]
    assert rates[-1] < 0.2 * max(rates) or whole.steps < 28


def test_the_test_rows_are_scored_once_by_the_model_kept(whole: FinishedFolds) -> None:
    told = json.loads((whole.directory.path / "scores.json").read_text())
    assert told["test"]["rows"] == whole.also["test"].rows == 80


def test_only_the_answers_and_the_journal_of_a_fold_are_kept(whole: FinishedFolds) -> None:
    for number in (1, 2, 3):
        kept = {entry.name for entry in (whole.directory.path / f"fold-{number}").iterdir()}
        assert kept == {"evaluations", "metrics.jsonl"}
    assert not (whole.directory.path / "all-rows").exists()


def test_the_report_says_whose_score_it_is_and_shows_each_fold(whole: FinishedFolds) -> None:
    page = write_report(whole.directory.path).read_text()
    assert "each of 320 training rows was answered by a model that did not learn from it" in page
    assert '<section id="folds">' in page
    assert "chosen on the same rows" not in page
    assert "There were no validation data" not in page
    numbers = json.loads((whole.directory.path / "metrics.json").read_text())
    assert numbers["validation"] is None
    assert numbers["doubtful"]["out_of_fold"] is True
    assert [curve["name"] for curve in numbers["curves"]] == ["fold-1", "fold-2", "fold-3", "all rows"]


def test_inspect_and_compare_take_it(whole: FinishedFolds) -> None:
    path = whole.directory.path
    assert any(
        line.startswith("cross-validation, 3 folds, models of fewer rows: accuracy") for line in inspect_run(path).lines
    )
    run = read_compared_run(path)
    assert run.is_out_of_fold
    assert compare_runs([run, run]).scores[0]["accuracy"] == whole.scores.value("accuracy")


def test_a_row_with_a_wrong_label_is_among_the_most_doubtful(model: Path, tables: Path, tmp_path: Path) -> None:
    lines = (tables / "train.csv").read_text().splitlines()
    place = next(number for number, line in enumerate(lines[1:], start=1) if line.endswith(",up"))
    lines[place] = lines[place].removesuffix("up") + "down"
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    folds_in(tmp_path / "run", model, tables, data=str(tmp_path / "train.csv"))
    doubtful = lines_of(tmp_path / "run" / "doubtful.jsonl")
    found = next(row for row in doubtful[:10] if row["where"] == f"{tmp_path / 'train.csv'}:{place + 1}")
    assert (found["target"], found["answer"]) == ("down", "up")
    assert found["probability"][0] < 0.5


@pytest.mark.parametrize(("name", "step"), [("fold 2 of 3", 9), ("all rows", 7)])
def test_an_interrupted_training_goes_on_at_its_checkpoint(
    model: Path, tables: Path, tmp_path: Path, whole: FinishedFolds, name: str, step: int
) -> None:
    test = str(tables / "test.csv")
    out = tmp_path / "run"
    with pytest.raises(CrashError):
        folds_in(out, model, tables, callbacks=lambda other: CrashAt(step) if other == name else None, test=test)
    seen: dict[str, Steps] = {}
    told: list[str] = []
    again = folds_in(
        out, model, tables, callbacks=lambda other: seen.setdefault(other, Steps()), say=told.append, test=test
    )
    assert next(iter(seen)) == name
    assert min(seen[name].steps) == 5
    assert any(line.startswith(f"resuming the cross-validation in {out}: folds 1") for line in told)
    assert again.scores == whole.scores
    assert weights(out) == weights(whole.directory.path)
    for file in ("out_of_fold.jsonl", "doubtful.jsonl"):
        assert (out / file).read_text() == (whole.directory.path / file).read_text()


def test_other_settings_and_damaged_answers_are_told(model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(CrashError):
        folds_in(out, model, tables, callbacks=lambda name: CrashAt(3) if name == "fold 2 of 3" else None)
    with pytest.raises(
        ConfigError, match=r"holds a cross-validation with another learning-rate: 0\.003 then, 0\.001 now"
    ):
        folds_in(out, model, tables, config=replace(CONFIG, learning_rate=1e-3))
    with pytest.raises(ConfigError, match="holds a cross-validation, which --resume is not for"):
        find_interrupted(out, lambda line: None)
    (out / "fold-1" / "evaluations" / "14.safetensors").unlink()
    seen: list[str] = []

    def watch(name: str) -> None:
        seen.append(name)

    folds_in(out, model, tables, callbacks=watch)
    assert seen == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3", "all rows"]


@pytest.mark.parametrize("kind", ["regression", "multi-label"])
def test_values_and_sets_of_labels_are_cross_validated(model: Path, tmp_path: Path, kind: str) -> None:
    rows = [f"good film {row},{row / 10 if kind == 'regression' else ('x', 'y', 'x;y')[row % 3]}" for row in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(["first,mood", *rows]) + "\n")
    more = {"label_separator": ";"} if kind == "multi-label" else {}
    config = replace(CONFIG, epochs=1)
    found = folds_in(tmp_path / "run", model, tmp_path, kind=kind, config=config, **more)
    assert found.scores.rows == 60
    answered = lines_of(tmp_path / "run" / "out_of_fold.jsonl")
    assert {len(row["probabilities"]) for row in answered} == {0 if kind == "regression" else 2}
    assert "may be mislabelled" in write_report(tmp_path / "run").read_text()


def result(fold: int, best: int, evaluated: tuple[int, ...] = (10, 20, 30)) -> FoldResult:
    return FoldResult(fold, f"fold-{fold}", 10, 20, evaluated, best, 30, 1.0)


def test_a_folds_own_best_step_has_no_part_in_its_score() -> None:
    results = [result(1, 10), result(2, 30), result(3, 30)]
    assert [steps_for_fold(results, fold) for fold in (1, 2, 3)] == [30, 20, 20]
    # Patience ended it before.
    assert steps_for_fold([result(1, 10, (10, 20)), result(2, 30), result(3, 30)], 1) == 20


def test_a_limit_of_steps_is_not_one_of_epochs() -> None:
    recipe = replace(CONFIG, recipe="lesson")
    plan = replace(plan_of(recipe, Classifier.__new__(Classifier), 320), limit=StepLimit(last=7, schedule=14))
    assert (plan.steps(320), plan.steps_of_schedule(320)) == (7, 14)
    assert (replace(plan, limit=None).steps(320), replace(plan, limit=None).steps_of_schedule(320)) == (40, 40)


def test_settings_that_contradict_folds_are_refused() -> None:
    with pytest.raises(ConfigError, match="--folds must be at least 2, not 1"):
        FoldSettings(folds=1)
    run = RunSettings(data="x.csv", out=Path("out"), text_a="a", label="b", validation="0.1")
    with pytest.raises(ConfigError, match=r"so --validation 0\.1 has no effect"):
        FoldSettings(folds=5).refuse_contradictions(run, with_seeds=False)
    with pytest.raises(ConfigError, match="--folds and --seeds"):
        FoldSettings(folds=5).refuse_contradictions(replace(run, validation=None), with_seeds=True)
    with pytest.raises(ConfigError, match="a teacher has learned from all rows"):
        FoldSettings(folds=5).refuse_contradictions(
            replace(run, validation=None, teacher=Path("teacher")), with_seeds=False
        )


def test_folds_learn_soft_labels_with_lowest_layers_frozen(model: Path, tables: Path, tmp_path: Path) -> None:
    table = tmp_path / "soft.csv"
    with (tables / "train.csv").open() as source, table.open("w") as made:
        next(source)
        made.write("first,up,down\n")
        for line in source:
            _, text, mood = line.rstrip("\n").split(",")
            made.write(f"{text},{0.9 if mood == 'up' else 0.1},{0.1 if mood == 'up' else 0.9}\n")
    config = replace(CONFIG, freeze=1, epochs=8, learning_rate=1e-2)
    soft = {"data": str(table), "label": None, "soft_labels": ("up=up", "down=down")}
    settings = RunSettings(out=tmp_path / "run", model=str(model), text_a="first", max_length=32, **soft)
    prepared = prepare_folds(settings, config, FoldSettings(folds=3), say=lambda line: None)
    fold = prepared_fold(prepared.run, prepared.folds, 2, FoldDirectory(tmp_path / "run"))
    assert fold.train.soft is not None
    others = np.flatnonzero(prepared.folds != 2)
    assert prepared.run.train.soft is not None
    np.testing.assert_array_equal(fold.train.soft.values, prepared.run.train.soft.values[others])
    found = folds_in(tmp_path / "run", model, tables, config=config, **soft)
    assert found.scores.value("accuracy") > 0.6
    assert load(tmp_path / "run" / "model").signature.trained is not None
