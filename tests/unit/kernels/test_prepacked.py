"""Weights laid out for the product: the same results, and only where torch has what it takes."""

import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.kernels.encoder_worlds import batch_of, distance, encoder_of, sizes

from bertune.evaluation import logits
from bertune.kernels import prepacked, workspace
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.prepacked import LatestProduct, PackedMatrix, can_prepack
from bertune.models.classifier import Classifier
from bertune.nn.exact_products import fast_float32_products
from bertune.tokenization.encoded_examples import EncodedExamples

BF16 = torch.bfloat16


@pytest.fixture
def tried_again() -> Iterator[None]:
    for tried in (prepacked._is_exact, prepacked._is_same):
        tried.cache_clear()
    yield
    for tried in (prepacked._is_exact, prepacked._is_same):
        tried.cache_clear()


@pytest.fixture
def operators() -> None:
    if not can_prepack(BF16):
        pytest.skip("torch has no products of packed weights for this processor")


@pytest.fixture
def float32_operators() -> None:
    if not can_prepack(torch.float32):
        pytest.skip("another library multiplies float32 here, or gives other bits")


@pytest.mark.usefixtures("operators")
@settings(max_examples=40)
@given(rows=st.integers(1, 300), inputs=st.integers(1, 200), outputs=st.integers(1, 200))
def test_a_packed_product_is_the_product(rows: int, inputs: int, outputs: int) -> None:
    torch.manual_seed(rows)
    x, weight = torch.randn(rows, inputs).to(BF16), torch.randn(outputs, inputs).to(BF16)
    exact = x.double() @ weight.double().t()
    into = LatestProduct()
    into.compute(x, PackedMatrix(weight))
    assert into._tensor is not None
    assert into.address.value == into._tensor.data_ptr()
    assert into._tensor.shape == (rows, outputs)
    assert into._tensor.is_contiguous()
    assert float((into._tensor.double() - exact).abs().max()) <= 2**-8 * float(exact.abs().max()) + 1e-5


@pytest.mark.usefixtures("tried_again")
def test_float32_is_left_to_torch_where_another_library_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepacked, "are_of_onednn", lambda: False)
    assert not can_prepack(torch.float32)


@pytest.mark.usefixtures("float32_operators")
@settings(max_examples=40)
@given(rows=st.integers(8, 300), inputs=st.integers(1, 25), outputs=st.integers(1, 25))
def test_a_packed_product_of_float32_has_the_bits_of_the_product(rows: int, inputs: int, outputs: int) -> None:
    torch.manual_seed(rows)
    x, weight = torch.randn(rows, 16 * inputs), torch.randn(16 * outputs, 16 * inputs)
    with torch.inference_mode(), fast_float32_products():
        assert torch.equal(PackedMatrix(weight).product(x), x @ weight.t())


@pytest.mark.usefixtures("tried_again")
@pytest.mark.parametrize(
    "mkldnn",
    [
        SimpleNamespace(_reorder_linear_weight=lambda w: w, _linear_pointwise=lambda x, w, *_: (x @ w.t()).double()),
        SimpleNamespace(
            _reorder_linear_weight=lambda w: w, _linear_pointwise=lambda x, w, *_: (x.double() @ w.double().t()).float()
        ),
    ],
    ids=["another type", "other bits"],
)
def test_float32_is_left_to_torch_where_the_bits_differ(mkldnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepacked, "are_of_onednn", lambda: True)
    monkeypatch.setattr(torch, "ops", SimpleNamespace(mkldnn=mkldnn))
    assert not can_prepack(torch.float32)


class Absent:
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _refused(*_: Any) -> Any:
    raise RuntimeError("mkldnn bf16 path needs the cpu support avx512bw, avx512vl and avx512dq")


@pytest.mark.usefixtures("tried_again")
@pytest.mark.parametrize(
    "mkldnn",
    [
        Absent(),
        SimpleNamespace(_reorder_linear_weight=_refused),
        SimpleNamespace(_reorder_linear_weight=lambda weight: weight, _linear_pointwise=_refused),
        # One that gives something else: the product with a matrix whose rows stand in another order, or float32.
        SimpleNamespace(_reorder_linear_weight=lambda w: w.flip(0), _linear_pointwise=lambda x, w, *_: x @ w.t()),
        SimpleNamespace(_reorder_linear_weight=lambda w: w, _linear_pointwise=lambda x, w, *_: (x @ w.t()).float()),
    ],
    ids=["none", "no layout", "no product", "wrong", "another type"],
)
def test_operators_that_are_missing_or_wrong_are_not_used(mkldnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "ops", SimpleNamespace(mkldnn=mkldnn))
    assert not can_prepack(BF16)


# ---- in the pass -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("compiler", "operators")
@pytest.mark.parametrize("first_only", [True, False])
def test_a_pass_with_packed_weights_gives_the_same(first_only: bool) -> None:
    encoder = encoder_of(sizes(64, 4, 96, 3))
    plain, packed = KernelPass(encoder, BF16), KernelPass(encoder, BF16, prepack=True)
    assert packed.prepacked
    assert not packed.bf16_copies  # memory holds each matrix once
    with torch.inference_mode():
        for lengths in ([30, 12, 1], [64, 3], [5], [30, 12, 1]):
            batch = batch_of(lengths)
            expected = plain.forward(batch, first_only=first_only)
            assert distance(packed.forward(batch, first_only=first_only), expected) <= 2e-2
    assert len(packed.workspace._packed) == 4 * 3 - first_only  # the last layer for [CLS] alone has no product for keys


@pytest.mark.usefixtures("compiler", "operators")
def test_a_pass_with_packed_weights_keeps_nothing_for_a_backward_pass() -> None:
    with pytest.raises(AssertionError, match="packed"):
        KernelPass(encoder_of(sizes()), BF16, prepack=True).forward(batch_of([3]), keep=True)


@pytest.mark.usefixtures("compiler")
def test_a_pass_that_is_no_longer_needed_leaves_its_memory_at_once() -> None:
    made = KernelPass(encoder_of(sizes()), BF16, prepack=True)
    made.forward(batch_of([9, 3]))
    is_alive = weakref.ref(made)
    gc.disable()  # which would find it later, with all that has gathered until then
    try:
        del made
        assert is_alive() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("compiler", "operators")
@pytest.mark.parametrize(("examples", "packs"), [(3, False), (300, True)])
def test_prediction_packs_where_there_is_enough_to_predict(
    examples: int, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[KernelPass] = []

    def made(*arguments: Any, **keywords: Any) -> KernelPass:
        passes.append(KernelPass(*arguments, **keywords))
        return passes[-1]

    monkeypatch.setattr(logits, "KernelPass", made)
    encoder = encoder_of(sizes(64, 4, 96))
    encoder.compute_dtype = BF16
    classifier = Classifier(encoder, 3, pooling="mean")
    data = some_examples(examples)
    answers = [logits.predict_logits(classifier, data)]
    monkeypatch.setattr(workspace, "can_prepack", lambda dtype: False)
    answers.append(logits.predict_logits(classifier, data))
    assert [made.prepacked for made in passes] == [packs, False]
    np.testing.assert_allclose(*answers, atol=2e-2)


@pytest.mark.usefixtures("compiler", "float32_operators")
def test_only_a_model_for_requests_without_end_packs_float32_and_answers_with_the_same_bits() -> None:
    classifier = Classifier(encoder_of(sizes(64, 4, 96)), 3, pooling="mean")
    data = some_examples(300)
    answers = []
    for tokens in (None, 1 << 30):
        with logits.computing_logits(classifier, tokens=tokens) as compute:
            answers.append(compute(data, batch_tokens=64))
    np.testing.assert_array_equal(*answers)


def some_examples(count: int) -> EncodedExamples:
    lengths = 3 + np.arange(count) % 20
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.random.default_rng(0).integers(0, 60, starts[-1])
    return EncodedExamples(
        ids.astype(np.uint16), starts, lengths.astype(np.int32), np.zeros(count, np.bool_), max_length=32
    )
