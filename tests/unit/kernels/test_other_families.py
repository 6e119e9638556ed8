"""The compiled pass of DeBERTa, MPNet, ALBERT and small ELECTRA against their modules."""

from ctypes import c_uint64
from dataclasses import replace
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
)

from bertune.errors import DataError
from bertune.kernels import relative_layer
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.workspace import Workspace
from bertune.models.albert import AlbertConfig
from bertune.models.deberta import DebertaV2Config
from bertune.models.distilbert import DistilBertConfig
from bertune.models.electra import ElectraConfig
from bertune.models.encoder_config import EncoderConfig
from bertune.models.modernbert import ModernBertConfig
from bertune.models.mpnet import MpnetConfig

pytestmark = pytest.mark.usefixtures("compiler")

LONGEST = 96
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BODY: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    **STILL,
    "max_position_embeddings": LONGEST,
}
DEBERTA = DebertaV2Config(**BODY, position_buckets=16)
FAMILIES: dict[str, EncoderConfig] = {
    "DeBERTa": DEBERTA,
    "DeBERTa, keys": replace(DEBERTA, pos_att_type="c2p", type_vocab_size=2),
    "DeBERTa, queries": replace(DEBERTA, pos_att_type="p2c", position_biased_input=True),
    "DeBERTa, no buckets": replace(DEBERTA, position_buckets=-1, max_relative_positions=20),
    "DeBERTa, more buckets than distances": replace(DEBERTA, position_buckets=150),
    "MPNet": MpnetConfig(**{**BODY, "max_position_embeddings": LONGEST + 2}),
    "ALBERT": AlbertConfig(**BODY, embedding_size=32),
    "ALBERT, as wide": AlbertConfig(**BODY, embedding_size=64),
    "ELECTRA, small": ElectraConfig(**BODY, embedding_size=32),
}
ONE_EACH = ("DeBERTa", "MPNet", "ALBERT", "ELECTRA, small")


def assert_equals_modules(config: EncoderConfig, lengths: list[int], *, first_only: bool, seed: int = 0) -> None:
    encoder, batch = encoder_of(config, seed), batch_of(lengths, seed)
    g = gradient_for(batch, config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    got = by_kernels(native(encoder), batch, g, first_only=first_only)
    assert distance(got.hidden, exact.hidden) <= 1e-5
    assert got.gradients.keys() == exact.gradients.keys()
    most = max(float(gradient.abs().max()) for gradient in exact.gradients.values())
    for name, gradient in exact.gradients.items():
        # What is nothing but rounding, such as that of what all keys of distances have in common, has no distance.
        if float(gradient.abs().max()) > 1e-6 * most:
            assert distance(got.gradients[name], gradient) <= 1e-4, name
        else:
            assert float(got.gradients[name].abs().max()) <= 1e-5 * most, name


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("lengths", [[1], [3, 1, 40, 1], [17] * 9, [5, 33, 64, 65], [LONGEST, 1, LONGEST - 1]])
@pytest.mark.parametrize("family", FAMILIES)
def test_results_and_gradients_are_those_of_the_modules(family: str, lengths: list[int], first_only: bool) -> None:
    assert_equals_modules(FAMILIES[family], lengths, first_only=first_only)


@settings(max_examples=20, deadline=None)
@given(
    head=st.sampled_from([16, 32, 48]),
    buckets=st.integers(2, 100),
    lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=5),
    first_only=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_buckets_and_lengths_give_the_results_of_the_modules(
    head: int, buckets: int, lengths: list[int], first_only: bool, seed: int
) -> None:
    sizes = {"hidden_size": 2 * head, "num_attention_heads": 2, "num_hidden_layers": 2, "position_buckets": buckets}
    assert_equals_modules(replace(DEBERTA, **sizes), lengths, first_only=first_only, seed=seed)


@pytest.mark.parametrize("family", ["DeBERTa", "MPNet"])
def test_sequences_as_long_as_those_of_released_encoders_too(family: str) -> None:
    sizes = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "max_position_embeddings": 514}
    config = replace(FAMILIES[family], **sizes)
    if isinstance(config, DebertaV2Config):
        config = replace(config, position_buckets=256, max_position_embeddings=512)
    assert_equals_modules(config, [512, 1, 300], first_only=False)


def test_the_encoders_shape_of_deberta_v3_small_is_computed() -> None:
    config = replace(DebertaV2Config(vocab_size=60, num_hidden_layers=2), **STILL)
    assert_equals_modules(config, [53, 20, 103], first_only=True)


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ONE_EACH)
def test_accumulated_gradients_are_the_sum_of_both_batches(family: str, dtype: torch.dtype, first_only: bool) -> None:
    config = FAMILIES[family]
    made, batches = native(encoder_of(config), dtype, in_parts=True), (batch_of([5, 20, 1], 1), batch_of([31, 2], 2))
    gradients = [gradient_for(batch, config, first_only=first_only) for batch in batches]
    parts = [by_kernels(made, *pair, first_only=first_only) for pair in zip(batches, gradients, strict=True)]
    for number, (batch, g) in enumerate(zip(batches, gradients, strict=True)):
        made.forward(batch, keep=True, first_only=first_only)
        made.backward(g, accumulate=number > 0)
    for name, gradient in gradients_of(made).items():
        expected = parts[0].gradients[name].double() + parts[1].gradients[name].double()
        assert distance(gradient, expected) <= 2e-6, name


# ---- dropout -----------------------------------------------------------------------------------------------------


MOVED = {
    "DeBERTa": [
        "relative_positions.table.weight",
        "relative_positions.norm.weight",
        "relative_positions.norm.bias",
        "layers.0.attention.qkv.weight",
        "layers.2.attention.qkv.bias",
        "embeddings.token.weight",
    ],
    "MPNet": ["relative.table.weight", "layers.0.attention.qkv.weight", "embeddings.token.weight"],
    "ALBERT": [
        "layers.0.attention.qkv.weight",
        "layers.0.feed_forward.output.weight",
        "layers.0.output_norm.bias",
        "embeddings.projection.weight",
        "embeddings.projection.bias",
    ],
    "ELECTRA, small": ["embeddings.projection.weight", "embeddings.token.weight", "embeddings.norm.weight"],
}


def with_dropout(config: EncoderConfig, probability: float) -> EncoderConfig:
    return replace(config, hidden_dropout_prob=probability, attention_probs_dropout_prob=probability)


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(("family", "moved"), [(family, name) for family in MOVED for name in MOVED[family]])
def test_with_dropout_the_gradient_is_the_slope_of_the_same_seeds_result(
    family: str, moved: str, first_only: bool
) -> None:
    config = with_dropout(FAMILIES[family], 0.3)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17])
    made, g = native(encoder), gradient_for(batch, config, first_only=first_only).double()
    got = by_kernels(made, batch, g.float(), first_only=first_only, seed=5).gradients[moved].double()
    parameter = encoder.get_parameter(moved)
    direction, before = (got / got.norm()).float(), parameter.detach().clone()
    # Matrices are drawn otherwise on another processor, and some bend within ten times this step; a bias is short.
    step = (3e-5 if before.dim() == 2 else 3e-4) * float(before.norm())
    results = []
    for sign in (1, -1, 2, -2):
        with torch.no_grad():
            parameter.copy_(before + sign * step * direction)
        results.append(float((made.forward(batch, first_only=first_only, seed=5).double() * g).sum()))
    slope = (8 * (results[0] - results[1]) - (results[2] - results[3])) / (12 * step)
    assert slope == pytest.approx(float(got.norm()), rel=3e-3)


@pytest.mark.parametrize("family", ONE_EACH)
def test_dropout_differs_between_seeds_and_is_absent_without_one(family: str) -> None:
    config = with_dropout(FAMILIES[family], 0.3)
    made, batch = native(encoder_of(config)), batch_of([9, 30])
    first, again, other = (made.forward(batch, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
    still = encoder_of(FAMILIES[family])
    exact = by_modules(still, batch, gradient_for(batch, config, first_only=False), torch.float64)
    assert distance(made.forward(batch), exact.hidden) <= 1e-5


# Embeddings, and in each layer attention and what follows on it and on the feed-forward part.
PLACES = {"DeBERTa": 1 + 3 * 3 + 3, "MPNet": 1 + 3 * 3, "ALBERT": 1 + 3 * 3, "ELECTRA, small": 1 + 3 * 3}


@pytest.mark.parametrize("family", ONE_EACH)
def test_each_place_draws_bits_of_its_own_and_the_gradient_draws_them_again(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, int | c_uint64]] = []
    draw = Workspace.draw

    def recorded(workspace: Workspace, *arguments: Any) -> tuple[int, int | c_uint64]:
        drawn.append(draw(workspace, *arguments))
        return drawn[-1]

    monkeypatch.setattr(Workspace, "draw", recorded)
    made = native(encoder_of(with_dropout(FAMILIES[family], 0.1)))
    made.forward(batch_of([9]), seed=1, keep=True)
    forward, drawn[:] = [seed for _, seed in drawn], []
    made.backward(torch.ones(9, 64))
    assert {id(seed) for _, seed in drawn} == {id(seed) for seed in forward}
    values = [seed.value for seed in forward if isinstance(seed, c_uint64)]
    assert len(set(values)) == len(values) == PLACES[family]


# ---- bfloat16 ----------------------------------------------------------------------------------------------------


def error_of(got: Answer, exact: Answer) -> dict[str, float]:
    pairs = {name: (got.gradients[name], exact.gradients[name]) for name in exact.gradients}
    pairs["hidden"] = got.hidden, exact.hidden
    return {name: float((one.double() - other).norm() / other.norm()) for name, (one, other) in pairs.items()}


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("family", ONE_EACH)
def test_bf16_is_as_near_to_the_exact_result_as_the_modules_in_bf16(family: str, first_only: bool) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 256}
    encoder, batch = encoder_of(replace(FAMILIES[family], **sizes)), batch_of([30, 12, 1, 44, 25, 71, 80, 33])
    g = gradient_for(batch, encoder.config, first_only=first_only)
    exact = by_modules(encoder, batch, g, torch.float64, first_only=first_only)
    modules = error_of(by_modules(encoder, batch, g, torch.bfloat16, first_only=first_only), exact)
    kernels = error_of(by_kernels(native(encoder, torch.bfloat16), batch, g, first_only=first_only), exact)
    assert kernels.keys() == modules.keys()
    for name, error in kernels.items():
        assert error <= 1.5 * modules[name], name


def test_shared_layers_in_bf16_add_up_their_uses_as_the_modules_do() -> None:
    """12 uses of one matrix: a sum in bfloat16 would lose more than each of them does."""
    config = replace(FAMILIES["ALBERT"], num_hidden_layers=12)
    kernels, modules = 0.0, 0.0
    for seed in range(6):  # so many layers enlarge what the first one rounds, by chance more or less
        encoder, batch = encoder_of(config, seed), batch_of([30, 12, 44, 25], seed)
        g = gradient_for(batch, config, first_only=True)
        exact = by_modules(encoder, batch, g, torch.float64, first_only=True)
        theirs = error_of(by_modules(encoder, batch, g, torch.bfloat16, first_only=True), exact)
        made = native(encoder, torch.bfloat16)
        ours = error_of(by_kernels(made, batch, g, first_only=True), exact)
        matrices = [name for name, value in made.gradients.items() if name.startswith("layers.") and value.dim() == 2]
        assert len(matrices) == 4
        assert all(made.gradients[name].dtype == torch.float32 for name in matrices)
        kernels += sum(ours[name] for name in matrices)
        modules += sum(theirs[name] for name in matrices)
    assert kernels <= 1.3 * modules


@pytest.mark.parametrize("family", ONE_EACH)
def test_32_parts_in_bf16_are_as_near_to_the_exact_sum_as_the_modules(family: str) -> None:
    config = replace(FAMILIES[family], num_hidden_layers=2)
    encoder = encoder_of(config)
    batches = [batch_of([9, 14], seed) for seed in range(32)]
    torch.manual_seed(9)
    common = torch.randn(config.hidden_size)
    gradients = [common + torch.randn(2, config.hidden_size) for _ in batches]
    made, pairs = native(encoder, torch.bfloat16, in_parts=True), list(zip(batches, gradients, strict=True))
    for number, (batch, g) in enumerate(pairs):
        made.forward(batch, keep=True, first_only=True)
        made.backward(g, accumulate=number > 0)
    found = [gradients_of(made), by_modules_in_parts(encoder, pairs, torch.bfloat16, first_only=True).gradients]
    exact = by_modules_in_parts(encoder, pairs, torch.float64, first_only=True).gradients
    kernels, modules = (
        sum(float((one[name].double() - exact[name]).norm() / exact[name].norm()) for name in exact) for one in found
    )
    assert kernels <= 1.3 * modules


@pytest.mark.parametrize("family", ONE_EACH)
def test_bf16_takes_changed_weights_once_told(family: str) -> None:
    encoder, batch, dtype = encoder_of(FAMILIES[family]), batch_of([9, 4]), torch.bfloat16
    made = native(encoder, dtype)
    before = made.forward(batch)
    with torch.no_grad():
        encoder.layers[0].attention.qkv.weight.mul_(2)
    made.refresh_bf16_copies()
    changed = made.forward(batch)
    assert not torch.equal(before, changed)
    assert torch.equal(changed, native(encoder, dtype).forward(batch))


@pytest.mark.parametrize("family", ONE_EACH)
def test_packed_matrices_predict_the_same(family: str) -> None:
    encoder, batch = encoder_of(FAMILIES[family]), batch_of([9, 44, 1])
    for first_only in (True, False):
        plain, packed = (
            KernelPass(encoder, torch.bfloat16, prepack=prepack).forward(batch, first_only=first_only)
            for prepack in (False, True)
        )
        assert distance(packed, plain) <= 2e-2


# ---- the same again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("family", ONE_EACH)
def test_what_is_left_in_the_buffers_changes_nothing(family: str, dtype: torch.dtype, first_only: bool) -> None:
    config = with_dropout(FAMILIES[family], 0.1)
    encoder, big, small = encoder_of(config), batch_of([50, 3, 61, 20], 1), batch_of([2, 7], 2)
    made = native(encoder, dtype)
    for batch in (small, big, small, big):  # buffers grow, and do not
        g = gradient_for(batch, config, first_only=first_only)
        fresh = by_kernels(native(encoder, dtype), batch, g, first_only=first_only, seed=3)
        assert_same_bits(by_kernels(made, batch, g, first_only=first_only, seed=3), fresh)
        for name, kept in made.workspace._buffers.items():
            # Ids of tables that an encoder does not have are 0 for good.
            if name != "ids":
                kept.fill_(torch.nan if kept.is_floating_point() else -1)


WITHOUT_TABLES: dict[str, EncoderConfig] = {
    **FAMILIES,
    "DistilBERT": DistilBertConfig(**BODY),
    "ModernBERT": ModernBertConfig(**{**BODY, "pad_token_id": 0}, local_attention=8),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", WITHOUT_TABLES)
def test_a_text_alone_is_rounded_to_fewer_rows_and_has_the_same_result(family: str, dtype: torch.dtype) -> None:
    encoder = encoder_of(WITHOUT_TABLES[family])
    made = native(encoder, dtype)
    for length in (1, 15, 16, 17, 50, LONGEST):
        for first_only in (True, False):
            batch = batch_of([length])
            rounded = KernelPass(encoder, dtype).forward(batch, first_only=first_only, keep=True)
            alone = made.forward(batch, first_only=first_only)
            assert made._current is not None
            assert made._current.shape.padded == -(-length // 16) * 16
            assert distance(alone, rounded) <= (1e-5 if dtype == torch.float32 else 2e-2)
            for name, kept in made.workspace._buffers.items():
                if name not in ("ids", "cu"):
                    kept.fill_(torch.nan if kept.is_floating_point() else -1)
            assert torch.equal(made.forward(batch, first_only=first_only), alone)


@pytest.mark.parametrize("family", WITHOUT_TABLES)
def test_a_batch_of_another_shape_in_between_changes_no_bit(family: str) -> None:
    """Shapes share the memory of their ids: where a table is not there, the ids of the other one must not be read."""
    encoder = encoder_of(WITHOUT_TABLES[family])
    kernels = native(encoder)
    small, large = batch_of([5, 9]), batch_of([90, 64, 80], seed=1)
    with torch.no_grad():
        before = kernels.forward(small)
        kernels.forward(large)
        assert torch.equal(kernels.forward(small), before)
        assert distance(before, encoder.encode(small)) <= 1e-5


@pytest.mark.parametrize("family", ONE_EACH)
def test_one_two_and_three_threads_agree_to_rounding(family: str) -> None:
    config = with_dropout(FAMILIES[family], 0.2)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17, 40])
    g, answers = gradient_for(batch, config, first_only=False), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        answers.append(by_kernels(native(encoder), batch, g, seed=8))
        assert_same_bits(by_kernels(native(encoder), batch, g, seed=8), answers[-1])
    for other in answers[1:]:
        assert distance(other.hidden, answers[0].hidden) <= 1e-5
        for name, gradient in answers[0].gradients.items():
            assert distance(other.gradients[name], gradient) <= 1e-4, name


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize("family", ["DeBERTa", "MPNet"])
def test_probabilities_that_would_take_too_much_memory_are_computed_again(
    family: str, first_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_dropout(FAMILIES[family], 0.1)
    encoder, batch = encoder_of(config), batch_of([9, 1, 30, 17, 40])
    g, answers, keeps = gradient_for(batch, config, first_only=first_only), [], []
    for most in (relative_layer._MOST_KEPT, 0):
        monkeypatch.setattr(relative_layer, "_MOST_KEPT", most)
        made = native(encoder)
        answers.append(by_kernels(made, batch, g, first_only=first_only, seed=8))
        keeps.append("0.kept" in made.workspace._buffers)
    assert keeps == [True, False]
    assert torch.equal(answers[0].hidden, answers[1].hidden)
    for name, gradient in answers[0].gradients.items():
        assert distance(answers[1].gradients[name], gradient) <= 1e-4, name


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share_att_key": False}, "products of their own"),
        ({"norm_rel_ebd": "none"}, "have no norm"),
    ],
)
def test_what_released_encoders_do_not_have_is_left_to_torch(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NoKernelsError, match=message):
        KernelPass(encoder_of(replace(DEBERTA, **change)), torch.float32)


def test_a_table_or_a_scale_that_was_changed_is_left_to_torch() -> None:
    encoder = encoder_of(DEBERTA)
    assert encoder.relative_positions is not None
    encoder.layers[1].attention.scale *= 2
    with pytest.raises(NoKernelsError, match="scale of scores"):
        KernelPass(encoder, torch.float32)
    encoder = encoder_of(DEBERTA)
    assert encoder.relative_positions is not None
    encoder.relative_positions.table = type(encoder.embeddings.token)(8, 64)
    with pytest.raises(NoKernelsError, match=r"relative_positions.table.weight has not the shape"):
        KernelPass(encoder, torch.float32)
    encoder = encoder_of(FAMILIES["MPNet"])
    assert encoder.relative is not None
    encoder.relative.table = type(encoder.embeddings.token)(8, 4)
    with pytest.raises(NoKernelsError, match=r"relative.table.weight has not the shape"):
        KernelPass(encoder, torch.float32)


def test_embeddings_that_do_not_fill_vectors_are_left_to_torch() -> None:
    with pytest.raises(NoKernelsError, match=r"embedding_size \(16\) is no multiple of 32"):
        KernelPass(encoder_of(AlbertConfig(**BODY, embedding_size=16)), torch.float32)


def test_a_position_beyond_the_limit_is_refused() -> None:
    batch = batch_of([LONGEST + 1])
    with pytest.raises(DataError, match=f"position {LONGEST}"):
        native(encoder_of(DEBERTA)).forward(batch)
