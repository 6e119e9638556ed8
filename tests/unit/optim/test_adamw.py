"""AdamWeightDecay against the original, TorchAdamW against torch, and what a step leaves alone."""

# Golden values: tests/golden/make_optimizer.py, from `create_optimizer` of tf-models-official 2.20.0.
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bertune.errors import CheckpointError, ConfigError
from bertune.optim.adamw import AdamWeightDecay, TorchAdamW
from bertune.optim.create import create_schedule
from bertune.optim.schedule import PolynomialDecay
from bertune.optim.scheduled_adam import ScheduledAdam

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "optimizer.npz")
PROVENANCE: dict[str, Any] = json.loads(str(GOLDEN["provenance"]))
SHAPES = {name: tuple(shape) for name, shape in PROVENANCE["shapes"].items()}
DECAYING = ("word_embeddings/embeddings", "transformer/layer_0/self_attention/query/kernel")

FLAVOURS = pytest.mark.parametrize("flavour", [AdamWeightDecay, TorchAdamW])


def start(index: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The same numbers as in the maker script, from integers alone."""
    numbers = (np.arange(int(np.prod(shape)), dtype=np.int64) * 7919 + index * 104729) % 2003
    return (numbers / 1001.0 - 1.0).astype(np.float32).reshape(shape)


def gradient(index: int, shape: tuple[int, ...], step: int) -> npt.NDArray[np.float32]:
    """The same numbers as in the maker script, from integers alone."""
    numbers = (np.arange(int(np.prod(shape)), dtype=np.int64) * 7919 + index * 104729 + step * 15485863) % 2003
    values = (numbers / 1001.0 - 1.0) * (10.0 if step % 3 == 0 else 0.05)
    values[::4] *= 1e-6
    values[1::11] = 0.0
    return values.astype(np.float32).reshape(shape)


def golden_parameters() -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.tensor(start(i, shape))) for i, (name, shape) in enumerate(SHAPES.items())}


def give_gradients(parameters: dict[str, nn.Parameter], step: int) -> None:
    for index, parameter in enumerate(parameters.values()):
        parameter.grad = torch.tensor(gradient(index, tuple(parameter.shape), step))


def groups(parameters: dict[str, nn.Parameter], rate: float = 0.01) -> list[dict[str, Any]]:
    return [
        {"params": [(n, p) for n, p in parameters.items() if n in DECAYING], "weight_decay_rate": rate},
        {"params": [(n, p) for n, p in parameters.items() if n not in DECAYING], "weight_decay_rate": 0.0},
    ]


def values(parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def moments(optimizer: ScheduledAdam) -> list[torch.Tensor]:
    return [state[key].clone() for state in optimizer.state.values() for key in ("m", "v")]


@pytest.mark.parametrize("case", PROVENANCE["cases"])
def test_two_hundred_steps_equal_the_original(case: str) -> None:
    init_lr, steps, warmup, end_lr, _, beta_1, power = PROVENANCE["cases"][case]
    parameters = golden_parameters()
    schedule = create_schedule(init_lr, steps, warmup, end_lr, power)
    optimizer = AdamWeightDecay(groups(parameters), schedule, beta_1=beta_1, epsilon=1e-6)
    norms = []
    for step in range(steps):
        give_gradients(parameters, step)
        optimizer.step()
        norms.append(optimizer.last_gradient_norm)
        if step + 1 not in PROVENANCE["stored_steps"]:
            continue
        for name, parameter in parameters.items():
            expected = GOLDEN[f"{case}|{name}|{step + 1}"]
            np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(norms, GOLDEN[f"{case}|norms"], rtol=1e-6)


def test_the_golden_gradients_are_clipped_at_some_steps_and_not_at_others() -> None:
    norms = GOLDEN["lesson|norms"]
    assert (norms > 10).sum() == 67
    assert (norms < 0.5).sum() == 133


def test_decay_at_the_lessons_rate_is_not_lost_in_rounding() -> None:
    # rate * decay is 2e-7 and float32 cannot hold 1 - 2e-7: multiplying by that would lose 11 % of the decay.
    weight = nn.Parameter(torch.linspace(0.5, 2.0, 10_000))
    before = weight.detach().double()
    optimizer = AdamWeightDecay([weight], 2e-5, weight_decay_rate=0.01)
    for _ in range(50):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    lost = (before - weight.detach().double()).sum()
    assert lost.item() == pytest.approx((before * (1 - (1 - 2e-7) ** 50)).sum().item(), rel=0.02)


def test_decay_inside_the_kernel_as_on_accelerators_is_the_same_arithmetic() -> None:
    class InKernel(AdamWeightDecay):
        _decay = ScheduledAdam._decay

    parameters = golden_parameters()
    optimizer = InKernel(groups(parameters), create_schedule(1e-2, 200, 20), epsilon=1e-6)
    for step in range(200):
        give_gradients(parameters, step)
        optimizer.step()
    for name, parameter in parameters.items():
        # The decay of 200 steps is 1e-2; the processor's kernel rounds it, hence the tolerance.
        np.testing.assert_allclose(parameter.detach().numpy(), GOLDEN[f"large_rate|{name}|200"], rtol=0, atol=1e-5)


def test_a_repeated_tokens_gradient_is_clipped_by_its_true_norm_unlike_in_the_original() -> None:
    # The original's sparse gradient names row 2 twice with 0.9: it takes the norm before adding the two up.
    dense = np.zeros((7, 6), np.float32)
    dense[2], dense[5] = 1.8, 0.9
    norm_of_occurrences = np.sqrt(18 * 0.9**2)
    np.testing.assert_allclose(GOLDEN["repeated_token|m"], 0.1 * dense / norm_of_occurrences, rtol=1e-5)
    weight = nn.Parameter(torch.tensor(start(0, (7, 6))))
    weight.grad = torch.tensor(dense)
    optimizer = AdamWeightDecay([weight], 1e-2, epsilon=1e-6)
    optimizer.step()
    np.testing.assert_allclose(optimizer.state[weight]["m"], 0.1 * dense / np.linalg.norm(dense), rtol=1e-5)


def test_the_norm_of_a_word_embeddings_gradient_is_exact_to_six_digits() -> None:
    gradient = torch.randn((30_522, 256), generator=torch.Generator().manual_seed(0)) * 1e-3
    exact = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
    parameter = nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient
    optimizer = AdamWeightDecay([parameter], 1e-3)
    optimizer.step()
    assert optimizer.last_gradient_norm == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("clip", [1.0, None])
def test_two_hundred_steps_of_the_torch_flavour_equal_torch(clip: float | None) -> None:
    ours, theirs = golden_parameters(), golden_parameters()
    schedule = create_schedule(1e-2, 200, 20)
    optimizer = TorchAdamW(groups(ours, 0.05), schedule, epsilon=1e-6, gradient_clip_norm=clip)
    peer = torch.optim.AdamW(
        [
            {"params": [p for n, p in theirs.items() if n in DECAYING], "weight_decay": 0.05},
            {"params": [p for n, p in theirs.items() if n not in DECAYING], "weight_decay": 0.0},
        ],
        lr=1.0,
        eps=1e-6,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(peer, schedule)
    for step in range(200):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), clip or float("inf"))
        optimizer.step()
        peer.step()
        scheduler.step()
        assert optimizer.last_gradient_norm == pytest.approx(norm.item(), rel=1e-6)
        for name in SHAPES:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)


def test_the_two_flavours_place_epsilon_differently() -> None:
    # At step 1: the original moves by rate * g / (|g| + epsilon / sqrt(0.001)), torch by rate * g / (|g| + epsilon).
    moved = {}
    for flavour in (AdamWeightDecay, TorchAdamW):
        weight = nn.Parameter(torch.zeros(3))
        weight.grad = torch.full((3,), 1e-6)
        flavour([weight], 1.0, epsilon=1e-6, weight_decay_rate=0.0).step()
        moved[flavour] = -weight[0].item()
    assert moved[AdamWeightDecay] == pytest.approx(1 / (1 + 1 / np.sqrt(0.001)), rel=1e-4)
    assert moved[TorchAdamW] == pytest.approx(0.5, rel=1e-4)


@FLAVOURS
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_gradients_without_a_finite_norm_leave_everything_untouched(flavour: type[ScheduledAdam], bad: float) -> None:
    parameters = golden_parameters()
    optimizer = flavour(groups(parameters), 1e-2, gradient_clip_norm=1.0)  # type: ignore[call-arg]
    give_gradients(parameters, 0)
    optimizer.step()
    before, moments_before = values(parameters), moments(optimizer)
    give_gradients(parameters, 1)
    grad = parameters["LayerNorm/beta"].grad
    assert grad is not None
    grad[2] = bad
    optimizer.step()
    assert not np.isfinite(optimizer.last_gradient_norm)
    assert all(torch.equal(value, parameters[name]) for name, value in before.items())
    assert all(torch.equal(a, b) for a, b in zip(moments_before, moments(optimizer), strict=True))
    assert optimizer.step_count == 2
    give_gradients(parameters, 2)
    optimizer.step()
    assert not torch.equal(before["LayerNorm/beta"], parameters["LayerNorm/beta"])


@FLAVOURS
@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), before=st.integers(1, 12), after=st.integers(1, 12))
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    flavour: type[ScheduledAdam], seed: int, before: int, after: int
) -> None:
    def gradients() -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            scale = 10.0 ** torch.randint(-3, 2, (1,), generator=generator)
            yield {n: scale * torch.randn(shape, generator=generator) for n, shape in SHAPES.items()}

    def run(parameters: dict[str, nn.Parameter], optimizer: ScheduledAdam, source: Any, steps: int) -> None:
        for _ in range(steps):
            for name, grad in next(source).items():
                parameters[name].grad = grad
            optimizer.step()

    def build(parameters: dict[str, nn.Parameter]) -> ScheduledAdam:
        return flavour(groups(parameters), create_schedule(1e-2, 24, 5))  # type: ignore[call-arg]

    whole = golden_parameters()
    run(whole, build(whole), gradients(), before + after)

    source, first = gradients(), golden_parameters()
    interrupted = build(first)
    run(first, interrupted, source, before)
    saved = copy.deepcopy(interrupted.state_dict())
    second = {name: nn.Parameter(value) for name, value in values(first).items()}
    resumed = build(second)
    resumed.load_state_dict(saved)
    assert resumed.step_count == before
    run(second, resumed, source, after)
    assert all(torch.equal(whole[name], second[name]) for name in SHAPES)


def test_the_rate_of_each_step_is_published_to_torchs_tools() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = AdamWeightDecay([weight], PolynomialDecay(1.0, 4, 0.0))
    assert np.isnan(optimizer.last_gradient_norm)
    rates = []
    for _ in range(3):
        weight.grad = torch.ones(2)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0, 0.75, 0.5]
    assert [optimizer.learning_rate_at(step) for step in range(3)] == rates
    assert optimizer.step_count == 3


def test_the_first_step_of_warmup_moves_nothing_and_remembers_the_gradient() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = AdamWeightDecay([weight], create_schedule(1.0, 10, 4), weight_decay_rate=0.01)
    weight.grad = torch.full((2,), 0.5)
    optimizer.step()
    assert torch.equal(weight, torch.ones(2))
    torch.testing.assert_close(optimizer.state[weight]["m"], torch.full((2,), 0.05))


def test_a_parameter_without_gradient_stays_as_it_is() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    used.grad = torch.ones(2)
    AdamWeightDecay([used, unused], 0.1, weight_decay_rate=0.5).step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))


def test_a_gradient_with_other_strides_is_read_in_the_right_order() -> None:
    plain, strided = nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(3, 4))
    grad = torch.arange(12.0).reshape(3, 4) - 5
    plain.grad, strided.grad = grad.clone(), grad.t().contiguous().t()
    for weight in (plain, strided):
        AdamWeightDecay([weight], 0.1, epsilon=1.0).step()
    assert torch.equal(plain, strided)


def test_the_clip_can_be_switched_off() -> None:
    for off in (None, 0.0):
        weight = nn.Parameter(torch.zeros(2))
        weight.grad = torch.full((2,), 100.0)
        optimizer = AdamWeightDecay([weight], 0.1, gradient_clip_norm=off)
        optimizer.step()
        torch.testing.assert_close(optimizer.state[weight]["m"], torch.full((2,), 10.0))


@pytest.mark.parametrize("limit", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("norm", [0.5, 1.0, 1.5])
def test_the_torch_flavour_clips_as_torch_does_also_where_the_limit_is_tiny(limit: float, norm: float) -> None:
    ours, theirs = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    ours.grad, theirs.grad = torch.full((1,), norm * limit), torch.full((1,), norm * limit)
    TorchAdamW([ours], gradient_clip_norm=limit).step()
    torch.nn.utils.clip_grad_norm_([theirs], limit)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=0)


def test_what_is_not_set_is_what_keras_and_torch_have() -> None:
    weight = nn.Parameter(torch.zeros(2))
    keras = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay_rate": 0.0}
    ours, peer = TorchAdamW([weight]), torch.optim.AdamW([weight]).defaults
    torchs = {"epsilon": peer["eps"], "weight_decay_rate": peer["weight_decay"]}
    torchs |= dict(zip(("beta_1", "beta_2"), peer["betas"], strict=True))
    for optimizer, settings_of, rate, clip in (
        (AdamWeightDecay([weight]), keras, 0.001, 1.0),
        (ours, torchs, peer["lr"], None),
    ):
        group = optimizer.param_groups[0]
        assert {name: group[name] for name in settings_of} == settings_of
        assert optimizer.learning_rate_at(0) == group["lr"] == rate
        assert optimizer.gradient_clip_norm == clip


def test_a_group_added_later_joins_at_the_current_step() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamWeightDecay([first], 0.1)
    first.grad = torch.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": [second]})
    assert [group["step_count"] for group in optimizer.param_groups] == [1, 1]


def test_a_closure_computes_gradients_and_its_loss_is_returned() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = AdamWeightDecay([weight], 0.1)

    def closure() -> float:
        loss = (weight**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2.0
    assert weight[0].item() == pytest.approx(0.9, rel=1e-5)
    assert optimizer.step() is None  # type: ignore[func-returns-value]


def test_float64_parameters_keep_their_precision() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
    weight.grad = torch.full((2,), 1e-3, dtype=torch.float64)
    AdamWeightDecay([weight], 1e-12, epsilon=1e-15).step()
    assert weight[0].item() == pytest.approx(1 - 1e-12, abs=1e-18)


def test_a_step_without_any_gradient_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no parameter has a gradient"):
        AdamWeightDecay([nn.Parameter(torch.ones(2))]).step()


def test_a_sparse_gradient_is_refused() -> None:
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1, 1])).sum().backward()
    with pytest.raises(ConfigError, match="sparse"):
        AdamWeightDecay(embedding.parameters()).step()


@pytest.mark.parametrize("weight", [torch.ones(2, dtype=torch.bfloat16), torch.ones(2, 3).t()])
def test_parameters_the_kernel_cannot_update_are_refused(weight: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"float32 is needed|not contiguous"):
        AdamWeightDecay([nn.Parameter(weight)])


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"beta_1": 1.0},
        {"beta_2": -0.1},
        {"epsilon": 0.0},
        {"weight_decay_rate": -0.01},
        {"gradient_clip_norm": -1.0},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        AdamWeightDecay([nn.Parameter(torch.ones(2))], **setting)


def test_state_of_other_parameters_or_another_optimizer_is_refused() -> None:
    def state(shape: tuple[int, ...], name: str) -> dict[str, Any]:
        weight = nn.Parameter(torch.ones(shape))
        weight.grad = torch.ones(shape)
        optimizer = AdamWeightDecay([(name, weight)])
        optimizer.step()
        return optimizer.state_dict()

    target = AdamWeightDecay([("a", nn.Parameter(torch.ones(2)))])
    with pytest.raises(CheckpointError, match=r"parameter a is \(2,\), its saved m \(3,\)"):
        target.load_state_dict(state((3,), "a"))
    target = AdamWeightDecay([("a", nn.Parameter(torch.ones(2)))])
    with pytest.raises(CheckpointError, match="other names"):
        target.load_state_dict(state((2,), "b"))
    target = AdamWeightDecay([nn.Parameter(torch.ones(2))])
    with pytest.raises(CheckpointError, match="another kind"):
        target.load_state_dict(torch.optim.AdamW([nn.Parameter(torch.ones(2))]).state_dict())
    assert (target.step_count, target.param_groups[0]["beta_1"]) == (0, 0.9)  # a state that is refused changes nothing
    for missing in ("step_count", "beta_1"):
        saved = target.state_dict()
        del saved["param_groups"][0][missing]
        fresh = AdamWeightDecay([nn.Parameter(torch.ones(2))])
        with pytest.raises(CheckpointError, match="another kind"):
            fresh.load_state_dict(saved)
    target = AdamWeightDecay([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))])
    with pytest.raises(CheckpointError, match="does not fit"):
        target.load_state_dict(torch.optim.AdamW([nn.Parameter(torch.ones(2))]).state_dict())
