"""The bounds of a training loss, held against the loss itself: no constant answer costs less, no answer at all."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from bertune.data.task_kind import TaskKind
from bertune.nn.losses import loss_of
from bertune.training.loss_bounds import loss_bounds

SOURCE = np.random.default_rng(0)
CLASSES = SOURCE.choice(3, 200, p=[0.6, 0.3, 0.1])
SEVERAL = (SOURCE.random((200, 3)) < [0.5, 0.2, 0.05]).astype(np.int64)


def least(targets: Any, kind: TaskKind, smoothing: float, weights: Any, *, of_each_row: bool) -> float:
    """The least loss that logits can have, the same for all rows or free for each kind of row, by descent."""
    rows, labels = (len(targets), 3)
    _, kinds = np.unique(targets, axis=0, return_inverse=True)
    kinds = kinds.reshape(-1) if of_each_row else np.zeros(rows, np.int64)
    shape = (int(kinds.max()) + 1, labels)

    def cost(flat: Any) -> tuple[float, Any]:
        logits = torch.tensor(flat.reshape(shape), requires_grad=True)
        loss = loss_of(
            logits[torch.from_numpy(kinds)],
            torch.from_numpy(targets),
            kind=kind,
            label_smoothing=smoothing,
            class_weights=None if weights is None else torch.tensor(weights, dtype=torch.float64),
        )
        loss.backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        return float(loss.detach()), logits.grad.numpy().ravel()

    return float(minimize(cost, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).fun)


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 4.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("kind", "targets"), [(TaskKind.CLASSIFICATION, CLASSES), (TaskKind.MULTI_LABEL, SEVERAL)])
def test_chance_is_the_best_constant_answer_and_the_floor_the_best_of_all(
    kind: TaskKind, targets: Any, smoothing: float, weights: Any
) -> None:
    bounds = loss_bounds(targets, kind=kind, num_labels=3, label_smoothing=smoothing, class_weights=weights)
    assert bounds.chance == pytest.approx(least(targets, kind, smoothing, weights, of_each_row=False), abs=1e-5)
    assert bounds.floor == pytest.approx(least(targets, kind, smoothing, weights, of_each_row=True), abs=1e-3)
    assert (bounds.floor == 0) is (smoothing == 0)


def test_of_values_chance_is_the_variance() -> None:
    values = np.array([0.0, 1.0, 5.0], np.float32)
    bounds = loss_bounds(values, kind=TaskKind.REGRESSION, num_labels=1)
    assert (bounds.chance, bounds.floor) == (pytest.approx(values.var()), 0)


def test_two_even_classes_have_chance_at_the_logarithm_of_two_and_a_loss_lies_between() -> None:
    bounds = loss_bounds(np.array([0, 1]), kind=TaskKind.CLASSIFICATION, num_labels=2)
    assert bounds.chance == pytest.approx(np.log(2))
    assert bounds.share_of(np.log(2) / 4) == pytest.approx(0.25)
    assert loss_bounds(np.array([1, 1]), kind=TaskKind.CLASSIFICATION, num_labels=2).share_of(0.3) == 0
