"""The verdict against the baseline: rarely said by luck, and said where there is something to say."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.unit.scored import scored

from bertune.evaluation.score_parts import MetricScore

Rows = tuple[Any, Any]


def judged(targets: Any, predictions: Any, train: Any, metric: str, *, seed: int = 0) -> MetricScore:
    scores = scored(
        np.eye(2)[predictions],
        targets,
        task_kind="classification",
        metrics=[metric],
        train_targets=train,
        bootstrap_samples=150,
        seed=seed,
    )
    return scores.metrics[metric]


def coins(source: np.random.Generator, rows: int) -> Rows:
    return source.integers(0, 2, rows), source.integers(0, 2, rows)


def one_in_five(source: np.random.Generator, rows: int) -> Rows:
    """A fifth of the rows are 1; the model finds 60 % of them and is right on 80 % of all, like always 0."""
    targets = (source.random(rows) < 0.2).astype(np.int64)
    return targets, (source.random(rows) < np.where(targets == 1, 0.6, 0.15)).astype(np.int64)


def right_in(share: float) -> Any:
    def draw(source: np.random.Generator, rows: int) -> Rows:
        targets = source.integers(0, 2, rows)
        return targets, np.where(source.random(rows) < share, targets, 1 - targets)

    return draw


def require_rare(said: dict[str, Counter[str]], draws: int) -> None:
    for metric, sides in said.items():
        assert sides["better"] / draws < 0.03, metric
        assert sides["worse"] / draws < 0.03, metric
        assert sides["unclear"] < draws, metric


@pytest.mark.parametrize(
    ("metrics", "draw", "train"),
    [
        (["accuracy", "matthews"], coins, [1, 1, 0]),
        (["accuracy"], one_in_five, [0, 0, 1]),
        (["f1"], right_in(2 / 3), [1, 1, 0]),  # always 1 has an F1 of 2/3
        (["f1_macro"], right_in(1 / 3), [1, 1, 0]),  # always 1 has a macro F1 of 1/3
    ],
)
@pytest.mark.parametrize("rows", [50, 400])
def test_equal_models_are_rarely_called_better_or_worse(
    metrics: list[str], draw: Any, train: list[int], rows: int
) -> None:
    source, said = np.random.default_rng(4), {metric: Counter[str]() for metric in metrics}
    for seed in range(1000):
        targets, predictions = draw(source, rows)
        scores = scored(
            np.eye(2)[predictions],
            targets,
            task_kind="classification",
            metrics=metrics,
            train_targets=train,
            bootstrap_samples=100,
            seed=seed,
        )
        for metric in metrics:
            said[metric][scores.metrics[metric].against_baseline] += 1
    require_rare(said, 1000)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "f1_macro", "matthews"])
def test_three_rows_all_right_are_not_called_better(metric: str) -> None:
    found = judged([1, 1, 0], [1, 1, 0], [0, 0, 1], metric)
    assert found.value == 1.0
    assert found.against_baseline == "unclear"
    assert judged([1, 1, 1], [1, 1, 1], [0, 0, 1], metric).against_baseline == "unclear"


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "matthews"])
def test_what_is_there_is_seen(metric: str) -> None:
    source = np.random.default_rng(0)
    targets, predictions = right_in(0.7)(source, 400)
    assert judged(targets, predictions, [0, 0, 1], metric).against_baseline == "better"
    assert judged(targets, 1 - predictions, [0, 0, 1], metric).against_baseline in ("worse", "unclear")
    assert judged(targets, 1 - predictions, [0, 0, 1], "accuracy").against_baseline == "worse"


def test_a_value_above_the_baseline_is_not_yet_better() -> None:
    targets = np.repeat([0, 1], [40, 60])
    predictions = targets.copy()
    predictions[:36] = 1  # right in 64 of 100, always 1 in 60: only 4 rows differ
    found = judged(targets, predictions, [1, 1, 0], "accuracy")
    assert (found.value, found.baseline, found.against_baseline) == (0.64, 0.6, "unclear")


def test_a_baseline_that_the_model_beats_on_the_same_rows_may_lie_within_its_interval() -> None:
    targets = np.repeat([0, 1], [12, 88])
    predictions = targets.copy()
    predictions[:6] = 1  # right wherever always 1 is, and on six rows more
    found = judged(targets, predictions, [1, 1, 0], "accuracy")
    assert found.low < found.baseline < found.value
    assert found.against_baseline == "better"


def test_values_without_a_relation_are_rarely_called_better_or_worse() -> None:
    source, said = np.random.default_rng(0), {"pearson": Counter[str](), "spearman": Counter[str]()}
    for seed in range(1500):
        values, targets = source.normal(size=(2, 30))
        scores = scored(values, targets, task_kind="regression", metrics=list(said), bootstrap_samples=100, seed=seed)
        for metric, sides in said.items():
            sides[scores.metrics[metric].against_baseline] += 1
    require_rare(said, 1500)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_three_values_in_order_are_not_called_better(metric: str) -> None:
    three = scored([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], task_kind="regression", metrics=[metric])
    assert three.metrics[metric].against_baseline == "unclear"


def test_several_labels_equal_to_the_baseline_are_rarely_called_better_or_worse() -> None:
    source, said = np.random.default_rng(1), {"hamming_loss": Counter[str](), "subset_accuracy": Counter[str]()}
    for seed in range(600):
        targets = (source.random((100, 4)) < [0.5, 0.3, 0.1, 0.5]).astype(np.int64)
        given = np.zeros((100, 4))
        given[:, [0, 3]] = source.integers(0, 2, (100, 2))  # the baseline never gives the other two
        scores = scored(
            np.where(given == 1, 1.0, -1.0),
            targets,
            task_kind="multi-label",
            metrics=list(said),
            train_targets=[[1, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 1, 1]],
            bootstrap_samples=150,
            seed=seed,
        )
        for metric, sides in said.items():
            sides[scores.metrics[metric].against_baseline] += 1
    require_rare(said, 600)


def test_several_labels_must_beat_both_constant_answers() -> None:
    source = np.random.default_rng(2)
    targets = (source.random((300, 3)) < [0.45, 0.3, 0.1]).astype(np.int64)
    noisy = np.where(source.random(targets.shape) < 0.9, targets, 1 - targets)
    options: dict[str, Any] = {"task_kind": "multi-label", "train_targets": targets, "bootstrap_samples": 200}
    metrics = ["f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"]
    good = scored(noisy - 0.5, targets, metrics=metrics, **options)
    assert {metric.against_baseline for metric in good.metrics.values()} == {"better"}
    bad = scored(0.5 - noisy, targets, metrics=metrics, **options)
    assert {bad.metrics[name].against_baseline for name in ("subset_accuracy", "hamming_loss")} == {"worse"}


def test_a_label_that_half_of_the_rows_have_is_not_in_the_majority_answer() -> None:
    train = [[1, 0], [1, 0], [0, 1], [0, 0]]
    scores = scored(
        [[-1.0, -1.0]] * 2,
        [[0, 0], [1, 0]],
        task_kind="multi-label",
        metrics=["subset_accuracy"],
        label_names=["half", "few"],
        train_targets=train,
    )
    assert str(scores.baseline.answer).startswith("no label, or always ")
    assert scores.metrics["subset_accuracy"].baseline == 0.5


def test_it_is_told_where_the_training_majority_is_not_that_of_the_rows() -> None:
    targets = np.repeat([0, 1], [233, 267])
    scores = scored(
        np.eye(2)[targets],
        targets,
        task_kind="classification",
        metrics=["accuracy"],
        label_names=["no", "yes"],
        train_targets=[0, 0, 1],
    )
    told = "'no' is the training majority but 46.6 % of these rows; always 'yes' would have 53.4 %"
    assert told in scores.lines()
    assert scores.to_dict()["baseline"]["caution"] == told
    usual = scored(np.eye(2)[targets], targets, task_kind="classification", metrics=["accuracy"], train_targets=[1])
    assert usual.baseline.caution is None
    assert not any("training majority" in line for line in usual.lines())


def test_the_line_on_intervals_names_the_method_of_each_metric() -> None:
    targets = np.arange(60) % 2
    classes = scored(np.eye(2)[targets], targets, task_kind="classification", metrics=["accuracy", "f1", "matthews"])
    assert (
        "intervals: accuracy by Agresti-Coull; F1 of '1', Matthews correlation by bootstrap "
        "(1,000 samples, 4 pseudo-rows)"
    ) in classes.lines(verbose=True)
    values = scored(np.arange(9.0), np.arange(9.0) ** 2, task_kind="regression", metrics=["pearson"])
    assert "intervals: Pearson correlation by Fisher's z and bootstrap (1,000 samples)" in values.lines(verbose=True)
