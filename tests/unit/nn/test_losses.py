import math

import numpy as np
import pytest
import torch

from bertune.batches.layout import Layout
from bertune.data.task_kind import TaskKind
from bertune.nn.losses import loss_of, weight_of
from bertune.nn.pooling import mean_pool


def test_cross_entropy_is_the_mean_of_minus_log_probability() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    loss = loss_of(logits, torch.tensor([1, 0]), kind="classification")
    assert float(loss) == pytest.approx((-math.log(0.75) - math.log(0.5)) / 2)


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    logits = torch.tensor([[0.0, math.log(3)]])
    loss = loss_of(logits, torch.tensor([1]), kind="classification", label_smoothing=0.2)
    assert float(loss) == pytest.approx(-(0.9 * math.log(0.75) + 0.1 * math.log(0.25)))


def test_regression_is_the_squared_error() -> None:
    loss = loss_of(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 0.0]), kind="regression")
    assert float(loss) == pytest.approx((1 + 9) / 2)


def test_weighted_classes_give_torchs_weighted_mean() -> None:
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(12, 3), torch.randint(0, 3, (12,)), torch.tensor([1.0, 0.25, 4.0])
    for smoothing in (0.0, 0.2):
        expected = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)(logits, targets)
        loss = loss_of(logits, targets, kind="classification", class_weights=weights, label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected)


def test_multi_label_gives_torchs_binary_cross_entropy_of_every_label() -> None:
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(12, 3), torch.randint(0, 2, (12, 3)), torch.tensor([1.0, 0.25, 4.0])
    for class_weights in (None, weights):
        expected = torch.nn.BCEWithLogitsLoss(pos_weight=class_weights)(logits, targets.float())
        loss = loss_of(logits, targets, kind="multi-label", class_weights=class_weights)
        torch.testing.assert_close(loss, expected)


def test_label_smoothing_of_multi_label_is_spread_over_having_a_label_and_not() -> None:
    loss = loss_of(torch.tensor([[math.log(3)]]), torch.tensor([[1]]), kind="multi-label", label_smoothing=0.2)
    assert float(loss) == pytest.approx(-(0.9 * math.log(0.75) + 0.1 * math.log(0.25)))


@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_the_parts_of_a_batch_add_up_to_its_loss(kind: TaskKind) -> None:
    torch.manual_seed(0)
    outputs = 1 if kind == "regression" else 3
    logits = torch.randn(10, outputs)
    targets = {
        "classification": torch.randint(0, 3, (10,)),
        "multi-label": torch.randint(0, 2, (10, 3)),
        "regression": torch.randn(10),
    }[kind]
    weights = None if kind == "regression" else torch.tensor([1.0, 0.25, 4.0])
    whole = loss_of(logits, targets, kind=kind, class_weights=weights)
    total = weight_of(targets, kind=kind, class_weights=weights)
    parts = sum(
        loss_of(logits[part], targets[part], kind=kind, class_weights=weights, total_weight=total)
        for part in (slice(0, 3), slice(3, 4), slice(4, 10))
    )
    torch.testing.assert_close(parts, whole)


def test_mean_pooling_averages_each_sequence_of_its_own_length() -> None:
    hidden = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [0.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    pooled = mean_pool(hidden, Layout(np.array([2, 1, 3])))
    assert pooled.tolist() == [[2, 3], [10, 20], [1, 1]]


def test_mean_pooling_has_the_right_gradient() -> None:
    hidden = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    layout = Layout(np.array([2, 1, 3]))
    assert torch.autograd.gradcheck(lambda states: mean_pool(states, layout), hidden)
