"""Steps whose numbers lie on the device: the arithmetic of the optimizer itself, and what stops it."""

import pytest
import torch
from torch import Tensor, nn

from bertune.optim.create import create_optimizer
from bertune.optim.device_step import DeviceStep
from bertune.optim.scheduled_adam import ScheduledAdam

STEPS = 60
CPU = torch.device("cpu")


def make(flavour: str, clip: float | None) -> tuple[nn.Module, ScheduledAdam]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 3))
    optimizer = create_optimizer(
        *(1e-2, STEPS, 6),
        optimizer_type=flavour,  # type: ignore[arg-type]
        model=model,
        weight_decay_rate=0.3,
        gradient_clip_norm=clip,
    )
    return model, optimizer


def gradients_of(step: int, model: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    # Small and great ones, so that epsilon and the clip both matter.
    scale = 10.0 ** (step % 7 - 5)
    return [torch.randn(value.shape, generator=generator) * scale for value in model.parameters()]


@pytest.mark.parametrize("flavour", ["adamw", "adamw_torch"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_its_steps_are_those_of_the_optimizer(flavour: str, clip: float | None) -> None:
    model, optimizer = make(flavour, clip)
    other, expected = make(flavour, clip)
    device = DeviceStep(optimizer, STEPS, CPU)
    in_order = {id(value): place for place, value in enumerate(model.parameters())}
    for step in range(STEPS):
        for value, gradient in zip(other.parameters(), gradients_of(step, other), strict=True):
            value.grad = gradient
        expected.step()
        gradients = gradients_of(step, model)
        device.take(torch.tensor(1.0), tuple(gradients[in_order[id(value)]] for value in device.parameters))
        optimizer.begin_step(device.norm)
        assert optimizer.last_gradient_norm == pytest.approx(expected.last_gradient_norm, rel=1e-6)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=2e-6, atol=2e-7)
        for mine, theirs in zip(optimizer.moments_of(one), expected.moments_of(two), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-12)
    assert optimizer.state_dict()["param_groups"] == expected.state_dict()["param_groups"]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_after_a_number_that_is_not_finite_nothing_moves_any_more(what: str) -> None:
    model, optimizer = make("adamw", 1.0)
    device = DeviceStep(optimizer, STEPS, CPU)

    def take(loss: float, scale: float) -> list[Tensor]:
        gradients = [torch.ones_like(value) * scale for value in device.parameters]
        device.take(torch.tensor(loss), tuple(gradients))
        moments = [moment for value in device.parameters for moment in optimizer.moments_of(value)]
        return [value.detach().clone() for value in (*model.parameters(), *moments)]

    take(1.0, 1.0)
    good = take(1.0, 1.0)
    bad = take(torch.inf, 1.0) if what == "loss" else take(1.0, torch.nan)
    later = take(1.0, 1.0)
    for one, two, three in zip(good, bad, later, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_a_parameter_without_part_in_the_loss_stays() -> None:
    _, optimizer = make("adamw", 1.0)
    device = DeviceStep(optimizer, STEPS, CPU)
    still = device.parameters[0]
    before = still.detach().clone()
    for _ in range(3):
        device.take(torch.tensor(1.0), (None, *(torch.ones_like(value) for value in device.parameters[1:])))
    assert torch.equal(still, before)
    assert not optimizer.state[still]
