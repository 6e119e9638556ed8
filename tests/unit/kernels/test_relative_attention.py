"""Attention to whose scores distances add, against autograd in float64; the bits it drops are read from its results."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests.unit.kernels.calls import Kernels, RelativeCase
from tests.unit.kernels.conftest import DTYPES, older_processors
from torch import Tensor

from bertune.kernels.interface import NO_DROPOUT, Draw

Get = Callable[[torch.dtype], Kernels]
CompileFor = Callable[[str, torch.dtype], Kernels]
KINDS = {
    "numbers": (True, False, False),
    "keys": (False, True, False),
    "queries": (False, False, True),
    "both": (False, True, True),
}
ALLOWED = {torch.float32: 2e-5, torch.bfloat16: 2e-2}


def case_of(
    kind: str,
    lengths: list[int],
    heads: int,
    size: int,
    dtype: torch.dtype = torch.float32,
    *,
    first_only: bool = False,
) -> RelativeCase:
    """Random, with vectors that far distances share and some that no distance has."""
    has_numbers, asked, asking = KINDS[kind]
    torch.manual_seed(sum(lengths) + heads * size)
    longest, tokens, h = max(lengths), sum(lengths), heads * size
    distances = torch.arange(1 - longest, longest)
    vector_of = (distances.sign() * (distances.abs() + 3).clamp(max=12) + 15).int()
    vectors = 0 if has_numbers else 31
    return RelativeCase(
        torch.randn(tokens + vectors, 3 * h).to(dtype),
        torch.randn(3 * h),
        torch.randn(len(lengths) if first_only else tokens, h).to(dtype),
        lengths,
        heads,
        torch.randn(heads, 2 * longest - 1) if has_numbers else None,
        None if has_numbers else vector_of,
        asked,
        asking,
        first_only,
    )


def exact(case: RelativeCase, masks: list[Tensor] | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """By autograd: the output, and the gradients of qkv, its bias, and the numbers."""
    qkv, bias = case.qkv.double().requires_grad_(), case.bias.double().requires_grad_()
    numbers = None if case.numbers is None else case.numbers.double().requires_grad_()
    tokens, longest, size = sum(case.lengths), max(case.lengths), case.qkv.shape[1] // (3 * case.heads)
    heads = (qkv + bias).view(-1, 3, case.heads, size).permute(1, 2, 0, 3)
    scale = 1 / math.sqrt(size * (1 + case.asked + case.asking))
    results, start = [], 0
    for number, length in enumerate(case.lengths):
        q, k, v = heads[:, :, start : start + length]
        start += length
        place = torch.arange(length)
        distance = place[:, None] - place[None] + longest - 1
        scores = q @ k.transpose(1, 2) * scale
        if numbers is not None:
            scores = scores + numbers[:, 2 * longest - 2 - distance]
        else:
            assert case.vector_of is not None
            vectors = case.vector_of[distance].long() + tokens
            if case.asked:
                scores = scores + torch.einsum("hid,hijd->hij", q, heads[1][:, vectors]) * scale
            if case.asking:
                scores = scores + torch.einsum("hjd,hijd->hij", k, heads[0][:, vectors]) * scale
        p = torch.softmax(scores, dim=-1)
        if masks is not None:
            p = p * masks[number]
        results.append((p @ v)[:, : 1 if case.first_only else length].transpose(0, 1).flatten(1))
    out = torch.cat(results)
    out.backward(case.dout.double())
    assert qkv.grad is not None
    assert bias.grad is not None
    return out.detach(), qkv.grad, bias.grad, None if numbers is None else numbers.grad


def assert_equal(
    call: Kernels, case: RelativeCase, draw: Draw | None = None, masks: list[Tensor] | None = None
) -> None:
    expected = exact(case, masks)
    for keeps in (False, True):
        got = call.relative_attention(case, NO_DROPOUT if draw is None else draw, keeps=keeps)
        for name, one, other in zip(("out", "dqkv", "dbias", "dnumbers"), got, expected, strict=True):
            if other is None:
                continue
            assert not one.isnan().any(), name
            # Of a single token no score has a gradient.
            scale = float(other.abs().max()) or 1.0
            assert float((one.double() - other).abs().max()) <= ALLOWED[case.qkv.dtype] * scale, name


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize(("heads", "size"), [(1, 16), (3, 32), (2, 48), (2, 64), (1, 80)])
@pytest.mark.parametrize("lengths", [[1], [1, 2, 1], [31, 33, 16], [64, 5, 17], [129, 15]])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_and_gradients_are_those_of_autograd(
    kernels: Get, dtype: torch.dtype, kind: str, lengths: list[int], heads: int, size: int, first_only: bool
) -> None:
    case = case_of(kind, lengths, heads, size, dtype, first_only=first_only)
    assert_equal(Kernels(kernels(dtype).library, dtype, 2), case)


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_heads_may_begin_and_end_in_any_thread(kernels: Get, kind: str, threads: int) -> None:
    call = Kernels(kernels(torch.float32).library, torch.float32, threads)
    case = case_of(kind, [40, 3, 1, 25, 70, 8], 3, 32)
    assert_equal(call, case)
    for one, again in zip(call.relative_attention(case), call.relative_attention(case), strict=True):
        assert torch.equal(one, again)


@pytest.mark.parametrize("march", older_processors())
@pytest.mark.parametrize("kind", KINDS)
def test_older_processors_get_the_same_numbers(compiled_for: CompileFor, march: str, kind: str) -> None:
    for first_only in (False, True):
        case = case_of(kind, [33, 1, 36], 2, 48, first_only=first_only)
        assert_equal(compiled_for(march, torch.float32), case)


# ---- dropout -----------------------------------------------------------------------------------------------------


def dropped(call: Kernels, case: RelativeCase, draw: Draw) -> list[Tensor]:
    """What probabilities are multiplied by: values are unit vectors, and scores equal."""
    size, tokens = case.qkv.shape[1] // (3 * case.heads), sum(case.lengths)
    assert size >= max(case.lengths)
    plain = torch.zeros(len(case.qkv), 3, case.heads, size, dtype=case.qkv.dtype)
    starts = [sum(case.lengths[:number]) for number in range(len(case.lengths))]
    for start, length in zip(starts, case.lengths, strict=True):
        plain[start : start + length, 2] = torch.eye(size)[:length, None]
    numbers = None if case.numbers is None else torch.zeros_like(case.numbers)
    even = replace(case, qkv=plain.flatten(1), bias=torch.zeros_like(case.bias), numbers=numbers)
    out = call.relative_attention(even, draw)[0].view(-1, case.heads, size)
    rows = [1] * len(case.lengths) if case.first_only else case.lengths
    assert len(out) == (len(case.lengths) if case.first_only else tokens)
    return [
        (one[..., :length] * length).transpose(0, 1).double()
        for one, length in zip(out.split(rows), case.lengths, strict=True)
    ]


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_multiplies_probabilities_and_the_gradients_know_the_same_bits(
    kernels: Get, kind: str, first_only: bool
) -> None:
    case, draw = case_of(kind, [33, 1, 47, 20], 2, 48, first_only=first_only), Draw(20000, 77)
    call = kernels(torch.float32)
    masks = dropped(call, case, draw)
    scale = 65536 / (65536 - 20000)
    found = torch.cat([mask.flatten() for mask in masks])
    assert bool(((found < 1e-6) | ((found - scale).abs() < 1e-5)).all())
    assert float((found < 1e-6).double().mean()) == pytest.approx(20000 / 65536, abs=0.06 if first_only else 0.02)
    if first_only:  # the first row is dropped as in whole attention, whose shape the formula has
        masks = [mask.expand(-1, mask.shape[2], -1) for mask in masks]
    assert_equal(call, case, draw, masks)


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return abs(float((a @ b) / (a.norm() * b.norm()))) * math.sqrt(a.numel())


def test_it_drops_independently_in_rows_heads_and_sequences(kernels: Get) -> None:
    masks = dropped(kernels(torch.float32), case_of("both", [64] * 40, 4, 64), Draw(32768, 21))
    mask = (torch.stack(masks, 1) > 0).double()
    assert abs(float(mask.mean()) - 0.5) < 5 * math.sqrt(0.25 / mask.numel())
    assert correlation(mask[0], mask[1]) < 5
    assert correlation(mask[:, :-1], mask[:, 1:]) < 5
    assert correlation(mask[:, :, :-1], mask[:, :, 1:]) < 5
    assert correlation(mask[..., :-1], mask[..., 1:]) < 5
