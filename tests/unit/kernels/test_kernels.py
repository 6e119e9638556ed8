"""Each kernel against torch in float64, on this processor and as older ones compile it."""

import ctypes
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.unit.kernels.calls import Kernels
from tests.unit.kernels.conftest import DTYPES, older_processors
from torch import Tensor

from bertune.kernels import build, interface
from bertune.kernels.interface import ACTIVATION_CODES, NO_DROPOUT, Draw
from bertune.kernels.self_check import check_numbers

Get = Callable[[torch.dtype], Kernels]
CompileFor = Callable[[str, torch.dtype], Kernels]
UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}


def exact_activation(x: Tensor, name: str) -> Tensor:
    """In forms that lose nothing where the result is tiny."""
    if name == "relu":
        return torch.relu(x)
    if name == "gelu_tanh":
        return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * torch.special.erfc(-x / math.sqrt(2))


def range_of_inputs(dtype: torch.dtype) -> Tensor:
    extremes = torch.tensor([0.0, -0.0, 100.0, -100.0, 1e4, -1e4, 1e-20, -1e-20])
    x = torch.cat([torch.linspace(-12, 12, 32 * 400 - len(extremes)), extremes])
    return x.view(-1, 64).to(dtype)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_are_those_of_float64(kernels: Get, dtype: torch.dtype, name: str) -> None:
    x = range_of_inputs(dtype)
    got = kernels(dtype).activation(x, torch.zeros(64), ACTIVATION_CODES[name])
    expected = exact_activation(x.double(), name)
    # The tail is exp of a rounded square: at -12 of 72, which costs 72 units in the last place.
    tail = 1 + x.double().square().clamp(max=144) / 2
    allowed = (8 * UNIT[torch.float32] * tail + UNIT[dtype]) * expected.abs() + 1e-34  # exp ends at 1e-38
    assert bool(((got.double() - expected).abs() <= allowed).all())


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_slopes_are_those_of_float64(kernels: Get, dtype: torch.dtype, name: str) -> None:
    x = range_of_inputs(dtype)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    dx, dbias = kernels(dtype).activation_backward(g, x, torch.zeros(64), ACTIVATION_CODES[name])
    exact = x.double().requires_grad_()
    (exact_activation(exact, name) * g.double()).sum().backward()
    assert exact.grad is not None
    # A slope is a sum of terms of size 1 at most, which cancel in the tail. It is rounded, and so is the product.
    rounded = 0 if dtype == torch.float32 else UNIT[dtype]
    allowed = (2e-6 + UNIT[dtype] + 1.01 * rounded) * exact.grad.abs() + 4e-7 * g.double().abs()
    assert bool(((dx.double() - exact.grad).abs() <= allowed).all())
    of_sum = 1e-5 * exact.grad.sum(dim=0).abs() + 2e-5 + rounded * exact.grad.abs().sum(dim=0)
    assert bool(((dbias.double() - exact.grad.sum(dim=0)).abs() <= of_sum).all())


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_not_a_number_stays_one(kernels: Get, dtype: torch.dtype, name: str) -> None:
    x = torch.full((1, 32), torch.nan).to(dtype)
    assert bool(kernels(dtype).activation(x, torch.zeros(32), ACTIVATION_CODES[name]).isnan().all())


def test_the_bias_is_added_before_the_activation(kernels: Get) -> None:
    x, bias = torch.randn(7, 64), torch.randn(64)
    got = kernels(torch.float32).activation(x, bias, ACTIVATION_CODES["gelu"])
    torch.testing.assert_close(got.double(), exact_activation(x.double() + bias.double(), "gelu"), rtol=1e-5, atol=1e-6)


def norm_inputs(rows: int, width: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    torch.manual_seed(width)
    x, residual, g1, g2 = (torch.randn(rows, width).to(dtype) for _ in range(4))
    bias, gamma, beta = (torch.randn(width) for _ in range(3))
    return x, residual, g1, g2, bias, gamma, beta


@pytest.mark.parametrize("width", [32, 64, 96, 384, 1024])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_norm_and_its_gradients_are_those_of_autograd(
    kernels: Get, dtype: torch.dtype, width: int, threads: int
) -> None:
    x, residual, g1, g2, bias, gamma, beta = norm_inputs(9, width, dtype)
    call = Kernels(kernels(dtype).library, dtype, threads)
    out, statistics = call.norm(x, bias, residual, gamma, beta)
    exact = [tensor.double().requires_grad_() for tensor in (x, bias, residual, gamma, beta)]
    summed = exact[0] + exact[1] + exact[2]
    expected = torch.nn.functional.layer_norm(summed, (width,), exact[3], exact[4], 1e-12)
    assert_near(out, expected, dtype)
    assert_near(statistics[0], summed.mean(dim=1), torch.float32)
    for gradients in ((g1, g2), (g1, None)):
        dx, dresidual, sums = call.norm_backward(gradients, x, bias, residual, gamma, statistics)
        incoming = sum(gradient.double() for gradient in gradients if gradient is not None)
        wanted = torch.autograd.grad(expected, exact, incoming, retain_graph=True)
        for got, want in ((dx, wanted[0]), (dresidual, wanted[2])):
            assert_near(got, want, dtype)
        for got, want in zip(sums, (wanted[3], wanted[4], wanted[1]), strict=True):
            assert_near(got, want, torch.float32)


def assert_near(got: Tensor, expected: Tensor, dtype: torch.dtype, *, units: float = 40, roundings: int = 1) -> None:
    """Rounded so many times to the type, computed in float32 before that."""
    largest = float(expected.detach().abs().max())
    allowed = roundings * UNIT[dtype] * expected.abs() + units * UNIT[torch.float32] * largest
    assert bool(((got.double() - expected).abs() <= allowed).all())


def test_a_norm_drops_what_is_added_to_the_residual_alone(kernels: Get) -> None:
    x, residual, *_, bias, gamma, beta = norm_inputs(40, 64, torch.float32)
    draw, call = Draw(32768, 5), kernels(torch.float32)
    out, statistics = call.norm(x, bias, residual, gamma, beta, draw)
    g = torch.randn(40, 64)
    dx, dresidual, _ = call.norm_backward((g, None), x, bias, residual, gamma, statistics, draw)
    keep = dx / dresidual
    assert set(keep.round(decimals=4).unique().tolist()) == {0.0, 2.0}
    expected = torch.nn.functional.layer_norm(residual + (x + bias) * keep, (64,), gamma, beta, 1e-12)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


# ---- dropout -----------------------------------------------------------------------------------------------------


def bits(kernels: Get, seed: int, threshold: int = 6554, rows: int = 2048, width: int = 512) -> Tensor:
    """1 where kept, 0 where dropped; a million of them."""
    return (kernels(torch.float32).embedding_mask(rows, width, Draw(threshold, seed)) > 0).double()


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return abs(float((a @ b) / (a.norm() * b.norm()))) * math.sqrt(a.numel())


@pytest.mark.parametrize("threshold", [1, 655, 6554, 32768, 65000])
def test_dropout_keeps_the_share_it_should_and_the_scale_makes_up_for_it_exactly(kernels: Get, threshold: int) -> None:
    mask = kernels(torch.float32).embedding_mask(2048, 512, Draw(threshold, 3))
    scale = 65536 / (65536 - threshold)
    assert set(mask.unique().tolist()) <= {0.0, torch.tensor(scale, dtype=torch.float32).item()}
    dropped = threshold / 65536
    assert abs(float((mask == 0).double().mean()) - dropped) < 5 * math.sqrt(dropped * (1 - dropped) / mask.numel())


@pytest.mark.parametrize("lag", [1, 2, 8, 15, 16, 17, 31, 32, 64, 512, 513, 16384])
def test_what_is_dropped_says_nothing_about_its_neighbours(kernels: Get, lag: int) -> None:
    mask = bits(kernels, 11).flatten()
    assert correlation(mask[lag:], mask[:-lag]) < 5


@pytest.mark.parametrize("difference", [1, 2, 512, 1 << 31, 1 << 32, 1 << 48, (1 << 32) + 1])
def test_seeds_that_differ_in_one_bit_drop_independently(kernels: Get, difference: int) -> None:
    first, second = bits(kernels, 1234567), bits(kernels, 1234567 ^ difference)
    assert correlation(first, second) < 5
    # nor is one the other, moved
    assert correlation(first.flatten()[:-32], second.flatten()[32:]) < 5


def test_patterns_of_eight_neighbours_are_as_frequent_as_chance_makes_them(kernels: Get) -> None:
    mask = bits(kernels, 99, threshold=32768).long().view(-1, 8)
    counts = torch.bincount(mask @ (2 ** torch.arange(8)), minlength=256).double()
    expected = mask.shape[0] / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_square - 255) < 6 * math.sqrt(2 * 255)


def test_each_place_is_dropped_as_often_as_others_over_many_seeds(kernels: Get) -> None:
    runs = 2000
    kept = sum(bits(kernels, seed, threshold=32768, rows=4, width=64) for seed in range(runs))
    assert isinstance(kept, Tensor)
    chi_square = float(((kept - runs / 2) ** 2 / (runs / 4)).sum())
    assert abs(chi_square - 256) < 6 * math.sqrt(2 * 256)


def test_the_same_seed_drops_the_same_whatever_the_threads(kernels: Get) -> None:
    library = kernels(torch.float32).library
    masks = [Kernels(library, torch.float32, threads).embedding_mask(37, 64, Draw(6554, 8)) for threads in (1, 1, 2, 3)]
    assert all(torch.equal(masks[0], mask) for mask in masks[1:])


def attention_mask(kernels: Get, lengths: list[int], heads: int, seed: int) -> Tensor:
    """(heads, tokens, 64): values are unit vectors and scores equal, so that each output is a dropped probability."""
    tokens, size = sum(lengths), 64
    qkv = torch.zeros(tokens, 3, heads, size)
    start = 0
    for length in lengths:
        qkv[start : start + length, 2] = torch.eye(size)[:length, None]
        start += length
    out, _, _ = kernels(torch.float32).attention(
        qkv.view(tokens, -1),
        torch.zeros(3 * heads * size),
        torch.zeros(tokens, heads * size),
        lengths,
        heads,
        Draw(32768, seed),
    )
    return out.view(tokens, heads, size).transpose(0, 1) > 0


def test_attention_drops_independently_in_rows_heads_and_sequences(kernels: Get) -> None:
    mask = attention_mask(kernels, [64] * 40, 4, 21).double().view(4, 40, 64, 64)
    assert abs(float(mask.mean()) - 0.5) < 5 * math.sqrt(0.25 / mask.numel())
    assert correlation(mask[0], mask[1]) < 5
    assert correlation(mask[:, :-1], mask[:, 1:]) < 5
    assert correlation(mask[:, :, :-1], mask[:, :, 1:]) < 5
    assert correlation(mask[..., :-1], mask[..., 1:]) < 5


def test_a_norm_drops_independently_in_rows_and_columns(kernels: Get) -> None:
    x, residual, *_, bias, gamma, beta = norm_inputs(4096, 256, torch.float32)
    call, draw = kernels(torch.float32), Draw(32768, 21)
    _, statistics = call.norm(x, bias, residual, gamma, beta, draw)
    dx, dresidual, _ = call.norm_backward((torch.randn(4096, 256), None), x, bias, residual, gamma, statistics, draw)
    mask = (dx / dresidual > 0).double()
    assert abs(float(mask.mean()) - 0.5) < 5 * math.sqrt(0.25 / mask.numel())
    for lag in (1, 2, 7, 16, 1024):
        assert correlation(mask[lag:], mask[:-lag]) < 5
    for lag in (1, 2, 8, 16, 32):
        assert correlation(mask[:, lag:], mask[:, :-lag]) < 5


# ---- attention ---------------------------------------------------------------------------------------------------


def exact_attention(qkv: Tensor, lengths: list[int], heads: int) -> Tensor:
    size = qkv.shape[1] // (3 * heads)
    results = []
    for rows in qkv.split(lengths):
        q, k, v = rows.view(-1, 3, heads, size).permute(1, 2, 0, 3)
        results.append(torch.softmax(q @ k.transpose(1, 2) / math.sqrt(size), dim=-1) @ v)
    return torch.cat([result.transpose(0, 1).flatten(1) for result in results])


@pytest.mark.parametrize(("heads", "size"), [(1, 16), (3, 16), (2, 32), (2, 48), (1, 64), (2, 80), (1, 128)])
@pytest.mark.parametrize("lengths", [[1], [1, 2, 1], [31, 33], [64, 5, 32, 16, 17], [129, 15]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_and_its_gradients_are_those_of_autograd(
    kernels: Get, dtype: torch.dtype, heads: int, size: int, lengths: list[int]
) -> None:
    torch.manual_seed(heads * size)
    tokens, h = sum(lengths), heads * size
    qkv, dout, bias = torch.randn(tokens, 3 * h).to(dtype), torch.randn(tokens, h).to(dtype), torch.randn(3 * h)
    out, gradient, dbias = Kernels(kernels(dtype).library, dtype, 2).attention(qkv, bias, dout, lengths, heads)
    exact_qkv, exact_bias = qkv.double().requires_grad_(), bias.double().requires_grad_()
    expected = exact_attention(exact_qkv + exact_bias, lengths, heads)
    expected.backward(dout.double())
    assert exact_qkv.grad is not None
    assert exact_bias.grad is not None
    assert_near(out, expected, dtype)
    assert_near(gradient, exact_qkv.grad, dtype, units=100)
    assert_near(dbias, exact_bias.grad, torch.float32, units=100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_queries_keys_and_values_may_lie_behind_each_other(kernels: Get, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lengths = [5, 33, 1]
    qkv, dout, bias = torch.randn(39, 96).to(dtype), torch.randn(39, 32).to(dtype), torch.randn(96)
    call, draw = Kernels(kernels(dtype).library, dtype, 2), Draw(9000, 5)
    out, gradient, dbias = call.attention(qkv, bias, dout, lengths, 2, draw)
    behind = torch.stack(qkv.chunk(3, dim=1)).contiguous()
    again, split, same_bias = call.attention(behind, bias, dout, lengths, 2, draw, apart=True)
    assert torch.equal(again, out)
    assert torch.equal(torch.cat(split.unbind(0), dim=1), gradient)
    assert torch.equal(same_bias, dbias)


def test_large_scores_neither_overflow_nor_spread(kernels: Get) -> None:
    """Scores of some thousands: all probability on one key, so each token gets exactly that key's value."""
    qkv = torch.zeros(3, 3, 16)
    qkv[:, 0, 0], qkv[:, 1, 0] = 100.0, torch.tensor([-300.0, 0.0, 300.0])
    qkv[:, 2] = torch.arange(3.0)[:, None]
    out, gradient, _ = kernels(torch.float32).attention(qkv.view(3, 48), torch.zeros(48), torch.ones(3, 16), [3], 1)
    assert bool((out == 2).all())
    assert bool(gradient.isfinite().all())


# ---- bfloat16 and older processors ---------------------------------------------------------------------------------


def hard_to_round() -> Tensor:
    """Numbers between, at and beside the middles of neighbouring bfloat16 numbers, and the ends of the range."""
    torch.manual_seed(0)
    words = torch.randint(-(1 << 31), 1 << 31, (20_000,), dtype=torch.int64).to(torch.int32)
    middles = (words & -65536) | 0x8000
    everything = torch.cat([words, middles, middles - 1, middles + 1]).view(torch.float32)
    usual = everything[(everything.abs() >= 2.0**-126) | (everything == 0)]  # smaller ones may become 0
    finite = usual[usual.isfinite()]  # a step makes infinity not-a-number
    return torch.cat([finite, torch.tensor([0.0, -0.0, 3.4028234e38, -3.4028234e38, 2.0**-126])])


def assert_rounded_to_even(call: Kernels) -> None:
    value = hard_to_round()
    for count in (len(value), 16 * 7 + 5, 3):  # whole vectors, and what is left of them
        assert torch.equal(call.narrowed(value[-count:].clone()), value[-count:].bfloat16())
    assert bool(call.narrowed(torch.full((21,), math.nan)).isnan().all())


def test_bf16_is_rounded_to_nearest_with_ties_to_even(kernels: Get) -> None:
    assert_rounded_to_even(kernels(torch.float32))
    x, bias = torch.randn(50, 64).bfloat16(), torch.randn(64)
    x[7, 5], bias[6] = torch.inf, torch.inf
    expected = torch.relu(x.float() + bias).bfloat16()
    assert torch.equal(kernels(torch.bfloat16).activation(x, bias, ACTIVATION_CODES["relu"]), expected)


@pytest.mark.parametrize("march", older_processors())
@pytest.mark.parametrize("dtype", DTYPES)
def test_older_processors_get_the_same_numbers(
    kernels: Get, compiled_for: CompileFor, march: str, dtype: torch.dtype
) -> None:
    ours, theirs = kernels(dtype), compiled_for(march, dtype)
    check_numbers(theirs.library, dtype)
    assert_rounded_to_even(theirs)
    x, residual, g1, g2, bias, gamma, beta = norm_inputs(9, 96, dtype)
    qkv, qkv_bias, dout = torch.randn(70, 288).to(dtype), torch.randn(288), torch.randn(70, 96).to(dtype)
    results = []
    for call in (ours, theirs):
        out, statistics = call.norm(x, bias, residual, gamma, beta)
        found = [out, *call.norm_backward((g1, g2), x, bias, residual, gamma, statistics)]
        for kind in (0, 1, 2):
            found += [call.activation(x, bias, kind), *call.activation_backward(g1, x, bias, kind)]
        found += call.attention(qkv, qkv_bias, dout, [33, 1, 36], 2)
        results.append(found)
    for one, other in zip(*results, strict=True):
        assert_near(other, one.double(), one.dtype, units=60, roundings=2)


def assert_gradient_draws_the_masks_of_the_result(call: Kernels) -> None:
    """Attention is linear in the values: <out, dout> = <v, dv>, if both passes drop the same probabilities."""
    torch.manual_seed(3)
    qkv, dout = torch.randn(70, 3 * 96), torch.randn(70, 96)
    out, gradient, _ = call.attention(qkv, torch.zeros(288), dout, [33, 1, 36], 2, Draw(20000, 77))
    assert float((out * dout).sum()) == pytest.approx(float((qkv[:, 192:] * gradient[:, 192:]).sum()), rel=1e-3)
    kept, _, _ = call.attention(qkv, torch.zeros(288), dout, [33, 1, 36], 2, NO_DROPOUT)
    assert not torch.allclose(out, kept, atol=0.1)


@pytest.mark.parametrize("march", ["native", *older_processors()])
def test_the_gradient_of_attention_draws_the_masks_of_its_result(compiled_for: CompileFor, march: str) -> None:
    assert_gradient_draws_the_masks_of_the_result(compiled_for(march, torch.float32))


# ---- the boundary between Python and C ---------------------------------------------------------------------------


def test_the_declared_arguments_are_those_of_the_source() -> None:
    source = "\n".join(path.read_text() for path in build._sources())
    found = re.findall(r"^(?:void|double|long) (\w+)\(([^)]*)\) \{", source, flags=re.MULTILINE)
    kinds = {
        "long": interface._L,
        "float": interface._F,
        "int": interface._I,
        "uint32_t": interface._U32,
        "uint64_t": interface._U64,
        "int64_t": ctypes.c_int64,
    }
    declared = {}
    for name, arguments in found:
        texts = [text.strip() for text in arguments.split(",")]
        declared[name] = [interface._P if "*" in text else kinds[text.split()[0]] for text in texts]
    assert declared == interface.SIGNATURES


def test_fewer_threads_than_asked_for_give_the_same_sums() -> None:
    """A limit from outside makes teams smaller; partial sums of threads that never ran hold what was left there."""
    program = (
        "import torch; from tests.unit.kernels.calls import Kernels; from bertune.kernels.library import kernels_for;"
        "torch.manual_seed(0); x, g, bias = torch.randn(9, 64), torch.randn(9, 64), torch.randn(64);"
        "library = kernels_for(torch.float32);"
        "one, four = (Kernels(library, torch.float32, n).activation_backward(g, x, bias, 0)[1] for n in (1, 4));"
        "torch.testing.assert_close(one, four)"
    )
    environment = {**os.environ, "OMP_THREAD_LIMIT": "2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
