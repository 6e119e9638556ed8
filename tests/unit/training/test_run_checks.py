"""Settings that could have no effect on a task are refused, and no others."""

from pathlib import Path
from typing import Any

import pytest

from bertune.data.labels import LabelSet
from bertune.data.several_labels import SeveralLabels
from bertune.data.task import Columns, Task
from bertune.errors import ConfigError
from bertune.training.config import TrainingConfig
from bertune.training.run_checks import check_settings
from bertune.training.run_settings import RunSettings

COLUMNS = Columns("first", None, "answer")
TWO = Task.for_columns(COLUMNS).with_labels(LabelSet(("no", "yes")))
THREE = Task.for_columns(COLUMNS).with_labels(LabelSet(("no", "perhaps", "yes")))
SEVERAL = Task.for_columns(Columns("first", None, "answer", SeveralLabels((), ";")), kind="multi-label").with_labels(
    LabelSet(("red", "round", "soft"))
)
VALUES = Task.for_columns(COLUMNS, kind="regression")


def check(task: Task, *, has_validation: bool = True, config: TrainingConfig | None = None, **run: Any) -> None:
    settings = RunSettings(data="x.csv", out=Path("run"), text_a="first", label="answer", **run)
    check_settings(settings, config or TrainingConfig(), task, has_validation=has_validation)


@pytest.mark.parametrize("task", [TWO, THREE, SEVERAL, VALUES])
def test_what_nobody_asked_for_needs_no_validation_data(task: Task) -> None:
    check(task, has_validation=False)
    check(task, has_validation=False, config=TrainingConfig(patience=0))
    check(task, config=TrainingConfig(patience=2))


@pytest.mark.parametrize("task", [TWO, THREE, SEVERAL, VALUES])
def test_every_metric_of_the_task_can_choose_the_best_epoch(task: Task) -> None:
    for metric in task.metrics:
        check(task, metric=metric)


@pytest.mark.parametrize(
    ("task", "run", "config", "says"),
    [
        (TWO, {"metric": "pearson"}, {}, "metric 'pearson' is none of classification's: accuracy, "),
        (VALUES, {"metric": "accuracy"}, {}, "metric 'accuracy' is none of regression's: pearson"),
        (THREE, {"metric": "f1"}, {}, "f1"),
        (THREE, {"threshold": "auto"}, {}, "threshold"),
        (VALUES, {"threshold": "auto"}, {}, "--threshold is for labels, not for values"),
        (VALUES, {}, {"label_smoothing": 0.1}, "--label-smoothing is for classes, not for values"),
        (VALUES, {}, {"class_weights": ("balanced",)}, "--class-weights is for classes, not for values"),
    ],
)
def test_settings_that_do_not_fit_the_task_are_refused(
    task: Task, run: dict[str, Any], config: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        check(task, config=TrainingConfig(**config), **run)


@pytest.mark.parametrize(
    ("run", "config", "says"),
    [
        ({"metric": "accuracy"}, {}, "--metric and --patience need validation data"),
        ({}, {"patience": 1}, "--metric and --patience need validation data"),
        ({}, {"evaluate_every": 5}, "--evaluate-every needs validation data"),
        ({"threshold": "auto"}, {}, "--threshold auto needs validation data"),
    ],
)
def test_what_chooses_needs_validation_data(run: dict[str, Any], config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        check(TWO, has_validation=False, config=TrainingConfig(**config), **run)
    assert raised.value.hint is not None
    assert "--validation 0.1" in raised.value.hint


def test_the_metric_that_was_meant_is_told_where_there_is_one() -> None:
    with pytest.raises(ConfigError) as raised:
        check(TWO, metric="acuracy")
    assert raised.value.hint == "did you mean 'accuracy'?"
    with pytest.raises(ConfigError) as raised:
        check(TWO, metric="zzz")
    assert raised.value.hint is None


def test_thresholds_are_chosen_for_two_labels_and_for_several_by_a_metric_that_has_them() -> None:
    smoothed = TrainingConfig(label_smoothing=0.1, class_weights=("balanced",))
    check(TWO, threshold="auto", config=smoothed)
    check(SEVERAL, threshold="auto", threshold_for="f1_macro")
