"""Gathers into attention's rectangles, and back."""

import torch
from tests.unit.kernels.encoder_worlds import batch_of

from bertune.nn.attention import from_cells, to_cells


def test_the_inverse_gather_is_the_gradient_of_a_gather() -> None:
    plan = batch_of([5, 1, 9]).layout.attention_plan
    start, weights = torch.rand(15, 4, generator=torch.Generator().manual_seed(0)), torch.arange(1.0, 61.0).view(15, 4)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    back = from_cells(to_cells(ours, plan).square(), plan)
    expected = theirs.index_select(0, plan.token_of_cell).square().index_select(0, plan.cell_of_token)
    for result in (back, expected):
        (result * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(back, expected)
    assert back.grad_fn is not None
    assert back.grad_fn.name() == "_FromCellsBackward"
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)
