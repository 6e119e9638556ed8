"""The compiled pass against the modules: results, gradients, dropout, bfloat16, buffers."""

import math
from ctypes import c_uint64
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.kernels.encoder_worlds import (
    Answer,
    assert_same_bits,
    batch_of,
    by_kernels,
    by_modules,
    by_modules_in_parts,
    distance,
    encoder_of,
    gradient_for,
    gradients_of,
    native,
    sizes,
)
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.errors import DataError
from bertune.kernels import calls, workspace
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.workspace import Workspace
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder

pytestmark = pytest.mark.usefixtures("compiler")


def assert_equals_modules(config: BertConfig, lengths: list[int], *, first_only: bool, seed: int = 0) -> None:
    encoder, batch = encoder_of(config, seed), batch_of(lengths, seed)
    g = gradient_for(batch, config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    got = by_kernels(native(encoder), batch, g, first_only=first_only)
    assert distance(got.hidden, exact.hidden) <= 1e-5
    assert got.gradients.keys() == exact.gradients.keys()
    for name, gradient in exact.gradients.items():
        # What is nothing but rounding in the exact gradient, such as that of the keys' bias alone, has no distance.
        assert distance(got.gradients[name], gradient) <= 1e-5, name


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize(
    ("shape", "lengths"),
    [
        ((32, 2, 32, 1), [1]),
        ((32, 1, 96, 2), [3, 1, 40, 1]),
        ((64, 4, 128, 3), [17] * 9),
        ((96, 2, 160, 2), [5, 33, 64, 65]),
        ((128, 2, 64, 4), [12, 7, 30]),
    ],
)
def test_results_and_gradients_are_those_of_the_modules(
    shape: tuple[int, ...], lengths: list[int], act: str, first_only: bool
) -> None:
    assert_equals_modules(sizes(*shape, act=act), lengths, first_only=first_only)


@pytest.mark.parametrize(
    ("shape", "lengths", "first_only"),
    [
        ((384, 12, 1536, 1), [40, 21, 9, 64], True),
        ((32, 2, 64, 1), [512, 1, 511], False),
        ((64, 1, 64, 2), list(range(1, 65)), True),
    ],
)
def test_large_encoders_long_sequences_and_large_batches_too(
    shape: tuple[int, ...], lengths: list[int], first_only: bool
) -> None:
    assert_equals_modules(sizes(*shape), lengths, first_only=first_only)


@settings(max_examples=25)
@given(
    head=st.sampled_from([16, 32, 48, 64]),
    heads=st.sampled_from([1, 2, 4]),
    intermediate=st.integers(1, 5),
    layers=st.integers(1, 3),
    # Not relu: among so many numbers one lies so near its kink that float32 takes the other side of it.
    act=st.sampled_from(["gelu", "gelu_tanh", "gelu_new"]),
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=7),
    first_only=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_supported_sizes_give_the_results_of_the_modules(
    head: int, heads: int, intermediate: int, layers: int, act: str, lengths: list[int], first_only: bool, seed: int
) -> None:
    if head * heads % 32:
        heads *= 2
    config = sizes(head * heads, heads, 32 * intermediate, layers, act=act)
    assert_equals_modules(config, lengths, first_only=first_only, seed=seed)


def test_a_classifier_that_averages_tokens_has_the_gradients_of_the_modules() -> None:
    encoder, batch = encoder_of(sizes()), batch_of([9, 1, 30])
    classifier = Classifier(encoder, 3, pooling="mean", dropout=0.0).train()
    classifier(batch).square().sum().backward()
    made = native(encoder)
    assert not classifier.first_only
    hidden = made.forward(batch, keep=True).requires_grad_()
    classifier.logits_of(hidden, batch.layout).square().sum().backward()
    assert hidden.grad is not None
    made.backward(hidden.grad)
    for name, gradient in gradients_of(made).items():
        wanted = encoder.get_parameter(name).grad
        assert wanted is not None
        assert distance(gradient, wanted) <= 1e-5, name


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_accumulated_gradients_are_the_sum_of_both_batches(dtype: torch.dtype, first_only: bool) -> None:
    config = sizes(64, 4, 96)
    made, batches = native(encoder_of(config), dtype, in_parts=True), (batch_of([5, 20, 1], 1), batch_of([31, 2], 2))
    gradients = [gradient_for(batch, config, first_only=first_only) for batch in batches]
    parts = [by_kernels(made, *pair, first_only=first_only) for pair in zip(batches, gradients, strict=True)]
    for number, (batch, g) in enumerate(zip(batches, gradients, strict=True)):
        made.forward(batch, keep=True, first_only=first_only)
        made.backward(g, accumulate=number > 0)
    for name, gradient in gradients_of(made).items():
        expected = parts[0].gradients[name].double() + parts[1].gradients[name].double()
        assert distance(gradient, expected) <= 1e-6, name


def test_a_gradient_that_is_not_accumulated_forgets_the_one_before() -> None:
    config = sizes()
    first, second = batch_of([30], 1), batch_of([4], 2)
    made = native(encoder_of(config))
    by_kernels(made, first, gradient_for(first, config, first_only=False))
    g = gradient_for(second, config, first_only=False)
    assert_same_bits(by_kernels(made, second, g), by_kernels(native(encoder_of(config)), second, g))


# ---- dropout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(
    "moved",
    [
        "embeddings.token.weight",
        "embeddings.position.weight",
        "embeddings.norm.weight",
        "layers.0.attention.qkv.weight",
        "layers.0.attention.qkv.bias",
        "layers.1.attention.output.bias",
        "layers.1.attention_norm.weight",
        "layers.0.feed_forward.intermediate.bias",
        "layers.1.feed_forward.output.weight",
        "layers.0.output_norm.bias",
    ],
)
def test_with_dropout_the_gradient_is_the_slope_of_the_same_seeds_result(moved: str, first_only: bool) -> None:
    config = sizes(64, 4, 96, dropout=0.3)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17])
    made, g = native(encoder), gradient_for(batch, config, first_only=first_only).double()
    got = by_kernels(made, batch, g.float(), first_only=first_only, seed=5).gradients[moved].double()
    parameter = encoder.get_parameter(moved)
    # Along the gradient itself, where the slope is its length and rounding matters least.
    direction, before = (got / got.norm()).float(), parameter.detach().clone()
    step = 3e-4 * float(before.norm())
    results = []
    for sign in (1, -1, 2, -2):
        with torch.no_grad():
            parameter.copy_(before + sign * step * direction)
        results.append(float((made.forward(batch, first_only=first_only, seed=5).double() * g).sum()))
    # Of fourth order: what a step of twice the size says corrects for curvature.
    slope = (8 * (results[0] - results[1]) - (results[2] - results[3])) / (12 * step)
    assert slope == pytest.approx(float(got.norm()), rel=3e-3)


def test_dropout_differs_between_seeds_and_is_absent_without_one() -> None:
    config = sizes(dropout=0.3)
    made, batch = native(encoder_of(config)), batch_of([9, 30])
    first, again, other = (made.forward(batch, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
    exact = by_modules(encoder_of(sizes()), batch, gradient_for(batch, config, first_only=False), torch.float64)
    assert distance(made.forward(batch), exact.hidden) <= 1e-5


def test_each_place_draws_bits_of_its_own_and_the_gradient_draws_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int | c_uint64]] = []
    draw = Workspace.draw

    def recorded(workspace: Workspace, *arguments: Any) -> tuple[int, int | c_uint64]:
        drawn.append(draw(workspace, *arguments))
        return drawn[-1]

    monkeypatch.setattr(Workspace, "draw", recorded)
    made = native(encoder_of(sizes(layers=3, dropout=0.1)))
    made.forward(batch_of([9]), seed=1, keep=True)
    forward, drawn[:] = [seed for _, seed in drawn], []
    made.backward(torch.ones(9, 32))
    assert {id(seed) for _, seed in drawn} == {id(seed) for seed in forward}
    values = [seed.value for seed in forward if isinstance(seed, c_uint64)]
    assert len(set(values)) == len(values) == 1 + 3 * 3
    made.forward(batch_of([9]), seed=2, keep=True)
    assert not {seed.value for seed in forward if isinstance(seed, c_uint64)} & set(values)


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return abs(float((a @ b) / (a.norm() * b.norm()))) * math.sqrt(a.numel())


def test_the_last_layers_attention_drops_independently_in_tokens_heads_and_sequences() -> None:
    sequences, heads, tokens = 200, 4, 64
    made = native(encoder_of(sizes(64, heads, 32, 1, dropout=0.5)))
    made.forward(batch_of([tokens] * sequences), seed=21, first_only=True, keep=True)
    # Softmax, negative where it was dropped: what the backward pass reads.
    weights = made.workspace._buffers["first.weights"].flatten()[: sequences * heads * tokens]
    mask = (weights > 0).double().view(sequences, heads, tokens)
    assert abs(float(mask.mean()) - 0.5) < 5 * math.sqrt(0.25 / mask.numel())
    for lag in (1, 2, 3):
        assert correlation(mask[:, lag:], mask[:, :-lag]) < 5
    for lag in (1, 2, 4, 100):
        assert correlation(mask[lag:], mask[:-lag]) < 5
    for lag in (1, 8, 16, 32):
        assert correlation(mask[..., lag:], mask[..., :-lag]) < 5


# ---- bfloat16 ----------------------------------------------------------------------------------------------------


def error_of(got: Answer, exact: Answer) -> dict[str, float]:
    pairs = {name: (got.gradients[name], exact.gradients[name]) for name in exact.gradients}
    pairs["hidden"] = got.hidden, exact.hidden
    return {name: float((one.double() - other).norm() / other.norm()) for name, (one, other) in pairs.items()}


@pytest.mark.parametrize("first_only", [True, False])
def test_bf16_is_as_near_to_the_exact_result_as_the_modules_in_bf16(first_only: bool) -> None:
    config = sizes(128, 4, 256, 3)
    encoder, batch = encoder_of(config), batch_of([30, 12, 1, 44, 25])
    g = gradient_for(batch, config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    modules = error_of(by_modules(encoder, batch, g, torch.bfloat16, first_only=first_only), exact)
    kernels = error_of(by_kernels(native(encoder, torch.bfloat16), batch, g, first_only=first_only), exact)
    assert kernels.keys() == modules.keys()
    for name, error in kernels.items():
        assert error <= 1.5 * modules[name], name


def error_of_parts(encoder: Encoder, batches: list[Batch], gradients: list[Tensor], *, first_only: bool) -> list[float]:
    """How far the kernels' and the modules' sums over parts are from float64: mean relative error of the matrices."""
    made, sums = native(encoder, torch.bfloat16, in_parts=True), list[dict[str, Tensor]]()
    for number, (batch, g) in enumerate(zip(batches, gradients, strict=True)):
        made.forward(batch, keep=True, first_only=first_only)
        made.backward(g, accumulate=number > 0)
    sums.append(gradients_of(made))
    pairs = list(zip(batches, gradients, strict=True))
    for dtype in (torch.bfloat16, torch.float64):
        sums.append(by_modules_in_parts(encoder, pairs, dtype, first_only=first_only).gradients)
    exact = sums.pop()
    names = [name for name in exact if name.startswith("layers.") and exact[name].dim() == 2]
    assert len(names) == 4 * 2
    return [
        sum(float((found[name].double() - exact[name]).norm() / exact[name].norm()) for name in names) / len(names)
        for found in sums
    ]


@pytest.mark.parametrize("first_only", [True, False])
def test_64_parts_in_bf16_are_as_near_to_the_exact_sum_as_the_modules(first_only: bool) -> None:
    config = sizes(128, 4, 256)
    batches = [batch_of([9, 14], seed) for seed in range(64)]
    torch.manual_seed(9)
    common = torch.randn(config.hidden_size)  # where gradients cancel, little is left to be lost in a sum
    rows = [len(batch) if first_only else batch.layout.num_tokens for batch in batches]
    gradients = [common + torch.randn(number, config.hidden_size) for number in rows]
    kernels, modules = error_of_parts(encoder_of(config), batches, gradients, first_only=first_only)
    assert kernels <= 1.3 * modules


def test_bf16_adds_up_parts_only_where_it_was_prepared_for_them() -> None:
    made, batch = native(encoder_of(sizes()), torch.bfloat16), batch_of([9, 4])
    made.forward(batch, keep=True)
    made.backward(torch.ones(13, 32))
    with pytest.raises(AssertionError, match="one part"):
        made.backward(torch.ones(13, 32), accumulate=True)


def test_bf16_takes_changed_weights_once_told() -> None:
    encoder, batch, dtype = encoder_of(sizes()), batch_of([9, 4]), torch.bfloat16
    made = native(encoder, dtype)
    before = made.forward(batch)
    with torch.no_grad():
        encoder.layers[0].feed_forward.output.weight.mul_(2)
    made.refresh_bf16_copies()
    changed = made.forward(batch)
    assert not torch.equal(before, changed)
    assert torch.equal(changed, native(encoder, dtype).forward(batch))


# ---- the same again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("first_only", [True, False])
def test_what_is_left_in_the_buffers_changes_nothing(dtype: torch.dtype, first_only: bool) -> None:
    config = sizes(64, 4, 96, dropout=0.1)
    encoder, big, small = encoder_of(config), batch_of([50, 3, 61, 20], 1), batch_of([2, 7], 2)
    made = native(encoder, dtype)
    for batch in (small, big, small, big):  # buffers grow, and do not
        g = gradient_for(batch, config, first_only=first_only)
        fresh = by_kernels(native(encoder, dtype), batch, g, first_only=first_only, seed=3)
        assert_same_bits(by_kernels(made, batch, g, first_only=first_only, seed=3), fresh)
        for kept in made.workspace._buffers.values():
            kept.fill_(torch.nan if kept.is_floating_point() else -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_evaluation_between_steps_disturbs_nothing(dtype: torch.dtype) -> None:
    config = sizes(dropout=0.1)
    made, batch = native(encoder_of(config), dtype), batch_of([9, 30])
    g = gradient_for(batch, config, first_only=True)
    before = by_kernels(made, batch, g, first_only=True, seed=1)
    alone = made.forward(batch_of([60, 2], 4))
    assert_same_bits(by_kernels(made, batch, g, first_only=True, seed=1), before)
    assert torch.equal(made.forward(batch_of([60, 2], 4)), alone)


def test_a_result_stays_what_it_was_when_the_next_batch_is_computed() -> None:
    made = native(encoder_of(sizes()))
    first = made.forward(batch_of([9, 30]))
    kept = first.clone()
    made.forward(batch_of([9, 30], 5))
    assert torch.equal(first, kept)


def test_backward_after_an_evaluation_is_refused() -> None:
    made, batch = native(encoder_of(sizes())), batch_of([9])
    made.forward(batch)
    with pytest.raises(AssertionError, match="keep"):
        made.backward(torch.ones(9, 32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_two_and_three_threads_agree_to_rounding(dtype: torch.dtype) -> None:
    config = sizes(96, 3, 160, 2, dropout=0.2)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17, 40])
    g, answers = gradient_for(batch, config, first_only=False), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        answers.append(by_kernels(native(encoder, dtype), batch, g, seed=8))
        assert_same_bits(by_kernels(native(encoder, dtype), batch, g, seed=8), answers[-1])
    allowed = 1e-5 if dtype == torch.float32 else 3e-2
    for other in answers[1:]:
        assert distance(other.hidden, answers[0].hidden) <= allowed
        for name, gradient in answers[0].gradients.items():
            assert distance(other.gradients[name], gradient) <= allowed, name


@pytest.mark.parametrize(
    ("module", "name", "value", "dtype", "lengths"),
    [
        (calls, "ROW_MULTIPLE", 1, torch.float32, [9, 30, 2]),
        (workspace, "_LEAST_ROWS_TO_TURN", 1 << 30, torch.bfloat16, [30] * 10 + [20]),  # enough rows to be turned
    ],
)
def test_what_is_done_for_speed_changes_no_result(
    module: ModuleType, name: str, value: int, dtype: torch.dtype, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sizes(64, 4, 96, dropout=0.1)
    encoder, batch = encoder_of(config), batch_of(lengths)
    g = gradient_for(batch, config, first_only=False)
    every = native(encoder, dtype)
    fast = by_kernels(every, batch, g, seed=3)
    monkeypatch.setattr(module, name, value)
    without = native(encoder, dtype)
    plain = by_kernels(without, batch, g, seed=3)
    assert distance(plain.hidden, fast.hidden) <= 1e-6
    # bfloat16 keeps 8 bits of a gradient; the sums behind them were added up in another order.
    allowed = 1e-5 if dtype == torch.float32 else 2**-8
    assert all(distance(plain.gradients[name], fast.gradients[name]) <= allowed for name in plain.gradients)
    assert done_for_speed(every) != done_for_speed(without)


def done_for_speed(made: KernelPass) -> tuple[object, ...]:
    plan = made._current
    assert plan is not None
    return plan.shape, "turned" in made.workspace._buffers


def test_calls_that_are_made_again_each_time_give_the_same_bits() -> None:
    config = sizes(64, 4, 96, dropout=0.1)
    batch = batch_of([9, 30, 2])
    g, answers, plans = gradient_for(batch, config, first_only=False), [], []
    for forgets in (False, True):
        made = native(encoder_of(config))
        for seed in (1, 2, 3):  # the first makes buffers, and calls on those before end with it
            if forgets:
                made._plans.clear()
            answers.append(by_kernels(made, batch, g, seed=seed))
            plans.append(made._current)
    for kept, again in zip(answers[:3], answers[3:], strict=True):
        assert_same_bits(again, kept)
    assert [plans[2] is plans[1], plans[5] is plans[4]] == [True, False]


@pytest.mark.parametrize("first_only", [True, False])
def test_positions_begin_at_the_offset_of_the_embeddings(first_only: bool) -> None:
    config = sizes(dropout=0.0)
    encoder, batch = encoder_of(config), batch_of([9, 30])
    g = gradient_for(batch, config, first_only=first_only)
    from_0 = by_kernels(native(encoder), batch, g, first_only=first_only)
    encoder.embeddings.positions = replace(encoder.embeddings.positions, offset=3)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    got = by_kernels(native(encoder), batch, g, first_only=first_only)
    assert distance(got.hidden, exact.hidden) <= 1e-5 < distance(from_0.hidden, exact.hidden)
    name = "embeddings.position.weight"
    assert distance(got.gradients[name], exact.gradients[name]) <= 1e-5
    assert not got.gradients[name][:3].any()


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_ids": 60}, r"token id 60 is outside 0\.\.59"),
        ({"token_ids": -1}, "token id -1"),
        ({"token_ids": 1 << 33}, "token id 8589934592"),
        ({"token_type_ids": 2}, r"token type id 2 is outside 0\.\.1"),
        ({"position_ids": 512}, r"position 512 is outside 0\.\.511"),
    ],
)
def test_an_id_beyond_its_table_is_refused(change: dict[str, int], message: str) -> None:
    batch = batch_of([3, 5])
    for name, value in change.items():
        getattr(batch, name)[4] = value
    with pytest.raises(DataError, match=message):
        native(encoder_of(sizes())).forward(batch)


def test_ids_need_not_lie_side_by_side() -> None:
    encoder, batch = encoder_of(sizes()), batch_of([9, 4])
    apart = torch.stack([batch.token_ids, batch.token_ids], dim=1).int()[:, 0]
    assert not apart.is_contiguous()
    spread = Batch(apart, batch.token_type_ids, batch.position_ids, batch.layout)
    assert torch.equal(native(encoder).forward(spread), native(encoder).forward(batch))
