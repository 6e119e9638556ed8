"""What a run learns: the kind of its targets, and how a model is judged by them."""

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import make_classifier, make_dataset

from bertune.batches.dataset import Dataset
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError, DataError
from bertune.evaluation.logits import predict_logits
from bertune.training.objective import Objective, kind_of

CLASSES = Objective("classification", ("accuracy",))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return make_dataset(6, 1)


def with_targets(data: Dataset, targets: object) -> Dataset:
    return Dataset(data.encoded, np.array(targets))


def test_the_goal_is_what_the_models_folder_will_say() -> None:
    signature = ModelSignature(("no", "yes"), is_pair=False, max_length=32, metrics=("f1", "accuracy"))
    assert Objective.of(signature) == Objective("classification", ("f1", "accuracy"), ("no", "yes"))
    values = ModelSignature((), False, 32, kind="regression", metrics=("pearson",), target_range=(0.0, 5.0))
    assert Objective.of(values) == Objective("regression", ("pearson",), None, (0.0, 5.0))


def test_labels_without_names_are_called_by_their_numbers() -> None:
    classifier = make_classifier(outputs=3)
    assert CLASSES.names_of(classifier) == ("0", "1", "2")
    assert Objective("classification", ("accuracy",), ("a", "b", "c")).names_of(classifier) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("outputs", "targets", "kind"),
    [
        (2, [0, 1, 0, 1, 0, 1], "classification"),
        (1, [0, 1, 0, 1, 0, 1], "regression"),
        (2, [[0, 1]] * 6, "multi-label"),
        (1, [[0]] * 6, "multi-label"),
    ],
)
def test_the_kind_is_told_by_outputs_and_targets(data: Dataset, outputs: int, targets: object, kind: str) -> None:
    assert kind_of(make_classifier(outputs=outputs), with_targets(data, targets)) == kind


def test_targets_get_the_type_that_the_loss_takes(data: Dataset) -> None:
    classes = CLASSES.checked(
        with_targets(data, np.array([0, 1, 2, 0, 1, 2], np.uint8)), "train", make_classifier(outputs=3)
    )
    assert classes.targets is not None
    assert (classes.targets.dtype, classes.targets.tolist()) == (np.int64, [0, 1, 2, 0, 1, 2])
    labels = Objective("multi-label", ("f1_micro",)).checked(
        with_targets(data, [[True, False]] * 6), "train", make_classifier()
    )
    assert labels.targets is not None
    assert (labels.targets.dtype, labels.targets.tolist()) == (np.int64, [[1, 0]] * 6)
    values = Objective("regression", ("pearson",)).checked(
        with_targets(data, [0.5] * 6), "train", make_classifier(outputs=1)
    )
    assert values.targets is not None
    assert (values.targets.dtype, values.targets.tolist()) == (np.float32, [0.5] * 6)


@pytest.mark.parametrize(
    ("kind", "outputs", "targets", "says"),
    [
        (
            "classification",
            2,
            [0, 1, 0, 1, 0, 2],
            r"the train data have class ids 0\.\.2, the classifier has labels 0\.\.1",
        ),
        ("classification", 2, [0, 1, 0, 1, 0, -1], r"class ids -1\.\.1, the classifier has labels 0\.\.1"),
        ("classification", 2, [0.0, 1, 0, 1, 0, 1], "float64 targets, classes need whole numbers"),
        ("multi-label", 2, [0, 1, 0, 1, 0, 1], r"targets of shape \(6,\), several labels of 2 need rows of 2"),
        ("multi-label", 2, [[0, 1, 1]] * 6, "several labels of 2 need rows of 2"),
        ("regression", 1, [[0.5]] * 6, r"targets of shape \(6, 1\), values need one number an example"),
    ],
)
def test_targets_of_another_kind_are_refused(
    data: Dataset, kind: str, outputs: int, targets: object, says: str
) -> None:
    objective = Objective(kind, ("accuracy",))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=says):
        objective.checked(with_targets(data, targets), "train", make_classifier(outputs=outputs))


def test_data_without_targets_or_examples_are_refused(data: Dataset) -> None:
    with pytest.raises(ConfigError, match="the validation data have no targets"):
        CLASSES.checked(Dataset(data.encoded, None), "validation", make_classifier())
    none = Dataset(data.encoded.take(np.arange(0)), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="the validation data hold no example"):
        CLASSES.checked(none, "validation", make_classifier())
    with pytest.raises(ConfigError, match="a regression needs a classifier with one output, not 2"):
        Objective("regression", ("pearson",)).checked(data, "train", make_classifier())


def test_scores_are_those_of_clipped_answers_and_the_logits_are_as_the_classifier_gives_them(data: Dataset) -> None:
    classifier = make_classifier(outputs=1)
    values = with_targets(data, np.arange(6, dtype=np.float32))
    expected = predict_logits(classifier, values)
    low, high = np.quantile(expected, [0.3, 0.7])
    objective = Objective("regression", ("pearson",), None, (float(low), float(high)))
    scores, logits = objective.score(classifier, values, np.array([7.0, 9.0]))
    np.testing.assert_array_equal(logits, expected)
    assert scores.mean_loss == pytest.approx(np.mean((np.clip(expected[:, 0], low, high) - values.targets) ** 2))
    assert scores.baseline.answer == 8.0  # the mean of the training targets


def test_a_classifier_that_computes_in_bf16_is_scored_in_fp32_with_the_names_and_metrics_of_the_goal(
    data: Dataset,
) -> None:
    classifier = make_classifier()
    expected = predict_logits(classifier, data)
    classifier.encoder.compute_dtype = torch.bfloat16
    objective = Objective("classification", ("f1", "accuracy"), ("no", "yes"))
    scores, logits = objective.score(classifier, data, np.array([1, 1, 0]))
    np.testing.assert_array_equal(logits, expected)
    assert classifier.encoder.compute_dtype == torch.bfloat16
    assert (list(scores.metrics), scores.label_names, scores.baseline.answer) == (
        ["f1", "accuracy"],
        ("no", "yes"),
        "yes",
    )
