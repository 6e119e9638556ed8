"""A fine-tuned model beside a regression on the same rows."""

from dataclasses import replace

import numpy as np
import pytest

from bertune.data.task_kind import TaskKind
from bertune.evaluation.regression_baseline import RegressionBaseline


def test_a_model_is_below_only_by_more_than_a_standard_error() -> None:
    targets, scored = np.array([0, 1] * 50), np.arange(100, 200)
    found = RegressionBaseline(
        "frozen features", TaskKind.CLASSIFICATION, {"accuracy": 1.0}, 200, scored, targets.copy(), targets, 2, 0.1
    )
    model = np.concatenate([np.zeros(100, np.int64), targets])
    assert not found.beside(model).is_below
    model[100] = 1 - model[100]
    assert not found.beside(model).is_below  # one row
    model[100] = 1 - model[100]
    model[100:130] = 1 - model[100:130]
    beside = found.beside(model)
    assert (beside.model, beside.baseline, beside.rows) == (0.7, 1.0, 100)
    assert beside.is_below
    assert beside.standard_error == pytest.approx(np.sqrt(0.3 * 0.7 / 100), rel=0.15)
    assert beside.p < 0.001
    assert "accuracy is 70.0 %, below the 100.0 % of a logistic regression" in beside.sentence()
    low, high = beside.interval
    assert low < -0.3 < high
    assert (high - low) / 2 == pytest.approx(1.96 * beside.standard_error)
    hamming = replace(beside, metric="hamming_loss", model=0.3, baseline=0.1, interval=(0.1, 0.3), p=0.01)
    assert hamming.is_below
    assert not replace(hamming, model=0.14).is_below
