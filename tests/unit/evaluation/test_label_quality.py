"""How doubtful labels are: by out-of-fold answers, and by neighbours."""

import numpy as np
import pytest

from bertune.evaluation import label_quality as module
from bertune.evaluation.label_quality import label_quality, neighbour_agreement


def test_without_neighbours_it_is_the_probability_of_the_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert label_quality(probabilities, np.array([0, 0])).tolist() == [0.9, 0.3]


def test_a_row_whose_neighbours_disagree_is_more_doubtful_but_never_out_of_the_models_hands() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    found = label_quality(probabilities, np.zeros(3, np.int64), np.array([1.0, 0.0, 0.0]))
    assert found.tolist() == pytest.approx([0.9, 0.045, 0.02])


def test_agreement_is_the_weighted_share_of_the_nearest_rows_and_never_counts_the_row_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "NEIGHBOURS", 2)
    features = np.array([[1, 0], [1, 0.1], [1, -0.2], [0, 1], [0.1, 1], [-0.2, 1]], np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    agreement = neighbour_agreement(features, np.array([0, 0, 1, 1, 1, 1]))
    near, far = unit[0] @ unit[1], unit[0] @ unit[2]
    assert agreement.tolist() == pytest.approx([near / (near + far), *agreement[1:]])
    assert agreement[2] == 0  # both neighbours have the other label
    assert agreement[3:].tolist() == [1, 1, 1]


def test_neighbours_of_large_tables_are_sought_among_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    targets = draws.integers(0, 2, 300)
    features = np.stack([np.where(targets == 1, 1.0, -1.0), 0.1 * draws.normal(size=300)], axis=1)
    whole = neighbour_agreement(features, targets)
    monkeypatch.setattr(module, "MOST_COMPARED", 50)
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert (whole == 1).all()
    assert (neighbour_agreement(features, targets) == 1).all()


def test_one_row_has_no_neighbours() -> None:
    assert neighbour_agreement(np.ones((1, 3)), np.array([0])).tolist() == [0]
