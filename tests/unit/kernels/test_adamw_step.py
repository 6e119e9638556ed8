"""Steps by compiled kernels against the optimizer's own, which the golden values hold to the original."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from bertune.kernels.adamw_step import KernelStep, Source, TableSource
from bertune.kernels.build import NoKernelsError
from bertune.optim.adamw import AdamWeightDecay, TorchAdamW
from bertune.optim.scheduled_adam import ScheduledAdam

pytestmark = pytest.mark.usefixtures("compiler")

KINDS = [AdamWeightDecay, TorchAdamW]
ROWS, WIDTH = 50, 32


def rate(step: int) -> float:
    return 1e-2 * (1 - step / 100)


@dataclass
class World:
    """The same parameters twice: one set stepped by the optimizer itself, the other by kernels.

    Args:
        kind: of the optimizer.
        clip: its limit; None for none.
        narrow: whether the matrix has a bfloat16 gradient and a bfloat16 copy.
        decay: weight decay of the first group; the bias is in another without.
        scales: what the rates of the two groups are multiplied by.
    """

    kind: type[ScheduledAdam]
    clip: float | None = 1.0
    narrow: bool = False
    decay: float = 0.1
    scales: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        shapes = ((37, 21), (83,), (ROWS, WIDTH), (5,))  # matrix, bias, table, and one with an ordinary gradient
        self.expected = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
        self.got = copy.deepcopy(self.expected)
        self.reference, self.optimizer = self._optimizer(self.expected), self._optimizer(self.got)
        matrix, bias, table, _ = self.got
        self.gradients = [
            torch.zeros(matrix.shape, dtype=torch.bfloat16 if self.narrow else torch.float32),
            torch.zeros(bias.shape),
        ]
        self.bf16_copy = matrix.detach().bfloat16() if self.narrow else None
        sources = {id(matrix): Source(self.gradients[0], self.bf16_copy), id(bias): Source(self.gradients[1])}
        self.table = TableSource(torch.zeros(0, WIDTH), np.full(ROWS, -1, np.int32))
        self.step = KernelStep(self.optimizer, sources, {id(table): self.table})
        self.source = torch.Generator().manual_seed(1)

    def _optimizer(self, parameters: list[torch.nn.Parameter]) -> ScheduledAdam:
        matrix, bias, table, other = parameters
        groups = [
            {"params": [matrix, table], "weight_decay_rate": self.decay, "rate_scale": self.scales[0]},
            {"params": [bias, other], "weight_decay_rate": 0.0, "rate_scale": self.scales[1]},
        ]
        return self.kind(groups, rate, gradient_clip_norm=self.clip)  # type: ignore[call-arg]

    def draw(self, *, size: float = 1.0) -> None:
        """Gives both sides the same gradients; a few rows of the table are touched, not the same ones in each step."""
        values = [torch.randn(parameter.shape, generator=self.source) * size for parameter in self.expected]
        values[0] = values[0].to(self.gradients[0].dtype)
        touched = torch.randperm(ROWS, generator=self.source)[:3]
        table = torch.zeros(ROWS, WIDTH)
        table[touched] = values[2][touched]
        values[2] = table
        for parameter, value in zip(self.expected, values, strict=True):
            parameter.grad = value.float()
        self.gradients[0].copy_(values[0])
        self.gradients[1].copy_(values[1])
        self.got[3].grad = values[3].clone()
        self.table.slots[:] = -1
        self.table.slots[touched.numpy()] = np.arange(3)
        self.table.gradient = table[touched].contiguous()

    def run(self, steps: int, size: float = 1.0) -> None:
        for _ in range(steps):
            self.draw(size=size)
            norm = self.step.step()
            self.reference.step()
            assert norm == pytest.approx(self.reference.last_gradient_norm, rel=1e-6)
            assert self.optimizer.last_gradient_norm == pytest.approx(norm, rel=1e-6)

    def bits(self) -> list[Tensor]:
        tensors = [*self.got]
        tensors += [self.optimizer.state[parameter][name] for parameter in self.got[:3] for name in ("m", "v")]
        return [tensor.detach().clone() for tensor in (*tensors, *([] if self.bf16_copy is None else [self.bf16_copy]))]


def _stepped(optimizer: ScheduledAdam) -> float:
    optimizer.step()
    return optimizer.last_gradient_norm


def assert_near(world: World, tolerance: float = 1.5e-6) -> None:
    for got, expected in zip(world.got, world.expected, strict=True):
        assert float((got - expected).detach().abs().max()) <= tolerance * float(expected.detach().abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(("clip", "size"), [(1.0, 1.0), (25.0, 1.0), (1e6, 1.0), (None, 3.0), (1.0, 1e-4)])
def test_fifty_steps_are_those_of_the_optimizer(
    kind: type[ScheduledAdam], narrow: bool, clip: float | None, size: float
) -> None:
    world = World(kind, clip, narrow)
    world.run(50, size)
    assert_near(world)
    assert world.optimizer.step_count == world.reference.step_count == 50
    assert [group["lr"] for group in world.optimizer.param_groups] == [rate(49)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_groups_with_rates_of_their_own_step_as_those_of_the_optimizer(kind: type[ScheduledAdam]) -> None:
    world, even = World(kind, scales=(0.25, 0.9)), World(kind)
    world.run(20)
    even.run(20)
    for got, expected, at_one_rate in zip(world.got, world.expected, even.expected, strict=True):
        size = float(expected.detach().abs().max())
        assert float((got - expected).detach().abs().max()) <= 1e-6 * size
        assert float((got - at_one_rate).detach().abs().max()) > 1e-3 * size
    assert [group["lr"] for group in world.optimizer.param_groups] == [rate(19) * 0.25, rate(19) * 0.9]


@pytest.mark.parametrize("kind", KINDS)
def test_the_bf16_copy_follows_its_parameter(kind: type[ScheduledAdam]) -> None:
    world = World(kind, narrow=True)
    world.run(5)
    assert world.bf16_copy is not None
    assert torch.equal(world.bf16_copy, world.got[0].detach().bfloat16())


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan, 1e30])
@pytest.mark.parametrize("where", ["matrix", "bias", "table", "other"])
@pytest.mark.parametrize("narrow", [False, True])
def test_a_gradient_that_is_not_finite_leaves_every_bit(bad: float, where: str, narrow: bool) -> None:
    world = World(AdamWeightDecay, narrow=narrow)
    world.run(3)
    world.draw()
    assert world.got[3].grad is not None
    target = {
        "matrix": world.gradients[0],
        "bias": world.gradients[1],
        "table": world.table.gradient,
        "other": world.got[3].grad,
    }[where]
    target.view(-1)[-1] = bad
    before, steps = world.bits(), world.optimizer.step_count
    assert not math.isfinite(world.step.step())
    assert all(torch.equal(now, then) for now, then in zip(world.bits(), before, strict=True))
    assert not math.isfinite(world.optimizer.last_gradient_norm)
    assert world.optimizer.step_count == steps + 1  # the schedule keeps in line with the batches


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_goes_on_as_the_optimizers_own(kind: type[ScheduledAdam]) -> None:
    world = World(kind)
    world.run(10)
    saved = copy.deepcopy(world.optimizer.state_dict())
    continued = world._optimizer(world.got)  # type: ignore[arg-type]
    continued.load_state_dict(saved)
    for _ in range(10):
        world.draw()
        for got, expected in zip(world.got, world.expected, strict=True):
            assert expected.grad is not None
            got.grad = expected.grad.clone()
        continued.step()
        world.reference.step()
    assert_near(world)


def test_the_norm_is_exact_to_seven_digits_for_millions_of_numbers() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3_000_001))
    gradient = torch.rand(parameter.shape)
    step = KernelStep(AdamWeightDecay([parameter], 0.0), {id(parameter): Source(gradient)})
    assert step.step() == pytest.approx(float(gradient.double().norm()), rel=2e-7)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    world = World(AdamWeightDecay)
    world.draw()
    world.got[3].grad = None
    before = world.got[3].detach().clone()
    world.step.step()
    assert torch.equal(world.got[3], before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_may_come_and_go_from_step_to_step(kind: type[ScheduledAdam]) -> None:
    world = World(kind)
    for missing in (False, True, True, False, True, False, False):
        world.draw()
        if missing:
            world.got[3].grad = world.expected[3].grad = None
        assert world.step.step() == pytest.approx(_stepped(world.reference), rel=1e-6)
    assert_near(world)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing_but_the_last_digit_of_the_norm(threads: int) -> None:
    one, more = World(TorchAdamW, narrow=True), World(TorchAdamW, narrow=True)
    more.step.threads = threads
    for world in (one, more):
        world.run(10)
    for first, second in zip(one.got, more.got, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-7)


def test_parameters_of_another_type_are_not_stepped_by_kernels() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(NoKernelsError, match="float32"):
        KernelStep(AdamWeightDecay([parameter], 0.1), {})
