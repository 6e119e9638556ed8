"""Gathers into attention's rectangles, and back."""

import pytest
import torch
from tests.unit.encoder.native_worlds import batch_of
from torch import Tensor

from bertune.encoder.attention import _from_cells, _to_cells


def gathered() -> tuple[Tensor, Tensor, str]:
    """Returns what comes back out of the rectangles, its gradient, and the node that made it."""
    plan = batch_of([5, 1, 9]).layout.attention_plan
    packed = torch.rand(15, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    back = _from_cells(_to_cells(packed, plan).square(), plan)
    (back * torch.arange(1.0, 61.0).view(15, 4)).sum().backward()  # type: ignore[no-untyped-call]
    assert packed.grad is not None
    assert back.grad_fn is not None
    return back.detach(), packed.grad, back.grad_fn.name()


def test_the_inverse_gather_is_the_gradient_of_a_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    values, gradient, node = gathered()
    monkeypatch.setenv("BERTUNE_WITHOUT", "gather-backward")
    same_values, same_gradient, torchs = gathered()
    assert (node, torchs) == ("_FromCellsBackward", "IndexSelectBackward0")
    assert torch.equal(values, same_values)
    torch.testing.assert_close(gradient, same_gradient)
