import numpy as np
import pytest
from numpy.typing import NDArray

from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.temperature import fit_temperature, halves, log_loss, probabilities_at


def drawn(rows: int, classes: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits whose softmax is right, with labels drawn from it."""
    source = np.random.default_rng(seed)
    logits = source.normal(size=(rows, classes)) * 2
    shares = probabilities_at(logits, 1.0, multi_label=False)
    return logits, (shares.cumsum(axis=1) < source.random((rows, 1))).sum(axis=1)


@pytest.mark.parametrize("planted", [1e-6, 0.01, 0.4, 1.0, 3.0, 1e5])
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
    for truth in (targets, np.eye(3, dtype=np.int64)[targets]):
        fitted = fit_temperature(logits * 3, truth).value
        losses = [with_pseudo_row(logits * 3, truth, fitted * factor) for factor in (0.99, 1.0, 1.01)]
        assert losses[1] == min(losses)


def with_pseudo_row(logits: NDArray[np.float64], targets: NDArray[np.int64], temperature: float) -> float:
    """The log loss of all rows and of one more like them, half of which has another label."""
    if targets.ndim == 2:
        others = [1 - targets]
    else:
        others = [(targets + step) % logits.shape[1] for step in range(1, logits.shape[1])]
    wrong = np.mean([log_loss(logits, each, temperature) for each in others])
    return (len(targets) + 0.5) * log_loss(logits, targets, temperature) + 0.5 * float(wrong)


@pytest.mark.parametrize("scale", [0.03, 0.01])
@pytest.mark.parametrize("classes", [2, 8])
def test_a_hardly_scaled_head_is_calibrated_on_rows_it_was_not_fitted_on(scale: float, classes: int) -> None:
    logits, targets = drawn(4_000, classes, seed=classes)
    logits = (logits * scale).astype(np.float32)
    for fitted, measured in halves(len(targets), seed=1):
        found = fit_temperature(logits[fitted], targets[fitted])
        assert found.value == pytest.approx(scale, rel=0.1)
        plain, fixed = (probabilities_at(logits[measured], each, multi_label=False) for each in (1.0, found.value))
        assert calibration_error(plain, targets[measured]) > 0.2
        assert calibration_error(fixed, targets[measured]) < 0.05


def test_logits_of_another_scale_have_the_same_probabilities() -> None:
    logits, targets = drawn(50, 3, seed=6)
    shares = [
        probabilities_at(logits * scale, fit_temperature(logits * scale, targets).value, multi_label=False)
        for scale in (1e-4, 1.0, 1e4)
    ]
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-6)
    np.testing.assert_allclose(shares[2], shares[1], rtol=1e-6)


@pytest.mark.parametrize("rows", [40, 400])
@pytest.mark.parametrize("margin", [1e-3, 9.0, 500.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_where_every_row_is_right_the_probabilities_are_those_of_half_an_error_more(
    rows: int, margin: float, classes: int
) -> None:
    targets = np.arange(rows) % classes
    logits = margin * np.eye(classes)[targets]
    fitted = fit_temperature(logits, targets)
    assert fitted.why_none == ""
    shares = probabilities_at(logits, fitted.value, multi_label=False)
    np.testing.assert_allclose(shares.max(axis=1), (rows + 0.5) / (rows + 1), rtol=1e-6)
    several = fit_temperature(logits - margin / 2, np.eye(classes, dtype=np.int64)[targets])
    shares = probabilities_at(logits - margin / 2, several.value, multi_label=True)
    np.testing.assert_allclose(shares.max(axis=1), (rows + 0.5) / (rows + 1), rtol=1e-6)


def test_separable_rows_of_many_classes_get_finite_and_sure_probabilities() -> None:
    source = np.random.default_rng(2)
    targets = source.integers(8, size=600)
    logits = (source.normal(size=(600, 8)) + 9 * np.eye(8)[targets]) * 0.03
    assert (logits.argmax(axis=1) == targets).all()
    for fitted, measured in halves(600, seed=0):
        temperature = fit_temperature(logits[fitted], targets[fitted]).value
        shares = probabilities_at(logits[measured], temperature, multi_label=False)
        assert 0.99 < shares.max(axis=1).mean() < 1
        assert calibration_error(shares, targets[measured]) < 0.01


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_logits_that_say_nothing_or_the_opposite_get_nearly_equal_probabilities(scale: float) -> None:
    logits, targets = drawn(300, 4, seed=4)
    for rows, truth in [
        (logits * scale, np.roll(logits, 1, axis=1).argmax(axis=1)),
        (-logits * scale, targets),
        (-logits * scale, np.eye(4, dtype=np.int64)[logits.argmax(axis=1)]),
    ]:
        fitted = fit_temperature(rows, truth)
        assert fitted.is_softest
        shares = probabilities_at(rows, fitted.value, multi_label=truth.ndim == 2)
        assert np.abs(shares - (0.5 if truth.ndim == 2 else 0.25)).max() < 0.02
        assert shares.argmax(axis=1).tolist() == rows.argmax(axis=1).tolist()


def test_the_loss_is_the_mean_negative_logarithm_of_the_true_probability() -> None:
    logits = np.log([[0.2, 0.8], [0.5, 0.5]])
    assert log_loss(logits, np.array([1, 0])) == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    given = np.log(np.array([[0.25 / 0.75, 1.0]]))
    assert log_loss(given, np.array([[1, 0]])) == pytest.approx(-(np.log(0.25) + np.log(0.5)) / 2)
    assert log_loss(np.array([[1e4, 0.0]]), np.array([1])) == 1e4  # no overflow


@pytest.mark.parametrize(
    ("logits", "targets", "why"),
    [
        ([[9, 0], [0, 9]] * 20, [1, 1] * 20, "same answer"),
        ([[3, 3], [-1, -1]] * 20, [0, 1] * 20, "all equal"),
        ([[0, 0]] * 20, [[0, 1], [1, 0]] * 10, "all equal"),
        (np.empty((0, 2)), np.empty(0, np.int64), "same answer"),
    ],
)
def test_where_nothing_can_be_fitted_the_temperature_stays_1_and_says_why(
    logits: list[list[float]], targets: list[int], why: str
) -> None:
    fitted = fit_temperature(np.array(logits, dtype=np.float32), np.array(targets))
    assert fitted.value == 1.0
    assert why in fitted.why_none


def test_a_model_that_has_hardly_learned_is_as_sure_as_it_is_right() -> None:
    logits = np.array([[0.01, 0], [0, 0.01]] * 20)
    targets = np.array([0, 1] * 15 + [1, 0] * 5)  # 30 of 40 right
    shares = probabilities_at(logits, fit_temperature(logits, targets).value, multi_label=False)
    np.testing.assert_allclose(shares.max(axis=1), 30.5 / 41, rtol=1e-6)


def test_halves_are_two_that_share_no_row_each_in_both_roles() -> None:
    (first, second), (again_second, again_first) = halves(11, seed=3)
    assert sorted([*first, *second]) == list(range(11))
    assert first.tolist() == again_first.tolist()
    assert second.tolist() == again_second.tolist()
    assert (len(first), len(second)) == (6, 5)
    assert first.tolist() != next(iter(halves(11, seed=4)))[0].tolist()
