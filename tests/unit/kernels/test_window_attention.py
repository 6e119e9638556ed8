"""Attention in windows, rotary positions and gates by their kernels, against torch in float64."""

import math
from collections.abc import Callable
from itertools import accumulate

import pytest
import torch
from tests.unit.kernels.calls import Kernels
from tests.unit.kernels.conftest import DTYPES, older_processors
from torch import Tensor

from bertune.kernels.interface import NO_DROPOUT, Draw, pointer
from bertune.kernels.self_check import check_numbers

Get = Callable[[torch.dtype], Kernels]
CompileFor = Callable[[str, torch.dtype], Kernels]


class Windows:
    """Attention of random tokens in a window.

    Args:
        lengths: tokens of each sequence.
        heads: into which rows are divided.
        size: of a head.
        reach: how far a token sees.
        asking: queries of each sequence that are computed; None for all.
    """

    def __init__(self, lengths: list[int], heads: int, size: int, reach: int, asking: int | None = None) -> None:
        torch.manual_seed(heads * size)
        self.lengths, self.heads, self.size, self.reach = lengths, heads, size, reach
        self.asking = asking or max(lengths)
        self.qkv, self.dout = torch.randn(sum(lengths), 3 * heads * size), torch.randn(sum(lengths), heads * size)
        self.is_asking = torch.cat([torch.arange(length) < self.asking for length in lengths])

    def by_kernels(self, call: Kernels, draw: Draw = NO_DROPOUT) -> tuple[Tensor, Tensor]:
        """Returns the output and the gradient; what no call may write behind its room is looked at."""
        qkv, dout, longest = self.qkv.to(call.dtype), self.dout.to(call.dtype), max(self.lengths)
        tokens, cu = len(qkv), torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32)
        out, gradient = torch.full_like(dout, torch.nan), torch.full_like(qkv, torch.nan)
        lse = torch.full((self.heads, tokens), torch.nan)
        size = call.library.window_attention_scratch(longest, self.size, self.reach)
        scratch = torch.full((call.threads * size + 64,), torch.nan)
        scratch[-64:] = 7
        sizes = (pointer(cu), len(self.lengths), self.heads, self.size, longest, self.reach, self.asking)
        rest = (*sizes, tokens, tokens, pointer(scratch), *draw, call.threads)
        call.library.window_attention_forward(*(pointer(tensor) for tensor in (qkv, out, lse)), tokens, *rest)
        scratch[:-64] = torch.nan
        call.library.window_attention_backward(
            *(pointer(tensor) for tensor in (qkv, out, dout, lse)), tokens, pointer(gradient), *rest
        )
        assert bool((scratch[-64:] == 7).all())
        return out, gradient

    def exact(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        qkv, outs = self.qkv.to(dtype).double().requires_grad_(), []
        for rows in qkv.split(self.lengths):
            q, k, v = rows.view(-1, 3, self.heads, self.size).permute(1, 2, 0, 3)
            places = torch.arange(len(rows))
            scores = q @ k.transpose(1, 2) / math.sqrt(self.size)
            scores = scores.masked_fill((places[:, None] - places).abs() > self.reach, -math.inf)
            outs.append((torch.softmax(scores, dim=-1) @ v).transpose(0, 1).flatten(1))
        out = torch.cat(outs)
        out.backward(self.dout.to(dtype).double() * self.is_asking[:, None])
        assert qkv.grad is not None
        return out.detach(), qkv.grad


def assert_right(windows: Windows, call: Kernels) -> None:
    (out, gradient), (expected, slopes) = windows.by_kernels(call), windows.exact(call.dtype)
    allowed = 2e-6 if call.dtype == torch.float32 else 2e-2
    asked = windows.is_asking
    assert float((out[asked].double() - expected[asked]).abs().max()) <= allowed * float(expected.abs().max())
    assert float((gradient.double() - slopes).abs().max()) <= allowed * float(slopes.abs().max())


@pytest.mark.parametrize("lengths", [[1], [1, 2, 1], [31, 33], [64, 5, 32, 16, 17], [129, 15], [300, 7, 200]])
@pytest.mark.parametrize(("heads", "size"), [(1, 16), (2, 32), (1, 48), (2, 64), (1, 80), (1, 128)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_of_any_reach_are_those_of_autograd(
    kernels: Get, dtype: torch.dtype, heads: int, size: int, lengths: list[int]
) -> None:
    for reach in (1, 8, 64, 1000):
        for asking in (None, 1):
            assert_right(
                Windows(lengths, heads, size, reach, asking), Kernels(kernels(dtype).library, dtype, threads=2)
            )


def test_a_window_of_nothing_but_the_token_gives_its_value(kernels: Get) -> None:
    windows = Windows([70, 3], 2, 16, 0)
    out, _ = windows.by_kernels(kernels(torch.float32))
    torch.testing.assert_close(out, windows.qkv[:, 64:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_room_grows_with_the_length_and_not_with_its_square(kernels: Get, dtype: torch.dtype) -> None:
    room = kernels(dtype).library.window_attention_scratch
    assert room(8192, 64, 8192) * 4 < 16 << 20
    assert room(8192, 64, 8192) <= 2 * room(4096, 64, 4096)
    assert room(8192, 64, 64) <= 2 * room(4096, 64, 64)


def test_large_scores_neither_overflow_nor_spread(kernels: Get) -> None:
    windows = Windows([200], 1, 16, 1000)
    windows.qkv[:, :32] *= 1000
    out, gradient = windows.by_kernels(kernels(torch.float32))
    assert bool(gradient.isfinite().all())
    expected, _ = windows.exact(torch.float32)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reach", [8, 1000])
@pytest.mark.parametrize("march", ["native", *older_processors()])
def test_the_gradient_draws_the_masks_of_the_result(compiled_for: CompileFor, march: str, reach: int) -> None:
    """Attention is linear in the values: <out, dout> = <v, dv>, if both passes drop the same probabilities."""
    windows, call = Windows([33, 1, 150], 2, 48, reach), compiled_for(march, torch.float32)
    out, gradient = windows.by_kernels(call, Draw(20000, 77))
    linear = float((windows.qkv[:, 192:] * gradient[:, 192:]).sum())
    assert float((out * windows.dout).sum()) == pytest.approx(linear, rel=1e-3)
    assert not torch.allclose(out, windows.by_kernels(call)[0], atol=0.1)


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return abs(float((a @ b) / (a.norm() * b.norm()))) * math.sqrt(a.numel())


def test_what_is_dropped_is_independent_in_rows_heads_and_sequences(kernels: Get) -> None:
    """Values are unit vectors and scores equal, so that each output is a dropped probability."""
    windows = Windows([64] * 40, 4, 64, 1000)
    windows.qkv.zero_().view(40, 64, 3, 4, 64)[:, :, 2] = torch.eye(64)[:, None]
    out, _ = windows.by_kernels(kernels(torch.float32), Draw(32768, 21))
    mask = (out.view(40, 64, 4, 64).permute(2, 0, 1, 3) > 0).double()
    assert abs(float(mask.mean()) - 0.5) < 5 * math.sqrt(0.25 / mask.numel())
    for one, other in (
        (mask[0], mask[1]),
        (mask[:, :-1], mask[:, 1:]),
        (mask[:, :, :-1], mask[:, :, 1:]),
        (mask[..., :-1], mask[..., 1:]),
    ):
        assert correlation(one, other) < 5


@pytest.mark.parametrize("march", older_processors())
@pytest.mark.parametrize("dtype", DTYPES)
def test_older_processors_get_the_same_numbers(compiled_for: CompileFor, march: str, dtype: torch.dtype) -> None:
    call = compiled_for(march, dtype)
    check_numbers(call.library, dtype)
    for reach in (8, 1000):
        assert_right(Windows([129, 15, 1], 2, 48, reach), call)
        assert_right(Windows([40, 200], 1, 16, reach, 1), call)
