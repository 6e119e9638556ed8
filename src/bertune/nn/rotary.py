"""Rotary positions: a pair of a head's columns is turned by an angle that grows with the token's place."""

from functools import cache

import torch
from torch import Tensor


class _Rotate(torch.autograd.Function):
    """Turns some of the vectors that stand side by side; the gradient is turned back."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, rows: Tensor, cosines: Tensor, sines: Tensor, turned: int
    ) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        ctx.turned = turned  # type: ignore[attr-defined]
        return _turn(rows, cosines, sines, turned)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        cosines, sines = ctx.saved_tensors  # type: ignore[attr-defined]
        return _turn(gradient, cosines, -sines, ctx.turned), None, None, None  # type: ignore[attr-defined]


def _turn(rows: Tensor, cosines: Tensor, sines: Tensor, turned: int) -> Tensor:
    """Computes in float32: angles of late places are too coarse in bf16."""
    half = cosines.shape[-1]
    out = torch.empty_like(rows)
    out[:, turned:] = rows[:, turned:]
    exact = rows[:, :turned].float()
    first, second = exact[..., :half], exact[..., half:]
    out[:, :turned, :, :half] = (first * cosines).addcmul_(second, sines, value=-1)
    out[:, :turned, :, half:] = (second * cosines).addcmul_(first, sines)
    return out


def rotate(rows: Tensor, places: Tensor, *, longest: int, theta: float, turned: int) -> Tensor:
    """Turns the first vectors of each token by its place.

    Args:
        rows: (tokens, vectors, heads, head size), for instance queries, keys and values.
        places: (tokens,) int64, below `longest`.
        longest: tokens of the longest sequence.
        theta: the base of the angles: the larger, the slower the last pairs of columns turn.
        turned: how many of the vectors turn.

    Returns:
        In the shape of `rows`.

    Source: Su et al., 2021 (https://arxiv.org/abs/2104.09864), with the pairs a half of the head apart.
    """
    # A power of two, so that few tables are made.
    length = 1 << (longest - 1).bit_length()
    cosines, sines = (
        table[places][:, None, None, :] for table in half_tables(theta, rows.shape[-1], length, str(rows.device))
    )
    rotated: Tensor = _Rotate.apply(rows, cosines, sines, turned)  # type: ignore[no-untyped-call]
    return rotated


@cache
def half_tables(theta: float, head_size: int, length: int, device: str) -> tuple[Tensor, Tensor]:
    """Makes cosines and sines of a head's half at each place, which autograd may save whoever asks first.

    Args:
        theta: the base of the angles.
        head_size: columns.
        length: places.
        device: where the tables lie.

    Returns:
        Two tables, (length, head size / 2) each, float32.
    """
    with torch.inference_mode(False), torch.no_grad():
        speeds = 1.0 / theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
        angles = torch.arange(length, dtype=torch.float32)[:, None] * speeds
        return angles.cos().to(device), angles.sin().to(device)
