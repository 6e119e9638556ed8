"""Variable-length attention without a GPU: torch's flash operators get an implementation for the processor.

It is the arithmetic that the operators are documented by, one sequence at a time, and it keeps its promise about random
bits: what it dropped forward it drops backward if, and only if, it is given its random state back.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor

from bertune.batches.batch import pack
from bertune.models.classifier import classifier_model
from bertune.models.encoder_config import EncoderConfig, Pooling
from bertune.models.modernbert import ModernBertConfig
from bertune.nn import attention, varlen_attention
from bertune.nn.varlen_attention import AttentionKernel, Stretches, attend_varlen, attention_kernel, why_not_varlen

CPU = torch.device("cpu")
STILL = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
ROTARY = ModernBertConfig(
    vocab_size=SIZES.vocab_size,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=48,
    local_attention=4,
    pad_token_id=0,
)


def mask_of(rng_state: Tensor, dropout: float, shape: torch.Size) -> Tensor:
    generator = torch.Generator().manual_seed(int(rng_state.long()[0]))
    return (torch.rand(shape, generator=generator) >= dropout) / (1 - dropout)


def mix(
    query: Tensor, key: Tensor, value: Tensor, starts: tuple[Tensor, Tensor], p: float, rng_state: Tensor
) -> Tensor:
    parts = []
    asks, bounds = (torch.stack([cu[:-1], cu[1:]], 1).tolist() for cu in starts)
    for number, ((q0, q1), (k0, k1)) in enumerate(zip(asks, bounds, strict=True)):
        q, k, v = query[q0:q1].float(), key[k0:k1].float(), value[k0:k1].float()
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        kept = mask_of(rng_state + number, p, scores.shape)
        parts.append(torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1) * kept, v))
    return torch.cat(parts).to(query.dtype)


def forward(query: Tensor, key: Tensor, value: Tensor, cu_q: Tensor, cu_k: Tensor, *numbers: Any, **_: Any) -> Any:
    _, _, dropout, is_causal, _ = numbers
    assert not is_causal
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1  # as the kernels demand
    state = torch.randint(1 << 40, (2,)).to(torch.int64)
    mixed = mix(query, key, value, (cu_q, cu_k), dropout, state)
    return mixed, torch.zeros(query.shape[1], len(query)), state, torch.zeros(()), torch.zeros(0)


def backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, *others: Any, **_: Any
) -> Any:
    cu_q, cu_k, _, _, dropout, _, state, _ = others
    assert lse.shape == (query.shape[1], len(query))
    assert torch.equal(out, mix(query, key, value, (cu_q, cu_k), dropout, state))

    def differentiate() -> Any:
        leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
        return torch.autograd.grad(mix(*leaves, (cu_q, cu_k), dropout, state), leaves, gradient)  # type: ignore[call-arg]

    # An operator runs below autograd; another thread does not.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(differentiate).result()


def forgetful_backward(*arguments: Any, **settings: Any) -> Any:
    *before, state, unused = arguments
    found = list(before)
    found[4] = mix(*before[1:4], (before[6], before[7]), before[10], state + 99)  # type: ignore[call-arg]
    return backward(*found, state + 99, unused)


def registered(backward: Any) -> torch.library.Library:
    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", forward, "CPU")
    library.impl("_flash_attention_backward", backward, "CPU")
    return library


@pytest.fixture
def flash() -> Iterator[None]:
    library = registered(backward)
    yield
    library._destroy()


@pytest.fixture(autouse=True)
def _forget_choices() -> Iterator[None]:
    varlen_attention._chosen.cache_clear()
    yield
    varlen_attention._chosen.cache_clear()


# ---- what it computes -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize("config", [STILL, ROTARY], ids=["learned positions", "rotary positions"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_packed_attention_gives_the_logits_and_gradients_of_the_rectangles(
    pooling: Pooling, config: EncoderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = classifier_model(config, 2, pooling=pooling)[0].train()
    batch = pack(make_dataset(9, 1).encoded)
    found = []
    for name in ("plain", "varlen"):
        monkeypatch.setattr(attention, "attention_kernel", lambda *_, name=name: AttentionKernel(name))
        logits = classifier(batch)
        loss = logits.square().sum()
        found.append((logits, *torch.autograd.grad(loss, list(classifier.parameters()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("flash")
def test_it_drops_while_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "attention_kernel", lambda *_: AttentionKernel("varlen"))
    classifier = make_classifier(config=replace(STILL, attention_probs_dropout_prob=0.5))
    batch = pack(make_dataset(9, 1).encoded)
    classifier.train()
    assert not torch.equal(classifier(batch), classifier(batch))
    classifier.eval()
    assert torch.equal(classifier(batch), classifier(batch))


@pytest.mark.usefixtures("flash")
def test_the_check_finds_the_right_kernel_right() -> None:
    assert varlen_attention._failure(varlen_attention._check_varlen, CPU, torch.float32, 8) is None
    before = torch.get_rng_state()
    assert varlen_attention._failure(varlen_attention._check_varlen, CPU, torch.bfloat16, 8) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_the_check_finds_a_backward_pass_that_draws_other_bits() -> None:
    library = registered(forgetful_backward)
    try:
        wrong = varlen_attention._failure(varlen_attention._check_varlen, CPU, torch.float32, 8)
    finally:
        library._destroy()
    assert wrong is not None
    assert wrong.startswith("it is off by")


@pytest.mark.usefixtures("flash")
def test_the_check_works_inside_inference_mode() -> None:
    with torch.inference_mode():
        assert varlen_attention._failure(varlen_attention._check_varlen, CPU, torch.float32, 8) is None


def test_the_gradients_belong_to_queries_keys_and_values_in_this_order() -> None:
    library = registered(lambda *arguments, **_: tuple(torch.full_like(arguments[i], float(i)) for i in (1, 2, 3)))
    try:
        parts = [torch.randn(4, 2, 8, requires_grad=True) for _ in range(3)]
        cu = torch.tensor([0, 1, 4], dtype=torch.int32)
        mixed = attend_varlen(*parts, asking=Stretches(cu, 3), asked=Stretches(cu, 3))
        gradients = torch.autograd.grad(mixed.sum(), parts)
    finally:
        library._destroy()
    assert [float(gradient.mean()) for gradient in gradients] == [1.0, 2.0, 3.0]


# ---- which kernel ---------------------------------------------------------------------------------------------------


def test_this_release_of_torch_calls_the_operators_as_they_are_called_here() -> None:
    assert varlen_attention.why_not_callable() is None


@pytest.mark.parametrize("change", ["other name", "one more without default", "fewer results", "gone"])
def test_operators_that_are_called_otherwise_are_not_called(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def argument(name: str, has_default: bool) -> Any:
        return SimpleNamespace(name=name, has_default_value=lambda: has_default)

    arguments = [argument(name, False) for name in varlen_attention._FORWARD] + [argument("scale", True)]
    schema = SimpleNamespace(arguments=arguments, returns=[None] * 5)
    if change == "other name":
        arguments[7] = argument("dropout", False)
    if change == "one more without default":
        arguments.append(argument("window", False))
    if change == "fewer results":
        schema.returns = [None] * 3
    operator = SimpleNamespace(default=SimpleNamespace(_schema=schema))
    found = SimpleNamespace() if change == "gone" else SimpleNamespace(_flash_attention_forward=operator)
    monkeypatch.setattr(torch.ops, "aten", found)
    reason = varlen_attention.why_not_callable()
    assert reason is not None
    assert "_flash_attention_forward" in reason
    assert "has no" in reason if change == "gone" else "otherwise" in reason


@pytest.mark.parametrize(
    ("dtype", "head_size", "capability", "reason"),
    [
        (torch.float32, 64, (9, 0), "it needs bf16, the layers compute in float32"),
        (torch.bfloat16, 12, (9, 0), "heads have 12 columns, not a multiple of 8 up to 256"),
        (torch.bfloat16, 264, (9, 0), "heads have 264 columns, not a multiple of 8 up to 256"),
        (torch.bfloat16, 64, (7, 5), "the GPU is older than compute capability 8.0"),
    ],
)
def test_what_the_kernel_cannot_do_is_said(
    dtype: torch.dtype, head_size: int, capability: tuple[int, int], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert why_not_varlen(torch.device("cuda:0"), dtype, head_size) == reason


def test_the_kernels_are_tried_in_order_and_each_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such\nkernel")

    # Checks run on the processor in the place of a GPU.
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    chosen = varlen_attention._chosen.__wrapped__
    monkeypatch.setattr(varlen_attention, "_check_varlen", lambda *_: None)
    assert chosen(CPU, torch.bfloat16, 64, False) == AttentionKernel("varlen")
    assert chosen(CPU, torch.bfloat16, 64, True).reason == "no variable-length attention: it is switched off"
    monkeypatch.setattr(varlen_attention, "_check_varlen", broken)
    second = chosen(CPU, torch.bfloat16, 64, False)
    assert second == AttentionKernel("padded", "no variable-length attention: no such kernel")
    monkeypatch.setattr(varlen_attention, "_check_padded", broken)
    third = chosen(CPU, torch.bfloat16, 64, False)
    assert third.name == "plain"
    assert third.reason == "no variable-length attention: no such kernel; no padded attention: no such kernel"


def test_a_processor_computes_as_before() -> None:
    assert attention_kernel(CPU, torch.bfloat16, 64) == AttentionKernel("plain")


def test_padded_attention_with_dropout_keeps_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = make_classifier(config=replace(STILL, attention_probs_dropout_prob=0.3))
    batch = pack(make_dataset(9, 1).encoded)
    expected = classifier.eval()(batch)
    monkeypatch.setattr(attention, "attention_kernel", lambda *_: AttentionKernel("padded"))
    classifier.train()
    with torch.no_grad():
        drawn = np.stack([classifier(batch).numpy() for _ in range(300)])
    assert drawn.std(axis=0).min() > 0
    np.testing.assert_allclose(drawn.mean(axis=0), expected.detach().numpy(), atol=0.02)
