"""What is recorded of each training row while it is trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset

from bertune.batches.dataset import Dataset
from bertune.data.task_kind import TaskKind
from bertune.evaluation.answer_kinds import softmax
from bertune.evaluation.logits import predict_logits
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.loop import fit

CONFIG = TrainingConfig(recipe="lesson", epochs=4, batch_size=16, learning_rate=3e-3, precision="fp32", seed=3)


def test_flipped_labels_are_the_rows_that_are_believed_least() -> None:
    clean = make_dataset(320, 1)
    flipped = np.random.default_rng(5).choice(320, 20, replace=False)
    targets = clean.targets.copy()
    targets[flipped] = 1 - targets[flipped]
    dynamics = Dynamics(320, TaskKind.CLASSIFICATION)
    fit(make_classifier(), Dataset(clean.encoded, targets), config=replace(CONFIG, epochs=6), dynamics=dynamics)
    found = set(dynamics.most_doubtful(25).tolist()) & set(flipped.tolist())
    assert len(found) >= 18


@pytest.mark.parametrize("parts", [None, 5])
def test_the_values_are_the_probabilities_of_the_true_labels(parts: int | None) -> None:
    """With a rate too small to change anything and no dropout they are those of the model as it was."""
    still = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    data, classifier = make_dataset(50, 2), make_classifier(config=still)
    with torch.no_grad():
        classifier.classifier.weight *= 40  # so that probabilities differ
    expected = softmax(predict_logits(classifier, data))[np.arange(50), data.targets]
    config = replace(CONFIG, epochs=2, learning_rate=1e-9, micro_batch_size=parts)
    dynamics = Dynamics(50, TaskKind.CLASSIFICATION)
    fit(classifier, data, config=config, dynamics=dynamics)
    assert expected.std() > 0.1
    assert dynamics.values.shape == (2, 50)
    assert dynamics.values.dtype == np.float32
    np.testing.assert_allclose(dynamics.values, [expected, expected], atol=1e-4)


def test_recording_changes_no_weight() -> None:
    data = make_dataset(64, 1)
    with_record, without = make_classifier(), make_classifier()
    fit(with_record, data, config=replace(CONFIG, epochs=1), dynamics=Dynamics(64, TaskKind.CLASSIFICATION))
    fit(without, data, config=replace(CONFIG, epochs=1))
    assert all(torch.equal(a, b) for a, b in zip(with_record.parameters(), without.parameters(), strict=True))


def test_values_of_several_labels_are_averaged_and_those_of_numbers_are_errors() -> None:
    several = Dynamics(2, TaskKind.MULTI_LABEL)
    several.record(np.array([1, 0]), torch.tensor([[2.0, -1.0], [0.0, 0.5]]), torch.tensor([[1, 1], [0, 1]]))
    several.end_epoch()
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    expected = [(sigmoid(0.0) + sigmoid(0.5)) / 2, (sigmoid(2.0) + sigmoid(-1.0)) / 2]
    np.testing.assert_allclose(several.values[0], expected, rtol=1e-6)
    numbers = Dynamics(3, TaskKind.REGRESSION)
    numbers.record(np.array([2, 0, 1]), torch.tensor([[1.0], [5.0], [2.0]]), torch.tensor([1.5, 2.0, 2.0]))
    numbers.end_epoch()
    assert numbers.values[0].tolist() == [3.0, 0.0, 0.5]
    assert numbers.most_doubtful(2).tolist() == [0, 2]
    assert (several.name, numbers.name) == ("probability", "absolute_error")
