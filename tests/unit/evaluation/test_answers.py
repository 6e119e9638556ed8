"""The way from logits to answers, for each kind of task."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import decide, probabilities, values
from bertune.evaluation.predictions import Prediction, Predictions

LOGITS = np.array([[1.0, 0.5, -2.0], [-3.0, 4.0, 3.9], [-700.0, 800.0, 0.0]], np.float32)


def signature(kind: str = "classification", labels: str = "a b c", **values: object) -> ModelSignature:
    return ModelSignature(labels=tuple(labels.split()), is_pair=False, max_length=8, kind=kind, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_probabilities_equal_scipys_at_every_temperature_and_size(temperature: float) -> None:
    exact = LOGITS.astype(np.float64) / temperature
    given = probabilities(LOGITS, signature(temperature=temperature))
    np.testing.assert_allclose(given, scipy_softmax(exact, axis=1), rtol=1e-12, atol=0)
    given = probabilities(LOGITS, signature("multi-label", temperature=temperature))
    np.testing.assert_allclose(given, expit(exact), rtol=1e-12, atol=0)


def test_two_labels_are_told_apart_by_the_threshold_of_the_second() -> None:
    shares = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    assert decide(shares, signature(labels="no yes")).tolist() == [0, 0, 1]
    assert decide(shares, signature(labels="no yes", thresholds=(0.3,))).tolist() == [0, 1, 1]
    assert decide(shares, signature(labels="no yes", thresholds=(0.7,))).tolist() == [0, 0, 0]


def test_the_most_probable_of_many_labels_is_given() -> None:
    assert decide(probabilities(LOGITS, signature()), signature()).tolist() == [0, 1, 1]


def test_each_label_of_many_is_given_from_its_own_threshold_on() -> None:
    shares = np.array([[0.5, 0.49, 0.9], [0.1, 0.2, 0.3]])
    assert decide(shares, signature("multi-label")).tolist() == [[1, 0, 1], [0, 0, 0]]
    own = signature("multi-label", thresholds=(0.6, 0.2, 0.9))
    assert decide(shares, own).tolist() == [[0, 1, 1], [0, 1, 0]]


def test_values_stay_within_the_range_of_the_targets() -> None:
    logits = np.array([[-0.5], [2.25], [5.1]], np.float32)
    assert values(logits, signature("regression", "", target_range=(0.0, 5.0))).tolist() == [0.0, 2.25, 5.0]
    np.testing.assert_array_equal(values(logits, signature("regression", "")), logits[:, 0].astype(np.float64))


def test_a_prediction_says_what_its_kind_says() -> None:
    logits = np.array([[2.0, -1.0, 0.0], [-1.0, -1.0, -1.0]], np.float32)
    first, second = Predictions(logits, signature("multi-label"), 0.0)
    assert (first.labels, second.labels) == (("a", "c"), ())
    assert first.to_dict() == {
        "labels": ["a", "c"],
        "probabilities": {"a": pytest.approx(expit(2.0)), "b": pytest.approx(expit(-1.0)), "c": 0.5},
    }
    (answer,) = Predictions(np.array([[0.0, -1.0]], np.float32), signature(labels="no yes", thresholds=(0.25,)), 0.0)
    assert (answer.label, answer.probability) == ("yes", pytest.approx(expit(-1.0)))  # not the most probable one
    ranged = signature("regression", "", target_range=(0.0, 5.0))
    assert list(Predictions(np.array([[7.0]], np.float32), ranged, 0.0)) == [Prediction(None, None, {}, 5.0)]
