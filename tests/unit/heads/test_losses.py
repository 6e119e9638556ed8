import math

import numpy as np
import pytest
import torch

from bertune.batches.layout import PackedLayout
from bertune.heads.losses import loss_of
from bertune.heads.pooling import mean_pool


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


def test_mean_pooling_averages_each_sequence_of_its_own_length() -> None:
    hidden = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [0.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    pooled = mean_pool(hidden, PackedLayout(np.array([2, 1, 3])))
    assert pooled.tolist() == [[2, 3], [10, 20], [1, 1]]


def test_mean_pooling_has_the_right_gradient() -> None:
    hidden = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    layout = PackedLayout(np.array([2, 1, 3]))
    assert torch.autograd.gradcheck(lambda states: mean_pool(states, layout), hidden)
