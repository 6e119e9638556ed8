"""The compiled pass of ModernBERT against its modules: windows, gates, results, gradients, dropout, bfloat16."""

from ctypes import c_uint64
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
    distance,
    encoder_of,
    gradient_for,
    gradients_of,
    modern_sizes,
    native,
)

from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.prepacked import can_prepack
from bertune.kernels.workspace import Workspace
from bertune.models.encoder import Encoder
from bertune.models.modernbert import ModernBertConfig
from bertune.nn.attention import SelfAttention
from bertune.nn.dense import Table

pytestmark = pytest.mark.usefixtures("compiler")
DTYPES = [torch.float32, torch.bfloat16]


def assert_equals_modules(config: ModernBertConfig, lengths: list[int], *, first_only: bool, seed: int = 0) -> None:
    encoder, batch = encoder_of(config, seed), batch_of(lengths, seed)
    g = gradient_for(batch, config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    got = by_kernels(native(encoder), batch, g, first_only=first_only)
    assert distance(got.hidden, exact.hidden) <= 1e-5
    assert got.gradients.keys() == exact.gradients.keys()
    for name, gradient in exact.gradients.items():
        # The modules turn queries and keys in float32, whatever the type; so their gradients have its rounding too.
        assert distance(got.gradients[name], gradient) <= 1e-4, name


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize(
    ("shape", "window", "bias", "lengths"),
    [
        ((32, 2, 32, 1), 8, False, [1]),
        ((32, 1, 96, 3), 8, True, [3, 1, 40, 1]),
        ((64, 4, 128, 4), 32, False, [17] * 9),
        ((96, 2, 160, 5), 10, True, [5, 33, 64, 65]),
        ((128, 2, 64, 4), 2, False, [12, 7, 30]),
    ],
)
def test_results_and_gradients_are_those_of_the_modules(
    shape: tuple[int, ...], window: int, bias: bool, lengths: list[int], act: str, first_only: bool
) -> None:
    config = modern_sizes(*shape, window=window, act=act, bias=bias)
    assert_equals_modules(config, lengths, first_only=first_only)


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(
    ("shape", "window", "lengths"),
    [
        ((32, 2, 64, 2), 128, [300, 1, 129, 64, 65, 66]),  # several times the window, and blocks of 128 keys
        ((64, 1, 64, 2), 40, [257, 511]),
        ((64, 1, 64, 3), 1024, [70, 700]),  # a window that takes in several blocks and ends within one
        ((384, 6, 576, 2), 16, [40, 21, 9, 64]),
    ],
)
def test_long_sequences_and_large_encoders_too(
    shape: tuple[int, ...], window: int, lengths: list[int], first_only: bool
) -> None:
    assert_equals_modules(modern_sizes(*shape, window=window), lengths, first_only=first_only)


@settings(max_examples=20)
@given(
    head=st.sampled_from([16, 32, 48, 64, 80]),
    heads=st.sampled_from([1, 2, 4]),
    intermediate=st.integers(1, 5),
    layers=st.integers(1, 4),
    window=st.integers(1, 100),
    bias=st.booleans(),
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=6),
    first_only=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_supported_sizes_give_the_results_of_the_modules(
    head: int,
    heads: int,
    intermediate: int,
    layers: int,
    window: int,
    bias: bool,
    lengths: list[int],
    first_only: bool,
    seed: int,
) -> None:
    if head * heads % 32:
        heads *= 2
    config = modern_sizes(head * heads, heads, 32 * intermediate, layers, window=window, bias=bias)
    assert_equals_modules(config, lengths, first_only=first_only, seed=seed)


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_accumulated_gradients_are_the_sum_of_both_batches(dtype: torch.dtype, first_only: bool) -> None:
    config = modern_sizes(64, 2, 96, bias=True)
    made, batches = native(encoder_of(config), dtype, in_parts=True), (batch_of([5, 60, 1], 1), batch_of([31, 2], 2))
    gradients = [gradient_for(batch, config, first_only=first_only) for batch in batches]
    parts = [by_kernels(made, *pair, first_only=first_only) for pair in zip(batches, gradients, strict=True)]
    for number, (batch, g) in enumerate(zip(batches, gradients, strict=True)):
        made.forward(batch, keep=True, first_only=first_only)
        made.backward(g, accumulate=number > 0)
    for name, gradient in gradients_of(made).items():
        expected = parts[0].gradients[name].double() + parts[1].gradients[name].double()
        assert distance(gradient, expected) <= 1e-6, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_table_of_a_few_tokens_gives_the_same(dtype: torch.dtype) -> None:
    """As training has it: the rows of the tokens that occur, found by their ids."""
    config, batch = modern_sizes(), batch_of([40, 7])
    g = gradient_for(batch, config, first_only=False)
    encoder = encoder_of(config)
    whole = by_kernels(native(encoder, dtype), batch, g)
    table, ids = encoder.input_embeddings, batch.token_ids.unique()
    assert isinstance(table, Table)
    table.row_of = torch.full((config.vocab_size,), -1)
    table.row_of[ids] = torch.arange(len(ids))
    table.weight = torch.nn.Parameter(table.weight.detach()[ids])
    small = by_kernels(native(encoder, dtype), batch, g)
    small.gradients["embeddings.token.weight"] = torch.zeros(config.vocab_size, config.hidden_size).index_copy_(
        0, ids, small.gradients["embeddings.token.weight"]
    )
    assert_same_bits(small, whole)


@pytest.mark.skipif(not can_prepack(torch.bfloat16), reason="products of packed weights are not to be had here")
@pytest.mark.parametrize("first_only", [True, False])
def test_packed_weights_give_the_same(first_only: bool) -> None:
    encoder, batch = encoder_of(modern_sizes(64, 2, 96, bias=True)), batch_of([40, 7, 100])
    plain = KernelPass(encoder, torch.bfloat16).forward(batch, first_only=first_only)
    packed = KernelPass(encoder, torch.bfloat16, prepack=True)
    assert packed.prepacked
    assert distance(packed.forward(batch, first_only=first_only), plain) <= 2e-2


# ---- dropout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(
    "moved",
    [
        "embeddings.token.weight",
        "embeddings.norm.weight",
        "layers.0.attention.qkv.weight",
        "layers.0.attention.qkv.bias",
        "layers.1.attention.output.bias",
        "layers.1.attention_norm.weight",
        "layers.0.feed_forward_norm.bias",
        "layers.0.feed_forward.input_and_gate.weight",
        "layers.1.feed_forward.input_and_gate.bias",
        "layers.1.feed_forward.output.weight",
        "layers.0.feed_forward.output.bias",
        "final_norm.weight",
    ],
)
def test_with_dropout_the_gradient_is_the_slope_of_the_same_seeds_result(moved: str, first_only: bool) -> None:
    config = modern_sizes(64, 4, 96, 2, dropout=0.3, bias=True)
    encoder, batch = encoder_of(config), batch_of([9, 1, 40, 17])
    made, g = native(encoder), gradient_for(batch, config, first_only=first_only).double()
    got = by_kernels(made, batch, g.float(), first_only=first_only, seed=5).gradients[moved].double()
    parameter = encoder.get_parameter(moved)
    # Along the gradient itself, where the slope is its length and rounding matters least.
    direction, before = (got / got.norm()).float(), parameter.detach().clone()
    step = 3e-4 * max(float(before.norm()), 4.0)  # below, rounding would be seen
    results = []
    for sign in (1, -1, 2, -2):
        with torch.no_grad():
            parameter.copy_(before + sign * step * direction)
        results.append(float((made.forward(batch, first_only=first_only, seed=5).double() * g).sum()))
    # Of fourth order: what a step of twice the size says corrects for curvature.
    slope = (8 * (results[0] - results[1]) - (results[2] - results[3])) / (12 * step)
    assert slope == pytest.approx(float(got.norm()), rel=3e-3)


def test_dropout_differs_between_seeds_and_is_absent_without_one() -> None:
    made, batch = native(encoder_of(modern_sizes(dropout=0.3))), batch_of([9, 30])
    first, again, other = (made.forward(batch, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
    assert torch.equal(made.forward(batch), native(encoder_of(modern_sizes())).forward(batch))


@pytest.mark.parametrize("part", ["attention", "feed_forward", "embeddings", ""])
def test_each_of_the_four_dropouts_is_drawn(part: str) -> None:
    encoder, batch = encoder_of(modern_sizes(layers=1)), batch_of([9, 30])
    before = native(encoder).forward(batch, seed=1)
    owner = encoder.embeddings if part == "embeddings" else encoder.layers[0].get_submodule(part)
    owner.dropout.probability = 0.5
    assert not torch.allclose(native(encoder).forward(batch, seed=1), before, atol=0.1)


def test_each_place_draws_bits_of_its_own_and_the_gradient_draws_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int | c_uint64]] = []
    draw = Workspace.draw

    def recorded(workspace: Workspace, *arguments: Any) -> tuple[int, int | c_uint64]:
        drawn.append(draw(workspace, *arguments))
        return drawn[-1]

    monkeypatch.setattr(Workspace, "draw", recorded)
    made = native(encoder_of(modern_sizes(layers=3, dropout=0.1)))
    made.forward(batch_of([9]), seed=1, keep=True)
    forward, drawn[:] = [seed for _, seed in drawn], []
    made.backward(torch.ones(9, 32))
    assert {id(seed) for _, seed in drawn} == {id(seed) for seed in forward}
    values = [seed.value for seed in forward if isinstance(seed, c_uint64)]
    assert len(set(values)) == len(values) == 1 + 3 * 3


# ---- bfloat16 ----------------------------------------------------------------------------------------------------


def error_of(got: Answer, exact: Answer) -> dict[str, float]:
    pairs = {name: (got.gradients[name], exact.gradients[name]) for name in exact.gradients}
    pairs["hidden"] = got.hidden, exact.hidden
    return {name: float((one.double() - other).norm() / other.norm()) for name, (one, other) in pairs.items()}


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(("window", "lengths"), [(16, [30, 12, 1, 144, 25]), (128, [200, 300])])
def test_bf16_is_as_near_to_the_exact_result_as_the_modules_in_bf16(
    window: int, lengths: list[int], first_only: bool
) -> None:
    config = modern_sizes(128, 2, 256, 3, window=window)
    encoder, batch = encoder_of(config), batch_of(lengths)
    g = gradient_for(batch, config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    modules = error_of(by_modules(encoder, batch, g, torch.bfloat16, first_only=first_only), exact)
    kernels = error_of(by_kernels(native(encoder, torch.bfloat16), batch, g, first_only=first_only), exact)
    assert kernels.keys() == modules.keys()
    for name, error in kernels.items():
        assert error <= 1.5 * modules[name], name


# ---- the same again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first_only", [True, False])
def test_what_is_left_in_the_buffers_changes_nothing(dtype: torch.dtype, first_only: bool) -> None:
    config = modern_sizes(64, 4, 96, dropout=0.1)
    encoder, big, small = encoder_of(config), batch_of([50, 3, 161, 20], 1), batch_of([2, 7], 2)
    made = native(encoder, dtype)
    for batch in (small, big, small, big):  # buffers grow, and do not
        g = gradient_for(batch, config, first_only=first_only)
        fresh = by_kernels(native(encoder, dtype), batch, g, first_only=first_only, seed=3)
        assert_same_bits(by_kernels(made, batch, g, first_only=first_only, seed=3), fresh)
        for kept in made.workspace._buffers.values():
            kept.fill_(torch.nan if kept.is_floating_point() else -1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_two_and_three_threads_agree_to_rounding(dtype: torch.dtype) -> None:
    config = modern_sizes(96, 3, 160, 4, dropout=0.2, bias=True)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17, 140])
    g, answers = gradient_for(batch, config, first_only=False), []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        answers.append(by_kernels(native(encoder, dtype), batch, g, seed=8))
        assert_same_bits(by_kernels(native(encoder, dtype), batch, g, seed=8), answers[-1])
    torch.set_num_threads(before)
    allowed = 1e-5 if dtype == torch.float32 else 3e-2
    for other in answers[1:]:
        assert distance(other.hidden, answers[0].hidden) <= allowed
        for name, gradient in answers[0].gradients.items():
            assert distance(other.gradients[name], gradient) <= allowed, name


# ---- what is refused ---------------------------------------------------------------------------------------------


def other_attention(encoder: Encoder) -> None:
    encoder.layers[1].attention = SelfAttention(32, 2, dropout=0.0, bias=False)


def other_layer(encoder: Encoder) -> None:
    encoder.layers[1] = torch.nn.Identity()


def narrow_gate(encoder: Encoder) -> None:
    gate = encoder.layers[0].feed_forward.input_and_gate
    gate.weight = torch.nn.Parameter(gate.weight.detach()[:64].clone())


def added_bias(encoder: Encoder) -> None:
    encoder.layers[0].attention.output.bias = torch.nn.Parameter(torch.zeros(16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_attention, "no kernel for a PreNormLayer with a SelfAttention"),
        (other_layer, "layers.1 is a Identity"),
        (narrow_gate, "layers.0.feed_forward.input_and_gate.weight has not the shape"),
        (added_bias, "layers.0.attention.output.bias has not the shape"),
        (lambda encoder: encoder.final_norm.register_forward_hook(lambda *_: None), "final_norm has a hook"),
    ],
)
def test_an_encoder_that_was_changed_is_computed_by_its_modules(change: Any, message: str) -> None:
    encoder = encoder_of(modern_sizes())
    change(encoder)
    with pytest.raises(NoKernelsError, match=message):
        KernelPass(encoder, torch.float32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (modern_sizes(act="silu"), "hidden_act silu has no kernel"),
        (modern_sizes(intermediate=48), r"intermediate_size \(48\) is no multiple of 32"),
        (modern_sizes(32, 4), r"the size of a head \(8\) is no multiple of 16"),
    ],
)
def test_what_has_no_kernel_is_computed_by_the_modules(config: ModernBertConfig, message: str) -> None:
    with pytest.raises(NoKernelsError, match=message):
        KernelPass(encoder_of(config), torch.float32)
