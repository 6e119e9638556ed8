"""Random numbers and sizes with which freshly loaded kernels are tried, and the formula that several are held to."""

import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
# What a kernel gave, and what it should have given.
Finding = tuple[Tensor, Array]

# Sizes of attention at which each loop takes whole vectors and each kind of rest, down to a sequence of one token.
LENGTHS: Final = (19, 1, 33)
HEADS: Final = 2
HEAD_SIZE: Final = 48


class Draws:
    """Random tensors of the activations' type or of float32, each with its exact value."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.threads = torch.get_num_threads()
        # Not numpy's, whose import takes longer than the whole check.
        self._source = torch.Generator().manual_seed(0)

    def narrow(self, *shape: int) -> tuple[Tensor, Array]:
        """Draws in the activations' type."""
        tensor = torch.randn(shape, generator=self._source).to(self.dtype)
        return tensor, value_of(tensor)

    def wide(self, *shape: int) -> tuple[Tensor, Array]:
        """Draws in float32."""
        tensor = torch.randn(shape, generator=self._source)
        return tensor, value_of(tensor)


def value_of(tensor: Tensor) -> Array:
    """Returns a tensor's numbers in float64."""
    # A wrong kernel leaves what it does not write: bits that are no number, of some kinds of which numpy warns.
    with np.errstate(invalid="ignore"):
        return tensor.float().numpy().astype(np.float64)


def attention_by_formula(
    qkv: Array, dout: Array, lengths: tuple[int, ...] = LENGTHS, *, reach: int | None = None
) -> tuple[Array, Array]:
    """Computes attention and its gradient, head by head.

    Args:
        qkv: (tokens, 3 * hidden) queries, keys and values of `HEADS` heads.
        dout: (tokens, hidden) gradient of the result.
        lengths: of the sequences.
        reach: how far a token sees to each side; None for all of its sequence.

    Returns:
        The result, and the gradient of `qkv`.
    """
    out, gradient = np.empty_like(dout), np.empty_like(qkv)
    heads, gradient_heads = (array.reshape(-1, 3, HEADS, HEAD_SIZE) for array in (qkv, gradient))
    out_heads, dout_heads = (array.reshape(-1, HEADS, HEAD_SIZE) for array in (out, dout))
    scale, start = 1 / math.sqrt(HEAD_SIZE), 0
    for length in lengths:
        rows, places = slice(start, start + length), np.arange(length)
        start += length
        is_near = np.abs(places[:, None] - places) <= (length if reach is None else reach)
        for head in range(HEADS):
            q, k, v = (heads[rows, part, head] for part in range(3))
            scores = np.exp(q @ k.T * scale) * is_near
            p = scores / scores.sum(axis=1, keepdims=True)
            g = dout_heads[rows, head]
            out_heads[rows, head] = p @ v
            dp = g @ v.T
            ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) * scale
            for part, slope in enumerate((ds @ k, ds.T @ q, p.T @ g)):
                gradient_heads[rows, part, head] = slope
    return out, gradient
