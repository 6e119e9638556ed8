import numpy as np
import pytest
from numpy.typing import NDArray

from bertune.evaluation.temperature import fit_temperature, halves, log_loss, probabilities_at


def drawn(rows: int, classes: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits whose softmax is right, with labels drawn from it."""
    source = np.random.default_rng(seed)
    logits = source.normal(size=(rows, classes)) * 2
    shares = probabilities_at(logits, 1.0, multi_label=False)
    return logits, (shares.cumsum(axis=1) < source.random((rows, 1))).sum(axis=1)


@pytest.mark.parametrize("planted", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_planted_temperature_is_found(planted: float, classes: int) -> None:
    logits, targets = drawn(20_000, classes, seed=classes)
    assert fit_temperature(logits * planted, targets).value == pytest.approx(planted, rel=0.03)


def test_a_planted_temperature_of_multi_label_is_found() -> None:
    source = np.random.default_rng(1)
    logits = source.normal(size=(10_000, 4)) * 2
    targets = (source.random(logits.shape) < probabilities_at(logits, 1.0, multi_label=True)).astype(np.int64)
    assert fit_temperature(logits * 3, targets).value == pytest.approx(3, rel=0.03)


def test_no_other_temperature_has_a_lower_loss() -> None:
    logits, targets = drawn(300, 3, seed=2)
    for rows, truth in [(logits, targets), (logits, np.eye(3, dtype=np.int64)[targets])]:
        fitted = fit_temperature(rows * 3, truth).value
        losses = [log_loss(rows * 3, truth, fitted * factor) for factor in (0.99, 1.0, 1.01)]
        assert losses[1] == min(losses)


def test_the_loss_is_the_mean_negative_logarithm_of_the_true_probability() -> None:
    logits = np.log([[0.2, 0.8], [0.5, 0.5]])
    assert log_loss(logits, np.array([1, 0])) == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    given = np.log(np.array([[0.25 / 0.75, 1.0]]))
    assert log_loss(given, np.array([[1, 0]])) == pytest.approx(-(np.log(0.25) + np.log(0.5)) / 2)
    assert log_loss(np.array([[1e4, 0.0]]), np.array([1])) == 1e4  # no overflow


@pytest.mark.parametrize(
    ("logits", "targets", "why"),
    [
        ([[9, 0], [0, 9]] * 20, [0, 1] * 20, "right"),
        ([[9, 0], [0, 9]] * 20, [1, 0] * 20, "say nothing"),
        ([[9, 0], [0, 9]] * 20, [1, 1] * 20, "same answer"),
        ([[3, 3], [-1, -1]] * 20, [0, 1] * 20, "all equal"),
        ([[0, 0]] * 20, [[0, 1], [1, 0]] * 10, "all equal"),
        ([[9, -9], [-9, 9]] * 20, [[1, 0], [0, 1]] * 20, "right"),
        (np.empty((0, 2)), np.empty(0, np.int64), "same answer"),
        # A model that has hardly learned: wrong in a quarter, and sure of nothing.
        ([[0.01, 0], [0, 0.01]] * 20, [0, 1] * 15 + [1, 0] * 5, "lowest, 0.05, leaves the answers less sure"),
    ],
)
def test_where_nothing_can_be_fitted_the_temperature_stays_1_and_says_why(
    logits: list[list[float]], targets: list[int], why: str
) -> None:
    fitted = fit_temperature(np.array(logits, dtype=np.float32), np.array(targets))
    assert fitted.value == 1.0
    assert why in fitted.why_none


def test_halves_are_two_that_share_no_row_each_in_both_roles() -> None:
    (first, second), (again_second, again_first) = halves(11, seed=3)
    assert sorted([*first, *second]) == list(range(11))
    assert first.tolist() == again_first.tolist()
    assert second.tolist() == again_second.tolist()
    assert (len(first), len(second)) == (6, 5)
    assert first.tolist() != next(iter(halves(11, seed=4)))[0].tolist()
