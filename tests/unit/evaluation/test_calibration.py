import json

import numpy as np
import pytest
from tests.unit.evaluation.test_temperature import drawn

from bertune.errors import ConfigError, DataError
from bertune.evaluation.calibration import calibrate
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.temperature import probabilities_at
from bertune.evaluation.thresholds import choose_thresholds


def test_a_temperature_halves_the_error_of_overconfident_logits_on_rows_it_was_not_fitted_on() -> None:
    logits, targets = drawn(600, 2, seed=1)
    result = calibrate(logits * 3, targets, ("no", "yes"))
    assert result.temperature == pytest.approx(3, rel=0.2)
    assert result.before.error == calibration_error(probabilities_at(logits * 3, 1, multi_label=False), targets)
    assert result.after is not None
    assert result.after.error < result.before.error / 2
    assert result.after.log_loss < result.before.log_loss
    assert result.after.reliability.error == result.after.error
    (line,) = result.lines()
    assert (
        f"{100 * result.before.error:.1f} % without, {100 * result.after.error:.1f} % with one fitted on the other half"
        in line
    )


def test_what_is_reported_after_is_not_measured_on_the_rows_that_were_fitted() -> None:
    logits, targets = drawn(40, 4, seed=3)
    result = calibrate(logits * 3, targets, tuple("abcd"))
    assert result.after is not None
    fitted = probabilities_at(logits * 3, result.temperature, multi_label=False)
    flattering = float(-np.log(fitted[np.arange(40), targets]).mean())
    assert result.after.log_loss > flattering


def test_the_halves_are_those_of_the_seed_which_is_0_where_none_is_named() -> None:
    logits, targets = drawn(40, 4, seed=3)
    named = [calibrate(logits * 3, targets, tuple("abcd"), seed=seed).to_dict() for seed in (0, 1)]
    assert calibrate(logits * 3, targets, tuple("abcd")).to_dict() == named[0]
    assert named[0]["after_cross_fitted"] != named[1]["after_cross_fitted"]
    assert named[0]["temperature"] == named[1]["temperature"]


def test_a_temperature_that_does_not_help_other_rows_is_not_used() -> None:
    logits, targets = drawn(200, 2, seed=11)  # calibrated already
    result = calibrate(logits, targets, ("no", "yes"))
    assert result.after is not None
    assert result.after.log_loss >= result.before.log_loss
    assert result.temperature == 1.0
    assert "does not improve the other half" in result.lines()[0]


@pytest.mark.parametrize(
    ("logits", "targets", "why"),
    [
        ([[9, 0]] * 40, [0] * 40, "same answer"),
        ([[0, 0]] * 40, [0, 1] * 20, "all equal"),
        ([[1, 0], [0, 2], [3, 0]] * 6, [0, 1, 1] * 6, "18 rows are too few to fit one, 20 are needed"),
        ([[1, 0]], [0], "1 rows are too few"),
        ([[2, -1], [-1, 1], [1, 1]] * 5, [[1, 0], [1, 0], [0, 0]] * 5, "15 rows are too few"),
    ],
)
def test_where_nothing_can_be_fitted_it_says_so(logits: list[list[float]], targets: list[int], why: str) -> None:
    result = calibrate(np.array(logits, np.float32), np.array(targets), ("no", "yes"), threshold_for="f1")
    assert (result.temperature, result.after) == (1.0, None)
    assert why in result.lines()[0]
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_hardly_scaled_head_that_is_always_right_becomes_sure() -> None:
    logits = np.array([[0.01, 0], [0, 0.01]] * 20)
    result = calibrate(logits, np.array([0, 1] * 20), ("no", "yes"))
    assert result.before.error == pytest.approx(0.4975, abs=1e-3)
    assert result.after is not None
    assert result.after.error < 0.03
    assert result.lines()[0].startswith("temperature 0.00228, fitted on these 40 rows; ")


def test_all_right_and_sure_of_it_is_no_reason_to_be_less_sure() -> None:
    result = calibrate(np.array([[9.0, 0], [0, 9]] * 20), np.array([0, 1] * 20), ("no", "yes"))
    assert result.temperature == 1.0
    assert "does not improve the other half" in result.lines()[0]


def test_sure_probabilities_that_say_nothing_become_nearly_equal_and_it_says_so() -> None:
    result = calibrate(np.array([[9.0, 0], [0, 9]] * 20), np.array([1, 0] * 20), ("no", "yes"))
    assert result.says_nothing
    assert result.after is not None
    assert np.log(2) < result.after.log_loss < np.log(2) + 0.011
    assert "say nothing about the answers" in result.lines()[1]
    assert result.to_dict()["says_nothing"] is True


def test_multi_label_has_an_error_for_each_label() -> None:
    source = np.random.default_rng(8)
    logits = source.normal(size=(400, 3)) * 2
    targets = (source.random(logits.shape) < probabilities_at(logits, 1.0, multi_label=True)).astype(np.int64)
    result = calibrate(logits * 3, targets, ("a", "b", "c"), threshold_for="f1_macro")
    assert result.after is not None
    assert result.after.error < result.before.error / 2
    plain = probabilities_at(logits * 3, 1.0, multi_label=True)
    assert result.before.error == calibration_error(plain, targets)
    assert result.before.error == pytest.approx(np.mean(result.before.label_errors))
    scaled = probabilities_at(logits * 3, result.temperature, multi_label=True)
    assert result.thresholds == choose_thresholds(scaled, targets, ("a", "b", "c"), metric="f1_macro", seed=0)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert list(values["before"]["label_calibration_errors"]) == ["a", "b", "c"]
    assert [label["label"] for label in values["thresholds"]["labels"]] == ["a", "b", "c"]
    assert sum(values["before"]["bins"]["counts"]) == 1200


def test_without_rows_there_is_nothing_to_calibrate_on() -> None:
    with pytest.raises(ConfigError, match="no rows"):
        calibrate(np.empty((0, 2)), np.empty(0, np.int64), ("no", "yes"))


def test_logits_that_are_not_finite_are_refused() -> None:
    logits, targets = drawn(40, 2, seed=1)
    logits[3, 1] = np.nan
    with pytest.raises(DataError, match="logits of 1 of 40 rows are not finite numbers, the first in row 3"):
        calibrate(logits, targets, ("no", "yes"))
