import numpy as np
import pytest

from bertune.errors import ConfigError
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.thresholds import LabelThreshold, Thresholds, best_threshold, choose_thresholds


@pytest.mark.parametrize("metric", ["accuracy", "f1", "f1_macro", "matthews"])
@pytest.mark.parametrize("decimals", [1, 9])
def test_no_threshold_is_better_on_the_rows_it_was_chosen_on(metric: str, decimals: int) -> None:
    source = np.random.default_rng(4)
    shares = source.random(60).round(decimals)  # one decimal: many are equal
    truth = source.random(60) < shares**2

    def score(threshold: float) -> float:
        return compute_metrics([metric], (shares >= threshold).astype(int), truth.astype(int))[metric]

    chosen = best_threshold(shares, truth, metric)
    assert score(chosen) == pytest.approx(max(score(each) for each in np.linspace(0.0005, 0.9995, 2000)))
    assert score(chosen) >= score(0.5)


def test_of_equally_good_thresholds_the_one_nearest_to_the_default_is_taken() -> None:
    shares = np.array([0.1, 0.2, 0.6, 0.7, 0.8])
    assert best_threshold(shares, np.array([False, False, True, True, True]), "accuracy") == 0.5
    assert best_threshold(shares, np.array([False, False, False, False, True]), "f1") == pytest.approx(0.75)


def columns(shares: np.ndarray) -> np.ndarray:
    return np.stack([1 - shares, shares], axis=1)


def test_a_threshold_that_helps_on_other_rows_is_kept() -> None:
    source = np.random.default_rng(5)
    shares = source.random(400)
    targets = (shares + source.normal(scale=0.05, size=400) > 0.3).astype(int)
    found = choose_thresholds(columns(shares), targets, ("no", "yes"), metric="accuracy")
    (label,) = found.labels
    assert label.label == "yes"
    assert found.values == (label.chosen,) == pytest.approx((0.3,), abs=0.05)
    assert label.held_out_score > label.default_score == np.mean((shares >= 0.5) == targets)


def test_a_threshold_that_only_looks_better_on_its_own_rows_is_not_kept() -> None:
    source = np.random.default_rng(6)
    shares = source.random(60)
    targets = (source.random(60) < shares).astype(int)  # 0.5 is the best there is
    found = choose_thresholds(columns(shares), targets, ("no", "yes"), metric="accuracy")
    (label,) = found.labels
    chosen_score = np.mean((shares >= label.chosen) == targets)
    assert chosen_score > label.default_score > label.held_out_score
    assert found.values == ()
    assert found.to_dict()["labels"][0]["kept"] is False


def test_a_gain_that_hangs_on_the_halving_is_not_kept() -> None:
    def of(better: int) -> LabelThreshold:
        return LabelThreshold("yes", 0.4, default_score=0.70, held_out_score=0.701, better_halvings=better)

    assert [of(better).is_kept for better in (7, 8)] == [False, True]
    assert Thresholds("f1", (of(7),)).values == ()
    assert Thresholds("f1", (of(7), of(8))).values == (0.5, 0.4)


def test_each_label_of_multi_label_has_a_threshold_of_its_own() -> None:
    source = np.random.default_rng(7)
    shares = source.random((500, 3))
    planted = np.array([0.2, 0.5, 0.8])
    targets = (shares + source.normal(scale=0.02, size=shares.shape) > planted).astype(int)
    found = choose_thresholds(shares, targets, ("a", "b", "c"), metric="f1_micro")
    assert found.metric == "f1"
    assert found.values == pytest.approx(planted, abs=0.03)


@pytest.mark.parametrize("truth", [np.zeros(30, int), np.ones(30, int)])
def test_one_class_and_equal_probabilities_do_no_harm(truth: np.ndarray) -> None:
    for shares in (np.full(30, 0.4), np.zeros(30), np.ones(30), np.linspace(0, 1, 30)):
        found = choose_thresholds(columns(shares), truth, ("no", "yes"), metric="f1")
        assert all(0 < label.chosen < 1 for label in found.labels)
        assert all(0 < value < 1 for value in found.values)


def test_more_than_two_classes_have_no_threshold() -> None:
    with pytest.raises(ConfigError, match="between two labels, not 3"):
        choose_thresholds(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0]), ("a", "b", "c"), metric="accuracy")
    with pytest.raises(ConfigError, match="cannot be chosen for 'pearson'"):
        choose_thresholds(columns(np.ones(4)), np.array([0, 1, 1, 0]), ("a", "b"), metric="pearson")
