"""Compares the kernels of layers that normalize first with plain formulas: windows, rotary positions, gates, norms."""

import ctypes
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch

from bertune.kernels.check_draws import HEAD_SIZE, HEADS, Array, Draws, Finding, attention_by_formula, value_of
from bertune.kernels.interface import ACTIVATION_CODES, NO_DROPOUT, pointer

# Sizes at which there are several blocks of queries and keys, and each kind of rest.
_LENGTHS: Final = (19, 1, 150)
_ROWS: Final = 5
_WIDTH: Final = 96
# One that ends within a block, and one that reaches everything.
_REACHES: Final = (20, 150)


def check_windows(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """Attention with each reach, forward and backward."""
    tokens, h, longest = sum(_LENGTHS), HEADS * HEAD_SIZE, max(_LENGTHS)
    cu = _starts()
    (qkv, qkv_value), (dout, dout_value) = draw.narrow(tokens, 3 * h), draw.narrow(tokens, h)
    out, gradient, lse = torch.empty_like(dout), torch.empty_like(qkv), torch.empty(HEADS, tokens)
    for reach in _REACHES:
        scratch = torch.empty(draw.threads, kernels.window_attention_scratch(longest, HEAD_SIZE, reach))
        sizes = (pointer(cu), len(_LENGTHS), HEADS, HEAD_SIZE, longest, reach, longest, tokens, tokens)
        rest = (*sizes, pointer(scratch), *NO_DROPOUT, draw.threads)
        kernels.window_attention_forward(*(pointer(tensor) for tensor in (qkv, out, lse)), tokens, *rest)
        kernels.window_attention_backward(
            *(pointer(tensor) for tensor in (qkv, out, dout, lse)), tokens, pointer(gradient), *rest
        )
        expected, slopes = attention_by_formula(qkv_value, dout_value, _LENGTHS, reach=reach)
        yield out, expected
        yield gradient, slopes


def _starts() -> torch.Tensor:
    return torch.tensor([0, *np.cumsum(_LENGTHS)], dtype=torch.int32)


def check_rotation(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """Rotary positions, and back."""
    tokens, h, half = sum(_LENGTHS), HEADS * HEAD_SIZE, HEAD_SIZE // 2
    cu, places = _starts(), np.concatenate([np.arange(length) for length in _LENGTHS])
    (qkv, before), (bias, bias_value) = draw.narrow(tokens, 3 * h), draw.wide(3 * h)
    cosines, sines = draw.wide(max(_LENGTHS), half)[0].cos(), draw.wide(max(_LENGTHS), half)[0].sin()
    tables = torch.cat([cosines, cosines], 1), torch.cat([-sines, sines], 1)
    given = (*(pointer(tensor) for tensor in tables), pointer(cu))
    sizes = (HEADS, HEAD_SIZE, tokens, draw.threads)
    kernels.rotate_forward(pointer(qkv), pointer(bias), *given, *sizes)
    c, s = (value_of(table)[places][:, None, :] for table in (cosines, sines))
    yield qkv, _rotated(before + bias_value, c, s)
    rounded, dbias, parts = value_of(qkv), torch.empty(3 * h), torch.empty(draw.threads, 3 * h)
    kernels.rotate_backward(pointer(qkv), pointer(dbias), *given, pointer(parts), 0, *sizes)
    back = _rotated(rounded, c, -s)
    yield qkv, back
    yield dbias, value_of(qkv).sum(axis=0)


def _rotated(rows: Array, cosines: Array, sines: Array) -> Array:
    turned = rows.copy().reshape(len(rows), 3 * HEADS, HEAD_SIZE)
    first, second = np.split(turned[:, : 2 * HEADS], 2, axis=2)
    turned[:, : 2 * HEADS] = np.concatenate([first * cosines - second * sines, second * cosines + first * sines], 2)
    return turned.reshape(rows.shape)


def check_gates(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """The gated activation, by relu: the activations are checked elsewhere."""
    (wide, before), (bias, bias_value) = draw.narrow(_ROWS, 2 * _WIDTH), draw.wide(2 * _WIDTH)
    (g, gv), out, dwide = draw.narrow(_ROWS, _WIDTH), torch.empty(_ROWS, _WIDTH, dtype=draw.dtype), wide.clone()
    dbias, parts = torch.empty(2 * _WIDTH), torch.empty(draw.threads, 2 * _WIDTH)
    sizes = (_ROWS, _ROWS, _WIDTH, ACTIVATION_CODES["relu"], *NO_DROPOUT, draw.threads)
    kernels.gate_forward(*(pointer(tensor) for tensor in (wide, bias, out)), *sizes)
    kernels.gate_backward(*(pointer(tensor) for tensor in (g, wide, bias, dwide, dbias, parts)), 0, *sizes)
    x, gate = np.split(before + bias_value, 2, axis=1)
    slopes = np.concatenate([gv * gate * (x > 0), gv * np.maximum(x, 0)], axis=1)
    yield out, np.maximum(x, 0) * gate
    yield dwide, slopes
    yield dbias, slopes.sum(axis=0)


def check_added_norms(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """A sum and its norm."""
    shape = (_ROWS, _WIDTH)
    (x, xv), (residual, rv), (g_sum, sv), (g_out, ov) = (draw.narrow(*shape) for _ in range(4))
    (bias, bv), (gamma, gv), (beta, ev) = (draw.wide(_WIDTH) for _ in range(3))
    total, out, dx, dsum = (torch.empty_like(x) for _ in range(4))
    statistics, sums, parts = torch.empty(2, _ROWS), torch.empty(3, _WIDTH), torch.empty(draw.threads, 3 * _WIDTH)
    sizes = (_ROWS, _ROWS, _WIDTH, *NO_DROPOUT, draw.threads)
    kernels.add_norm_forward(
        *(pointer(tensor) for tensor in (x, bias, residual, gamma, beta)),
        *(1e-12, *(pointer(tensor) for tensor in (total, out, *statistics)), *sizes),
    )
    yield total, rv + xv + bv
    exact = value_of(total)
    rstd = 1 / exact.std(axis=1, keepdims=True)
    normal = (exact - exact.mean(axis=1, keepdims=True)) * rstd
    yield out, normal * gv + ev
    yield statistics[1], rstd[:, 0]
    kernels.add_norm_backward(
        *(pointer(tensor) for tensor in (g_sum, g_out, total, gamma, *statistics, dx, dsum, *sums, parts)), 0, *sizes
    )
    scaled = ov * gv
    through = scaled - scaled.mean(axis=1, keepdims=True) - normal * (scaled * normal).mean(axis=1, keepdims=True)
    slopes = rstd * through + sv
    yield dx, slopes
    yield dsum, slopes
    yield sums, np.stack([(ov * normal).sum(axis=0), ov.sum(axis=0), slopes.sum(axis=0)])
