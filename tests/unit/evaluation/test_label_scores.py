"""Scores of several labels a row, beside scikit-learn's."""

import json
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scored import scored

from bertune.data.task import MULTI_LABEL_METRICS
from bertune.errors import ConfigError, DataError
from bertune.evaluation.metrics import compute_metrics

NAMES = ("toxic", "insult", "threat", "never")


def noisy(seed: int, rows: int = 200) -> tuple[Any, Any]:
    """Logits that know the labels somewhat; the last label never occurs."""
    source = np.random.default_rng(seed)
    targets = (source.random((rows, 4)) < [0.6, 0.3, 0.05, 0.0]).astype(np.int64)
    return source.normal(4 * targets - 2, 1.5), targets


def scores_of(logits: Any, targets: Any, **options: Any) -> Any:
    options = {"metrics": MULTI_LABEL_METRICS, "label_names": NAMES, "bootstrap_samples": 200} | options
    return scored(logits, targets, task_kind="multi-label", **options)


def of_scikit_learn(predictions: Any, targets: Any) -> dict[str, float]:
    return {
        "f1_micro": sklearn.metrics.f1_score(targets, predictions, average="micro", zero_division=0),
        "f1_macro": sklearn.metrics.f1_score(targets, predictions, average="macro", zero_division=0),
        "subset_accuracy": sklearn.metrics.accuracy_score(targets, predictions),
        "hamming_loss": sklearn.metrics.hamming_loss(targets, predictions),
    }


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), labels=st.integers(1, 6))
def test_every_metric_equals_scikit_learn(seed: int, rows: int, labels: int) -> None:
    source = np.random.default_rng(seed)
    chance = source.random(labels)
    targets, predictions = (source.random((2, rows, labels)) < chance).astype(np.int64)
    ours = compute_metrics(MULTI_LABEL_METRICS, predictions, targets)
    if labels == 1:  # one column is no multi-label data to scikit-learn
        assert ours["f1_micro"] == pytest.approx(sklearn.metrics.f1_score(targets, predictions, zero_division=0))
        return
    assert ours == pytest.approx(of_scikit_learn(predictions, targets), abs=1e-12)


def test_scores_equal_scikit_learn_with_every_label_of_its_own() -> None:
    logits, targets = noisy(1)
    predictions = (logits >= 0).astype(int)
    scores = scores_of(logits, targets)
    assert scores.values == pytest.approx(of_scikit_learn(predictions, targets), abs=1e-9)
    expected = np.array(
        sklearn.metrics.precision_recall_fscore_support(targets, predictions, average=None, zero_division=0)
    ).T
    ours = [(label.precision, label.recall, label.f1, label.support) for label in scores.labels]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    assert [label.label for label in scores.labels] == list(NAMES)
    losses = [sklearn.metrics.log_loss(targets[:, i], 1 / (1 + np.exp(-logits[:, i])), labels=[0, 1]) for i in range(4)]
    assert scores.mean_loss == pytest.approx(np.mean(losses), abs=1e-9)


def test_given_decisions_are_scored_in_the_place_of_the_usual_ones() -> None:
    logits, targets = noisy(2)
    decisions = (logits >= 1.0).astype(int)
    assert scores_of(logits, targets, decisions=decisions).values == pytest.approx(of_scikit_learn(decisions, targets))


def test_intervals_are_those_of_drawing_the_rows_themselves() -> None:
    logits, targets = noisy(3, rows=120)
    predictions = (logits >= 0).astype(int)
    scores = scores_of(logits, targets, bootstrap_samples=4000)
    source = np.random.default_rng(9)
    drawn = [source.integers(0, 120, 120) for _ in range(1500)]
    plain = np.array([list(compute_metrics(MULTI_LABEL_METRICS, predictions[r], targets[r]).values()) for r in drawn])
    low, high = np.percentile(plain, [2.5, 97.5], axis=0)
    ours = np.array([(metric.low, metric.high) for metric in scores.metrics.values()])
    np.testing.assert_allclose(ours, np.stack([low, high], axis=1), atol=0.02)


def test_each_metric_is_held_against_the_better_of_two_constant_answers() -> None:
    train = np.array([[1, 0, 0, 0]] * 4 + [[1, 1, 0, 0]] * 1 + [[0, 0, 0, 0]] * 6)
    targets = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    scores = scores_of(np.full((3, 4), -1.0), targets, train_targets=train)
    assert scores.baseline.answer == "no label, or always 'toxic'"
    assert scores.baseline.source == "training data"
    assert scores.metrics["f1_micro"].baseline == pytest.approx(2 * 1 / (3 + 1))  # always toxic
    assert scores.metrics["subset_accuracy"].baseline == pytest.approx(2 / 3)  # no label
    assert scores.metrics["hamming_loss"].baseline == pytest.approx(1 / 12)  # no label, fewer errors
    assert scores.metrics["hamming_loss"].against_baseline == "unclear"
    assert scores.is_majority
    assert "every row is given the same labels: this run collapsed" in scores.verdict


def test_scores_are_shown_and_written_whole() -> None:
    scores = scores_of(*noisy(4))
    lines = scores.lines()
    assert lines[0].startswith("micro F1 ")
    assert lines[0].endswith("better than the baseline")
    assert not any("confusion" in line for line in lines)
    assert lines[-1].split() == ["never", "0.0", "%", "0.0", "%", "0.0", "%", "0"]
    content = scores.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"metrics": ["accuracy"]}, ConfigError, "accuracy cannot judge a multi-label task"),
        ({"targets": [[0, 1]]}, DataError, "targets are for 2 labels, the logits for 4"),
        ({"targets": [[0, 1, 2, 0]]}, DataError, "row 0 has 2"),
        ({"targets": [1]}, DataError, "rows of 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments = {"logits": np.zeros((1, 4)), "targets": [[0, 1, 0, 0]]} | change
    with pytest.raises(error, match=says):
        scores_of(**arguments)
