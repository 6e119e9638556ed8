"""How doubtful labels are: by out-of-fold answers, and by neighbours."""

import numpy as np
import pytest

from bertune.evaluation import label_quality as module
from bertune.evaluation.label_quality import label_quality, neighbour_shares


def test_without_neighbours_it_is_the_probability_of_the_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert label_quality(probabilities, np.array([0, 0])).tolist() == [0.9, 0.3]


def opinion(targets: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Gives the true label 0.8 in so many of the rows, the other one in the rest."""
    correct = np.random.default_rng(seed).random(len(targets)) < right
    first = np.where((targets == 0) == correct, 0.8, 0.2)
    return np.stack([first, 1 - first], axis=1)


def ranks_of(quality: np.ndarray, by: np.ndarray) -> float:
    """How alike two orders are: the correlation of the values."""
    return float(np.corrcoef(quality, by)[0, 1])


def test_the_opinion_that_predicts_better_counts_more() -> None:
    targets = np.arange(2_000) % 2
    good, poor, useless = opinion(targets, 0.95, 1), opinion(targets, 0.7, 2), opinion(targets, 0.5, 3)
    rows = np.arange(len(targets))
    for model, neighbours in ((good, poor), (poor, good)):
        found = label_quality(model, targets, neighbours)
        assert ranks_of(found, good[rows, targets]) > ranks_of(found, poor[rows, targets]) > 0
        # Both agreeing on another label is the most doubtful.
        both = (good[rows, targets] < 0.5) & (poor[rows, targets] < 0.5)
        assert found[both].max() == pytest.approx(found.min())
    alone = label_quality(good, targets, useless)
    assert ranks_of(alone, good[rows, targets]) > 0.99


def test_what_no_neighbour_has_is_not_impossible() -> None:
    targets = np.arange(200) % 2
    model = opinion(targets, 0.9, 1)
    neighbours = np.eye(2)[targets]
    neighbours[0] = 1 - neighbours[0]
    found = label_quality(model, targets, neighbours)
    assert (found > 0).all()
    assert found.argmin() == 0


def test_opinions_that_say_nothing_leave_the_models() -> None:
    targets = np.array([0, 1, 0, 1])
    model = np.array([[0.5, 0.5]] * 4)
    assert label_quality(model, targets, np.zeros((4, 2))).tolist() == pytest.approx([0.5] * 4)


def test_shares_are_of_the_nearest_rows_and_never_count_the_row_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBOURS", 2)
    features = np.array([[1, 0], [2, 0.2], [3, -0.6], [0, 1], [0.1, 1], [-0.2, 1]], np.float32)
    shares = neighbour_shares(features, np.array([0, 0, 1, 1, 1, 2]), 3)
    assert shares.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5], [0, 1, 0]]


def test_neighbours_in_large_tables_are_sought_among_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    targets = draws.integers(0, 2, 300)
    features = np.stack([np.where(targets == 1, 1.0, -1.0), 0.1 * draws.normal(size=300)], axis=1)
    whole = neighbour_shares(features, targets, 2)
    monkeypatch.setattr(module, "MOST_COMPARED", 50)
    monkeypatch.setattr(module, "_BLOCK", 7)
    for found in (whole, neighbour_shares(features, targets, 2)):
        assert found[np.arange(300), targets] == pytest.approx(1)


def test_one_row_has_no_neighbours() -> None:
    assert neighbour_shares(np.ones((1, 3)), np.array([0]), 2).tolist() == [[0, 0]]
