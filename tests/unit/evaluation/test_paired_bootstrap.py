"""Models on the same resampled rows, and what the interval of a difference contains at least."""

from typing import Any

import numpy as np
import pytest

from bertune.evaluation import paired_bootstrap as module
from bertune.evaluation.intervals import PSEUDO_ROWS
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.paired_bootstrap import least_intervals, measure_decisions, paired_samples

SOURCE = np.random.default_rng(3)
CLASSES, ANSWERS = SOURCE.integers(0, 3, 40), SOURCE.integers(0, 3, 40)
LABELS, GIVEN = SOURCE.integers(0, 2, (40, 3)), SOURCE.integers(0, 2, (40, 3))
VALUES = SOURCE.normal(size=40)
SAID = 3 * VALUES + SOURCE.normal(size=40)
SHARE = PSEUDO_ROWS / (40 + PSEUDO_ROWS)


@pytest.mark.parametrize(
    ("kind", "names", "answers", "targets", "num_labels"),
    [
        ("classification", ["accuracy", "f1_macro", "matthews"], ANSWERS, CLASSES, 3),
        ("multi-label", ["f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"], GIVEN, LABELS, 3),
        ("regression", ["pearson", "spearman"], SAID, VALUES, 1),
    ],
)
def test_measured_answers_have_the_metrics_of_the_rows(
    kind: Any, names: list[str], answers: Any, targets: Any, num_labels: int
) -> None:
    measured = measure_decisions(names, answers, targets, kind=kind, num_labels=num_labels)
    assert measured == pytest.approx(compute_metrics(names, answers, targets), abs=1e-12)


@pytest.mark.parametrize("answers", [CLASSES, (CLASSES + 1) % 3, ANSWERS], ids=["right", "wrong", "some right"])
def test_models_that_answer_alike_may_differ_by_as_many_rows_as_the_pseudo_rows(answers: Any) -> None:
    found = least_intervals(["accuracy"], answers, answers, CLASSES, kind="classification", num_labels=3)
    assert found == {"accuracy": pytest.approx((-SHARE, SHARE))}
    found = least_intervals(["accuracy"], ANSWERS, CLASSES, CLASSES, kind="classification", num_labels=3)
    between = (1 - np.mean(ANSWERS == CLASSES)) * (1 - SHARE)
    assert found == {"accuracy": pytest.approx((between - SHARE, between + SHARE))}


def test_a_pseudo_row_of_several_labels_has_one_of_them_wrong() -> None:
    names = ["subset_accuracy", "hamming_loss"]
    found = least_intervals(names, LABELS, LABELS, LABELS, kind="multi-label", num_labels=3)
    assert found == {
        "subset_accuracy": pytest.approx((-SHARE, SHARE)),
        "hamming_loss": pytest.approx((-SHARE / 3, SHARE / 3)),
    }


def correlation(answers: Any, targets: Any, weights: Any) -> float:
    both = np.cov(answers, targets, aweights=weights, ddof=0)
    return float(both[0, 1] / np.sqrt(both[0, 0] * both[1, 1]))


def test_a_pseudo_row_of_values_follows_the_targets_as_widely_as_the_answers_vary_or_not_at_all() -> None:
    weights = np.repeat([1.0, PSEUDO_ROWS / 40], 40)
    right = SAID.mean() + (VALUES - VALUES.mean()) / VALUES.std() * SAID.std()
    ends = [
        correlation(np.concatenate([SAID, more]), np.concatenate([VALUES, VALUES]), weights)
        for more in (right, np.full(40, SAID.mean()))
    ]
    found = least_intervals(["pearson"], SAID, SAID, VALUES, kind="regression", num_labels=1)
    assert found == {"pearson": pytest.approx((ends[1] - ends[0], ends[0] - ends[1]))}


def test_draws_vary_as_rows_drawn_one_by_one_do_and_all_models_see_the_same() -> None:
    drawn = paired_samples(
        ["accuracy"], [ANSWERS, ANSWERS, CLASSES], CLASSES, kind="classification", num_labels=3, samples=4000, seed=1
    )["accuracy"]
    share = np.mean(ANSWERS == CLASSES)
    assert drawn.shape == (3, 4000)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[2], 1.0)
    assert drawn[0].mean() == pytest.approx(share, abs=0.005)
    assert drawn[0].std() == pytest.approx(np.sqrt(share * (1 - share) / 40), rel=0.05)


@pytest.mark.parametrize("at_a_time", [1, 100, 7 * 40])
def test_so_many_are_drawn_as_were_asked_for_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    def draw() -> Any:
        options: dict[str, Any] = {"kind": "regression", "num_labels": 1, "samples": 10, "seed": 2}
        return paired_samples(["pearson"], [SAID], VALUES, **options)["pearson"]

    whole = draw()
    monkeypatch.setattr(module, "_CHUNK", at_a_time)
    np.testing.assert_array_equal(draw(), whole)
