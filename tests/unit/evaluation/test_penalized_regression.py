"""Penalized regressions beside scikit-learn's, on dense and on sparse features."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression, Ridge

from bertune.data.task_kind import TaskKind
from bertune.evaluation.penalized_regression import choose_penalty, fit

SOURCE = np.random.default_rng(0)
FEATURES = SOURCE.standard_normal((150, 12))
CLASSES = (FEATURES @ SOURCE.standard_normal((12, 3)) + SOURCE.standard_normal((150, 3))).argmax(axis=1)
AS = pytest.mark.parametrize("given", [FEATURES, csr_array(FEATURES)], ids=["dense", "sparse"])


@AS
@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_classes_get_the_weights_of_scikit_learn(given: Any, penalty: float) -> None:
    ours = fit(given, np.eye(3)[CLASSES], penalty, TaskKind.CLASSIFICATION)
    theirs = LogisticRegression(C=1 / (150 * penalty), tol=1e-8, max_iter=1000).fit(FEATURES, CLASSES)
    np.testing.assert_allclose(ours[:-1].T, theirs.coef_, atol=5e-3)


@AS
def test_each_of_several_labels_gets_the_weights_it_would_have_alone(given: Any) -> None:
    rows = np.eye(3)[CLASSES]
    together = fit(given, rows, 0.1, TaskKind.MULTI_LABEL)
    alone = LogisticRegression(C=1 / (150 * 0.1), tol=1e-8).fit(FEATURES, rows[:, 1])
    np.testing.assert_allclose(together[:-1, 1], alone.coef_[0], atol=5e-3)


@AS
def test_values_get_the_weights_of_ridge_regression(given: Any) -> None:
    values = FEATURES[:, :1] * 2 + 5
    ours = fit(given, values, 0.1, TaskKind.REGRESSION)
    theirs = Ridge(alpha=150 * 0.1).fit(FEATURES, values[:, 0])
    np.testing.assert_allclose(ours[:-1, 0], theirs.coef_, atol=1e-4)
    assert ours[-1, 0] == pytest.approx(theirs.intercept_, abs=1e-4)


@AS
def test_noise_gets_a_large_penalty_and_what_is_told_a_small_one(given: Any) -> None:
    told, luck = (FEATURES[:, 0] > 0).astype(np.int64), SOURCE.integers(0, 2, 150)
    chosen = [
        choose_penalty(given, np.eye(2)[targets], targets, TaskKind.CLASSIFICATION, (0.001, 0.1, 10))
        for targets in (told, luck)
    ]
    assert chosen == [0.001, 10]
