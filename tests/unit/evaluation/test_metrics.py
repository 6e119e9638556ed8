"""Metrics against scikit-learn and SciPy, and what undefined cases give."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bertune.data.task import METRICS_OF_KIND
from bertune.errors import ConfigError, DataError
from bertune.evaluation.metrics import (
    METRICS,
    accuracy,
    compute_metrics,
    f1,
    f1_macro,
    matthews,
    pearson,
    require_metrics,
    spearman,
)

CLASSES = st.integers(2, 6)
SEEDS = st.integers(0, 2**32 - 1)
ROWS = st.integers(1, 60)


def draw_classes(seed: int, rows: int, num_classes: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, num_classes, rows)
    predictions = np.where(generator.random(rows) < 0.5, targets, generator.integers(0, num_classes, rows))
    return predictions, targets


@given(seed=SEEDS, rows=ROWS, num_classes=CLASSES)
def test_classification_metrics_equal_scikit_learn(seed: int, rows: int, num_classes: int) -> None:
    predictions, targets = draw_classes(seed, rows, num_classes)
    assert accuracy(predictions, targets) == pytest.approx(
        sklearn.metrics.accuracy_score(targets, predictions), abs=1e-12
    )
    expected = sklearn.metrics.f1_score(targets, predictions, average="macro", zero_division=0)
    assert f1_macro(predictions, targets) == pytest.approx(expected, abs=1e-12)
    # scikit-learn warns of a single label there; both give 0.0.
    if len(set(targets) | set(predictions)) > 1:
        expected = sklearn.metrics.matthews_corrcoef(targets, predictions)
        assert matthews(predictions, targets) == pytest.approx(expected, abs=1e-12)


@given(seed=SEEDS, rows=ROWS)
def test_binary_f1_equals_scikit_learn(seed: int, rows: int) -> None:
    predictions, targets = draw_classes(seed, rows, 2)
    expected = sklearn.metrics.f1_score(targets, predictions, zero_division=0)
    assert f1(predictions, targets) == pytest.approx(expected, abs=1e-12)


@given(seed=SEEDS, rows=st.integers(3, 200), decimals=st.integers(0, 8), shift=st.sampled_from([0.0, 3.0, 1e3]))
def test_correlations_equal_scipy_with_and_without_ties(seed: int, rows: int, decimals: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    targets = np.round(generator.normal(size=rows), decimals) + shift
    predictions = np.round(targets + generator.normal(size=rows), decimals)
    if np.ptp(targets) == 0 or np.ptp(predictions) == 0:
        return
    assert pearson(predictions, targets) == pytest.approx(scipy.stats.pearsonr(predictions, targets)[0], abs=1e-12)
    assert spearman(predictions, targets) == pytest.approx(scipy.stats.spearmanr(predictions, targets)[0], abs=1e-12)


@given(npst.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e300, 1e300)), SEEDS)
def test_correlations_stay_between_minus_one_and_one_for_any_finite_values(values: Any, seed: int) -> None:
    other = np.random.default_rng(seed).permutation(values)
    for metric in (pearson, spearman):
        assert -1.0 <= metric(values, other) <= 1.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_pearson_does_not_depend_on_the_scale(scale: float) -> None:
    targets = np.array([1.0, 2.0, 4.0, 3.0])
    predictions = np.array([1.0, 2.0, 3.0, 4.0])
    assert pearson(predictions * scale, targets) == pytest.approx(0.8, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "predictions", "targets"),
    [
        (f1, [0, 0, 0], [0, 0, 0]),
        (f1, [0, 0, 0], [0, 1, 0]),
        (matthews, [1, 1, 1], [0, 1, 0]),
        (matthews, [0, 1, 0], [1, 1, 1]),
        (matthews, [1, 1], [1, 1]),
        (pearson, [0.1] * 7, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
        (pearson, [1.0, 2.0, 3.0], [0.1, 0.1, 0.1]),
        (pearson, [3.0], [2.0]),
        (spearman, [0.1] * 3, [1.0, 2.0, 3.0]),
        (spearman, [0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_an_undefined_metric_is_zero_without_a_warning(metric: Any, predictions: Any, targets: Any) -> None:
    assert metric(predictions, targets) == 0.0


def test_compute_metrics_keeps_the_order_of_the_names() -> None:
    computed = compute_metrics(["f1", "accuracy"], [1, 0, 1, 1], [1, 0, 0, 1])
    assert list(computed) == ["f1", "accuracy"]
    assert computed == {"f1": pytest.approx(0.8), "accuracy": 0.75}


def test_the_registry_has_the_metrics_that_tasks_name() -> None:
    for kind, names in METRICS_OF_KIND.items():
        assert {name for name, metric in METRICS.items() if kind in metric.measures} == set(names)
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["hamming_loss"]
    assert all(metric.name == name for name, metric in METRICS.items())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acuracy", "did you mean 'accuracy'? "),
        ("Macro-F1", "did you mean 'f1_macro'? "),
        ("mcc", "did you mean 'matthews'? "),
        ("temperature", ""),
    ],
)
def test_a_name_that_other_tools_use_or_that_is_misspelt_leads_to_ours(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown metric '{name}'") as told:
        compute_metrics([name], [0], [0])
    assert told.value.hint == f"{meant}choose from: {', '.join(METRICS)}"


def test_metrics_that_judge_the_kind_are_taken_and_others_refused() -> None:
    for kind, names in METRICS_OF_KIND.items():
        require_metrics(names, kind)
    for names in ([], ["accuracy", "pearson"], ["hamming_loss"]):
        with pytest.raises(ConfigError, match="cannot judge a classification task"):
            require_metrics(names, "classification")


@pytest.mark.parametrize(
    ("names", "predictions", "targets", "error", "says"),
    [
        (["acuracy"], [0], [0], ConfigError, "acuracy"),
        (["accuracy", "pearson"], [0], [0], ConfigError, "one kind"),
        ([], [0], [0], ConfigError, "one kind"),
        (["f1"], [0, 2], [0, 1], ConfigError, "two classes"),
        (["accuracy"], [0, 1], [0], DataError, "2 predictions do not fit 1 targets"),
        (["accuracy"], [], [], DataError, "no row"),
        (["accuracy"], [0.0], [0], DataError, "class indices"),
        (["accuracy"], [[0]], [0], DataError, "class indices"),
        (["accuracy"], [0, -1], [0, 0], DataError, "row 1 has -1"),
        (["pearson"], [0.0, float("nan")], [0.0, 1.0], DataError, "first in row 1"),
        (["pearson"], [[0.0, 1.0]], [0.0], DataError, "one value a row"),
    ],
)
def test_input_that_cannot_be_scored_is_refused(
    names: list[str], predictions: Any, targets: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        compute_metrics(names, predictions, targets)
