"""Training on soft labels and on a teacher's logits: by both engines, in parts, and from Python."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset

from bertune.batches.dataset import Dataset, as_dataset
from bertune.batches.soft_targets import SoftRows, SoftTargets
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, DataError
from bertune.models.classifier import Classifier
from bertune.training.config import TrainingConfig
from bertune.training.distillation import Distillation
from bertune.training.history import History
from bertune.training.loop import FitOptions, fit, fit_objective
from bertune.training.objective import Objective

pytestmark = pytest.mark.usefixtures("compiler")

STILL = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
CONFIG = TrainingConfig(recipe="lesson", epochs=2, batch_size=8, learning_rate=2e-3, precision="fp32", seed=3)
HINTON = Distillation(2.0, 0.7)


def taught(rows: int = 96) -> Dataset:
    data = make_dataset(rows, 1)
    logits = np.random.default_rng(2).normal(size=(rows, 2)).astype(np.float32)
    return replace(data, soft=SoftTargets(logits, np.arange(rows) % 3 > 0))


def soft_labelled(rows: int = 96) -> Dataset:
    data = make_dataset(rows, 1)
    assert data.targets is not None
    up = np.where(data.targets == 1, 0.8, 0.3).astype(np.float32)
    return replace(data, soft=SoftTargets(np.stack([1 - up, up], axis=1)))


def trained(
    data: Dataset, distillation: Distillation | None, removed: str = "", **changes: Any
) -> tuple[History, Classifier]:
    classifier = make_classifier(config=STILL)
    objective = Objective(TaskKind.CLASSIFICATION, ("accuracy",), distillation=distillation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", removed)
        history = fit_objective(
            classifier, data, None, objective, replace(CONFIG, **changes), FitOptions(verbose=False)
        )
    return history, classifier


CASES = {"soft labels": (soft_labelled, None), "a teacher": (taught, HINTON)}


@pytest.mark.parametrize("case", CASES)
def test_both_engines_learn_the_same(case: str) -> None:
    make, distillation = CASES[case]
    native, one = trained(make(), distillation)
    plain, other = trained(make(), distillation, "kernels")
    assert native.engine == "fp32, compiled kernels"
    assert plain.engine.startswith("fp32, torch operators")
    assert [step.loss for step in native.steps] == pytest.approx([step.loss for step in plain.steps], rel=2e-4)
    for name, parameter in one.named_parameters():
        assert torch.allclose(parameter, other.get_parameter(name), rtol=0, atol=2e-3), name


@pytest.mark.parametrize("case", CASES)
def test_the_parts_of_a_batch_add_up(case: str) -> None:
    make, distillation = CASES[case]
    whole, _ = trained(make(), distillation)
    parts, _ = trained(make(), distillation, micro_batch_size=3)
    assert [step.loss for step in parts.steps] == pytest.approx([step.loss for step in whole.steps], rel=1e-4)


def test_certain_soft_labels_train_as_labels_do() -> None:
    data = make_dataset(96, 1)
    certain = np.eye(2, dtype=np.float32)[data.targets]
    settings: dict[str, Any] = {"class_weights": ("0=2", "1=0.5"), "label_smoothing": 0.1}
    hard, _ = trained(data, None, **settings)
    soft, _ = trained(replace(data, soft=SoftTargets(certain)), None, **settings)
    assert [step.loss for step in soft.steps] == pytest.approx([step.loss for step in hard.steps], rel=1e-5)


def test_the_loss_of_a_taught_batch_is_hintons_with_labels_where_there_are_some() -> None:
    source = torch.Generator().manual_seed(1)
    logits, teacher = torch.randn(4, 2, generator=source), torch.randn(4, 2, generator=source)
    targets, labelled = torch.tensor([0, 1, 1, 0]), torch.tensor([True, False, True, False])
    objective = Objective(TaskKind.CLASSIFICATION, ("accuracy",), distillation=HINTON, label_smoothing=0.1)
    p, log_q = F.softmax(teacher / 2, dim=-1), F.log_softmax(logits / 2, dim=-1)
    divergence = 4 * (p * (p.log() - log_q)).sum() / 4
    of_labels = F.cross_entropy(logits[labelled], targets[labelled], label_smoothing=0.1, reduction="sum") / 4
    found = objective.loss(logits, targets, soft=SoftRows(teacher, labelled))
    assert found.item() == pytest.approx((0.7 * divergence + 0.3 * of_labels).item(), rel=1e-5)
    none = objective.loss(logits, targets, soft=SoftRows(teacher, torch.zeros(4, dtype=torch.bool)))
    assert none.item() == pytest.approx((0.7 * divergence).item(), rel=1e-5)


def test_rows_of_probabilities_are_soft_labels_in_python() -> None:
    data = make_dataset(64, 1)
    assert data.targets is not None
    probabilities = np.where(data.targets[:, None] == np.arange(2), 0.75, 0.25)
    found = as_dataset((data.encoded, probabilities))
    assert found.targets is not None
    assert found.soft is not None
    assert found.targets.tolist() == data.targets.tolist()
    assert np.array_equal(found.soft.values, probabilities.astype(np.float32))
    history = fit(
        make_classifier(config=STILL), (data.encoded, probabilities), (data.encoded, data.targets), config=CONFIG
    )
    assert history.best.scores is not None
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert all(step.loss > 0.9 * entropy for step in history.steps)  # which no answer is below, but for rounding


def test_rows_that_are_no_probabilities_are_refused() -> None:
    encoded = make_dataset(3, 1).encoded
    with pytest.raises(DataError, match=r"target 1: the probabilities of its labels sum to 1\.1, not to 1"):
        as_dataset((encoded, [[0.5, 0.5], [0.5, 0.6], [1.0, 0.0]]))
    with pytest.raises(ConfigError, match="2 targets for 3 examples"):
        as_dataset((encoded, [[0.5, 0.5], [1.0, 0.0]]))
    with pytest.raises(DataError, match="soft targets of 3 labels, the classifier has 2"):
        fit(make_classifier(), (encoded, [[0.5, 0.5, 0.0]] * 3), config=CONFIG)


def test_the_rows_with_labels_of_their_own_can_be_told() -> None:
    data = taught(9)
    assert data.targets is not None
    own = data.labelled()
    assert own.soft is None
    assert own.targets is not None
    assert own.targets.tolist() == [target for row, target in enumerate(data.targets.tolist()) if row % 3]
    assert len(own.encoded) == 6
    assert make_dataset(5, 1).labelled().soft is None


@pytest.mark.parametrize("values", [(0.0, 0.5), (-1.0, 0.5), (float("nan"), 0.5), (2.0, 1.1), (2.0, -0.1)])
def test_a_temperature_or_a_share_out_of_range_is_refused(values: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"--temperature|--mix"):
        Distillation(*values)
