"""Compares freshly loaded kernels with plain formulas, so that a miscompiled library is never used."""

import ctypes
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch

from bertune.kernels.build import NoKernelsError
from bertune.kernels.check_draws import HEAD_SIZE, HEADS, LENGTHS, Draws, Finding, attention_by_formula, value_of
from bertune.kernels.interface import ACTIVATION_CODES, NO_DROPOUT, FirstAttention, Parameter, pointer
from bertune.kernels.pre_norm_check import check_added_norms, check_gates, check_rotation, check_windows
from bertune.kernels.relative_check import projection, relative_attention

# Sizes at which each loop takes whole vectors and each kind of rest.
_ROWS: Final = 5
_WIDTH: Final = 96
_PARAMETERS: Final = 83
# Relative to the largest number. Where activations are bfloat16, sums and statistics still come as float32: they tell
# errors that the rounding of the others would hide.
_TOLERANCES: Final = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def check_numbers(kernels: ctypes.CDLL, dtype: torch.dtype) -> None:
    """Runs each kind of kernel once on small random numbers, a few milliseconds in all.

    Args:
        kernels: with their signatures declared.
        dtype: of their activations.

    Raises:
        NoKernelsError: one of them gave wrong numbers.
    """
    draws = Draws(dtype)
    own = (_norm, _activations, _attention, _first_attention, _adamw)
    of_families = (relative_attention, projection, check_windows, check_rotation, check_gates, check_added_norms)
    for check in (*own, *of_families):
        for got, expected in check(kernels, draws):
            error = float(np.abs(value_of(got) - expected).max() / np.abs(expected).max())
            if not error <= _TOLERANCES[got.dtype]:  # written so that not-a-number is an error
                name = check.__name__.removeprefix("check").strip("_")
                raise NoKernelsError(f"the compiled kernels gave wrong numbers ({name} is off by {error:.1g})")


def _norm(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    shape, threads = (_ROWS, _WIDTH), draw.threads
    (x, xv), (residual, rv), (g1, g1v), (g2, g2v) = (draw.narrow(*shape) for _ in range(4))
    (bias, bv), (gamma, gv), (beta, ev) = (draw.wide(_WIDTH) for _ in range(3))
    out, dx, dresidual = (torch.empty_like(x) for _ in range(3))
    statistics = torch.empty(2, _ROWS)
    sums, parts = torch.empty(3, _WIDTH), torch.empty(threads, 3 * _WIDTH)
    inputs = [pointer(tensor) for tensor in (x, bias, residual, gamma)]
    means = [pointer(row) for row in statistics]
    kernels.residual_norm_forward(
        *(*inputs, pointer(beta), 1e-12, pointer(out), *means, _ROWS, _ROWS, _WIDTH), *NO_DROPOUT, threads
    )
    summed = rv + xv + bv
    rstd = 1 / summed.std(axis=1, keepdims=True)
    normal = (summed - summed.mean(axis=1, keepdims=True)) * rstd
    yield out, normal * gv + ev
    yield statistics[1], rstd[:, 0]
    kernels.residual_norm_backward(
        *(pointer(g1), pointer(g2), *inputs, *means, pointer(dx), pointer(dresidual)),
        *(*(pointer(row) for row in sums), pointer(parts), 0, _ROWS, _ROWS, _WIDTH),
        *(*NO_DROPOUT, threads),
    )
    g = g1v + g2v
    scaled = g * gv
    through = scaled - scaled.mean(axis=1, keepdims=True) - normal * (scaled * normal).mean(axis=1, keepdims=True)
    yield dx, rstd * through
    yield dresidual, rstd * through
    yield sums, np.stack([(g * normal).sum(axis=0), g.sum(axis=0), (rstd * through).sum(axis=0)])


def _activations(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    (x, xv), (bias, bv) = draw.narrow(_ROWS, _WIDTH), draw.wide(_WIDTH)
    dbias, parts = torch.empty(_WIDTH), torch.empty(draw.threads, _WIDTH)
    z = xv + bv
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.flat]).reshape(z.shape)
    cube, root = z + 0.044715 * z**3, math.sqrt(2 / math.pi)
    tanh = np.tanh(root * cube)
    slopes = {
        "gelu": (z * below, below + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)),
        "gelu_tanh": (
            0.5 * z * (1 + tanh),
            0.5 * (1 + tanh) + 0.5 * z * (1 - tanh**2) * root * (1 + 3 * 0.044715 * z * z),
        ),
        "relu": (np.maximum(z, 0), (z > 0).astype(np.float64)),
    }
    for name, (value, slope) in slopes.items():
        (out, kept), (g, gv) = (torch.empty_like(x) for _ in range(2)), draw.narrow(_ROWS, _WIDTH)
        kernels.activation_forward(
            *(pointer(tensor) for tensor in (x, bias, out, kept)),
            *(_ROWS, _ROWS, _WIDTH, ACTIVATION_CODES[name], draw.threads),
        )
        yield out, value
        yield kept, slope
        rounded = value_of(kept)
        kernels.activation_backward(
            *(pointer(tensor) for tensor in (g, kept, dbias, parts)), *(0, _ROWS, _WIDTH, draw.threads)
        )
        yield g, gv * rounded
        yield dbias, (gv * rounded).sum(axis=0)


def _attention(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    tokens, h, threads = sum(LENGTHS), HEADS * HEAD_SIZE, draw.threads
    cu = torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32)
    (qkv, qkv_value), (bias, bias_value) = draw.narrow(tokens, 3 * h), draw.wide(3 * h)
    dout, dout_value = draw.narrow(tokens, h)
    out, lse = torch.empty_like(dout), torch.empty(HEADS, tokens)
    gradient, dbias, parts = torch.empty_like(qkv), torch.empty(3 * h), torch.empty(threads, 3 * h)
    longest = max(LENGTHS)
    scratch = torch.empty(threads, kernels.attention_scratch(longest, HEAD_SIZE))
    sizes = (pointer(cu), len(LENGTHS), HEADS, HEAD_SIZE, 3 * h, h, longest, tokens, tokens, pointer(scratch))
    kernels.attention_forward(
        *(*(pointer(tensor) for tensor in (qkv, bias, out, lse)), tokens, *sizes), *NO_DROPOUT, threads
    )
    kernels.attention_backward(
        *(*(pointer(tensor) for tensor in (qkv, bias, dout, lse)), tokens, pointer(gradient), pointer(dbias)),
        *(*sizes, pointer(parts), 0, *NO_DROPOUT, threads),
    )
    expected, slopes = attention_by_formula(qkv_value + bias_value, dout_value)
    yield out, expected
    yield gradient, slopes
    yield dbias, slopes.sum(axis=0)


def _first_attention(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    tokens, many, h = sum(LENGTHS), len(LENGTHS), HEADS * HEAD_SIZE
    cu, longest = torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32), max(LENGTHS)
    (x, xv), (dout, gv), (dresidual, rv) = draw.narrow(tokens, h), draw.narrow(many, h), draw.narrow(many, h)
    (weight, _), (bias, bv) = draw.wide(3 * h, h), draw.wide(3 * h)
    wv = value_of(weight.mul_(0.1))
    dx, out, rows, dweight, dbias = (torch.zeros_like(like) for like in (x, dout, dout, weight.to(x.dtype), bias))
    size = kernels.first_attention_scratch(longest, HEADS, h)
    room = {
        **{name: torch.empty(many, h) for name in ("first", "q", "g", "dq", "dfirst")},
        **{name: torch.empty(many, HEADS, h) for name in ("keyed", "mixed", "dkeyed", "dmixed")},
        **{name: torch.empty(many, HEADS) for name in ("totals", "dtotals")},
        "weights": torch.empty(HEADS, tokens),
        "scratch": torch.empty(draw.threads, size),
    }
    given = {"x": x, "weight": weight, "bias": bias, "cu": cu, "dout": dout, "dresidual": dresidual}
    made = {"out": out, "rows": rows, "dx": dx, "dweight": dweight, "dbias": dbias}
    entry = FirstAttention(
        **{name: pointer(tensor) for name, tensor in (given | made | room).items()},
        sequences=many,
        heads=HEADS,
        d=HEAD_SIZE,
        padded=tokens,
        max_length=longest,
    )
    kernels.first_attention_forward(ctypes.byref(entry), tokens, *NO_DROPOUT, draw.threads)
    kernels.first_attention_backward(ctypes.byref(entry), tokens, 0, *NO_DROPOUT, draw.threads)
    # The same by whole attention, of which only the first rows are asked for.
    starts = cu[:-1].numpy()
    wide = np.zeros((tokens, h))
    wide[starts] = gv
    expected, slopes = attention_by_formula(xv @ wv.T + bv, wide)
    expected_dx = slopes @ wv
    expected_dx[starts] += rv
    yield out, expected[starts]
    yield dx, expected_dx
    yield dweight, slopes.T @ xv
    yield dbias, slopes.sum(axis=0)


def _adamw(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    decay, divisor, beta_1, beta_2, rate, root, epsilon = 0.01, 1.5, 0.9, 0.99, 0.1, 1.25, 1e-3
    for kind in (torch.float32, torch.bfloat16):
        (value, before), (m, mv), (v, _), (wide, _) = (draw.wide(_PARAMETERS) for _ in range(4))
        g = wide.to(kind)
        gv, vv = value_of(g), value_of(v.abs_())
        bf16_copy = torch.empty(_PARAMETERS, dtype=torch.bfloat16)
        entry = Parameter(
            *(pointer(tensor) for tensor in (value, g, m, v, bf16_copy)),
            *(0, 1, _PARAMETERS, _PARAMETERS, int(kind == torch.bfloat16)),
        )
        squares = kernels.sum_of_squares(ctypes.byref(entry), 1, draw.threads)
        yield torch.tensor([squares]), np.array([(gv * gv).sum()])
        kernels.adamw_step(ctypes.byref(entry), 1, decay, divisor, beta_1, beta_2, rate, root, epsilon, draw.threads)
        first = beta_1 * mv + (1 - beta_1) * gv / divisor
        second = beta_2 * vv + (1 - beta_2) * (gv / divisor) ** 2
        yield value, before * (1 - decay) - rate * first / (np.sqrt(second) * root + epsilon)
        yield m, first
        yield v, second
        yield bf16_copy, value_of(value.to(torch.bfloat16))
