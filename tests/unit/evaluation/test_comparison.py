import json
from typing import Any

import numpy as np
import pytest

from bertune.errors import ConfigError
from bertune.evaluation.comparison import compare_decisions
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.paired_bootstrap import paired_samples
from bertune.evaluation.significance import mcnemar


def answers(source: np.random.Generator, targets: np.ndarray, accuracy: float, classes: int = 2) -> np.ndarray:
    """Answers of which that share is right."""
    wrong = (targets + source.integers(1, classes, len(targets))) % classes
    return np.where(source.random(len(targets)) < accuracy, targets, wrong)


def test_scores_and_differences_are_those_of_the_metrics() -> None:
    source = np.random.default_rng(0)
    targets = source.integers(0, 3, 300)
    runs = [answers(source, targets, share, 3) for share in (0.6, 0.8)]
    metrics = ("accuracy", "f1_macro", "matthews")
    result = compare_decisions(runs, targets, kind="classification", metrics=metrics, num_labels=3)
    for scores, decisions in zip(result.scores, runs, strict=True):
        assert scores == pytest.approx(compute_metrics(metrics, decisions, targets), abs=1e-12)
    (pair,) = result.pairs
    for name in metrics:
        assert pair.metrics[name].value == pytest.approx(result.scores[1][name] - result.scores[0][name])
        assert 0 < pair.metrics[name].low < pair.metrics[name].value < pair.metrics[name].high
    assert pair.mcnemar_p == mcnemar(len(pair.only_first), len(pair.only_second))
    assert pair.p == pair.corrected_p == max(pair.mcnemar_p, pair.metrics["accuracy"].p)
    assert pair.better == 1


def test_the_rows_of_a_pair_are_those_that_only_one_answers_right() -> None:
    targets = np.array([0, 0, 1, 1, 1])
    runs = [np.array([0, 1, 1, 0, 0]), np.array([1, 0, 1, 1, 0])]
    result = compare_decisions(runs, targets, kind="classification", metrics=["accuracy"], num_labels=2)
    (pair,) = result.pairs
    assert (pair.only_first, pair.only_second) == ((0,), (1, 3))


def test_the_interval_covers_a_planted_difference_as_often_as_it_says() -> None:
    source = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        targets = source.integers(0, 2, 200)
        runs = [answers(source, targets, share) for share in (0.7, 0.8)]
        result = compare_decisions(
            runs, targets, kind="classification", metrics=["accuracy"], num_labels=2, samples=400, seed=seed
        )
        found = result.pairs[0].metrics["accuracy"]
        covered += found.low <= 0.1 <= found.high
    assert 180 <= covered <= 199  # 190 expected; 180 and 200 are three standard deviations away


def test_models_that_are_equally_good_are_rarely_called_different() -> None:
    source = np.random.default_rng(2)
    called = 0
    for seed in range(200):
        targets = source.integers(0, 2, 100)
        runs = [answers(source, targets, 0.75) for _ in range(2)]
        result = compare_decisions(
            runs, targets, kind="classification", metrics=["accuracy"], num_labels=2, samples=400, seed=seed
        )
        called += result.pairs[0].is_shown
    assert called <= 14  # 10 would be 5 %


def test_what_the_models_share_does_not_widen_the_interval() -> None:
    source = np.random.default_rng(3)
    targets = source.integers(0, 2, 400)
    first = answers(source, targets, 0.75)
    second = first.copy()
    wrong = np.flatnonzero(first != targets)[:12]
    second[wrong] = targets[wrong]  # the same answers but for twelve that are put right
    result = compare_decisions([first, second], targets, kind="classification", metrics=["accuracy"], num_labels=2)
    found = result.pairs[0].metrics["accuracy"]
    assert found.value == pytest.approx(0.03)
    assert 0.012 < found.low < found.high < 0.05  # unpaired, each model alone varies by 0.085
    assert result.pairs[0].is_shown


def test_equal_answers_are_no_difference() -> None:
    targets = np.array([0, 1] * 20)
    result = compare_decisions([targets, targets.copy()], targets, kind="classification", metrics=["f1"], num_labels=2)
    (pair,) = result.pairs
    assert (pair.p, pair.better, pair.only_first, pair.only_second) == (1.0, None, (), ())
    json.dumps(result.to_dict(), allow_nan=False)


def test_with_more_models_every_pair_is_corrected() -> None:
    source = np.random.default_rng(4)
    targets = source.integers(0, 2, 150)
    runs = [answers(source, targets, share) for share in (0.7, 0.75, 0.9)]
    result = compare_decisions(runs, targets, kind="classification", metrics=["accuracy"], num_labels=2)
    assert [(pair.first, pair.second) for pair in result.pairs] == [(0, 1), (0, 2), (1, 2)]
    smallest = min(result.pairs, key=lambda pair: pair.p)
    assert smallest.corrected_p == pytest.approx(3 * smallest.p)


def test_values_are_compared_by_their_correlation_and_rows_by_their_distance() -> None:
    source = np.random.default_rng(5)
    targets = source.normal(size=300)
    runs = [targets + source.normal(scale=scale, size=300) for scale in (1.0, 0.6)]
    metrics = ("pearson", "spearman")
    result = compare_decisions(runs, targets, kind="regression", metrics=metrics, num_labels=1)
    (pair,) = result.pairs
    assert pair.mcnemar_p is None
    assert pair.better == 1
    assert result.scores[1] == pytest.approx(compute_metrics(metrics, runs[1], targets), abs=1e-12)
    distances = [np.abs(run - targets) for run in runs]
    assert sorted([*pair.only_first, *pair.only_second]) == list(range(300))
    assert pair.only_second[0] == int((distances[0] - distances[1]).argmax())
    assert pair.only_first[0] == int((distances[1] - distances[0]).argmax())


def test_several_labels_a_row_are_right_where_all_of_them_are() -> None:
    source = np.random.default_rng(6)
    targets = source.integers(0, 2, (200, 3))
    runs = [np.where(source.random(targets.shape) < share, targets, 1 - targets) for share in (0.7, 0.9)]
    metrics = ("f1_micro", "subset_accuracy", "hamming_loss")
    result = compare_decisions(runs, targets, kind="multi-label", metrics=metrics, num_labels=3)
    (pair,) = result.pairs
    for scores, decisions in zip(result.scores, runs, strict=True):
        assert scores == pytest.approx(compute_metrics(metrics, decisions, targets), abs=1e-12)
    right = [(run == targets).all(axis=1) for run in runs]
    assert pair.only_second == tuple(np.flatnonzero(right[1] & ~right[0]))
    assert pair.metrics["hamming_loss"].high < 0
    assert pair.better == 1
    lower_is_better = compare_decisions(runs, targets, kind="multi-label", metrics=["hamming_loss"], num_labels=3)
    assert lower_is_better.pairs[0].better == 1


def test_the_same_seed_draws_the_same_rows_for_all_models() -> None:
    targets = np.array([0, 1, 1, 0, 1] * 10)
    runs = [targets, targets.copy(), 1 - targets]
    drawn = paired_samples(["accuracy", "f1"], runs, targets, kind="classification", num_labels=2, samples=50, seed=9)
    again = paired_samples(["accuracy", "f1"], runs, targets, kind="classification", num_labels=2, samples=50, seed=9)
    np.testing.assert_array_equal(drawn["f1"], again["f1"])
    np.testing.assert_array_equal(drawn["accuracy"][0], drawn["accuracy"][1])
    np.testing.assert_allclose(drawn["accuracy"][2], 0)


def test_one_model_alone_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="two models or more"):
        compare_decisions([np.zeros(3, int)], np.zeros(3, int), kind="classification", metrics=["f1"], num_labels=2)


@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_models_that_answer_alike_have_an_interval_with_a_width(kind: Any) -> None:
    source = np.random.default_rng(0)
    targets: Any = {
        "classification": np.arange(50) % 2,
        "multi-label": source.integers(0, 2, (50, 3)),
        "regression": source.normal(size=50),
    }[kind]
    metrics = {
        "classification": ["accuracy", "f1", "f1_macro", "matthews"],
        "multi-label": ["f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"],
        "regression": ["pearson", "spearman"],
    }[kind]
    labels = {"classification": 2, "multi-label": 3, "regression": 1}[kind]
    for answers in (targets, np.zeros_like(targets)):
        pair = compare_decisions([answers] * 2, targets, kind=kind, metrics=metrics, num_labels=labels).pairs[0]
        for difference in pair.metrics.values():
            assert difference.low < difference.value == 0.0 < difference.high
    if kind == "classification":
        same = compare_decisions([targets] * 2, targets, kind=kind, metrics=["accuracy"], num_labels=2).pairs[0]
        assert same.metrics["accuracy"].high == pytest.approx(3.8415 / 53.8415, abs=1e-4)
