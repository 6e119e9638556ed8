"""The kernels of distances and of projected embeddings, and plain formulas for what they compute."""

import ctypes
import math
from collections.abc import Iterator
from itertools import accumulate, product

import numpy as np
import torch
from torch import Tensor

from bertune.kernels.check_draws import HEAD_SIZE, HEADS, LENGTHS, Array, Draws, Finding
from bertune.kernels.interface import COLUMN_MULTIPLE, NO_DROPOUT, RelativeAttention, pointer

_TOKENS = sum(LENGTHS)
_LONGEST = max(LENGTHS)
_WIDTH = HEADS * HEAD_SIZE
_ALL = 2 * _LONGEST - 1
# Far distances share vectors, near ones have their own.
_VECTOR_OF = [min(max(distance, -20), 20) + 20 for distance in range(1 - _LONGEST, _LONGEST)]
_VECTORS = max(_VECTOR_OF) + 1


def relative_attention(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """Yields what attention with numbers and with vectors of distances gives, of all tokens and of the first alone.

    In each kind probabilities are kept for the backward pass once, and once computed again.
    """
    for has_vectors, first_only in product((False, True), repeat=2):
        yield from _relative_attention(kernels, draw, has_vectors=has_vectors, first_only=first_only)


def _relative_attention(kernels: ctypes.CDLL, draw: Draws, *, has_vectors: bool, first_only: bool) -> Iterator[Finding]:
    vectors, asked = _VECTORS if has_vectors else 0, len(LENGTHS) if first_only else _TOKENS
    cu = torch.tensor([0, *accumulate(LENGTHS)], dtype=torch.int32)
    (qkv, qkv_value), (bias, bias_value) = draw.narrow(_TOKENS + vectors, 3 * _WIDTH), draw.wide(3 * _WIDTH)
    dout, dout_value = draw.narrow(asked, _WIDTH)
    places = kernels.distance_places(_LONGEST)
    numbers, numbers_value = draw.wide(HEADS, places)
    room = kernels.attention_scratch(_LONGEST, HEAD_SIZE) + kernels.distance_room(_LONGEST)
    tensors: dict[str, Tensor] = {
        "bias": bias,
        "out": torch.empty_like(dout),
        "lse": torch.empty(HEADS, _TOKENS),
        "cu": cu,
        "dout": dout,
        "dqkv": torch.empty_like(qkv),
        "dbias": torch.empty_like(bias),
        "gradients": torch.empty(HEADS + draw.threads, 2 * places * HEAD_SIZE),
        "scratch": torch.empty(draw.threads, room),
        "parts": torch.empty(draw.threads, 3 * _WIDTH),
    }
    if has_vectors == first_only:
        tensors["kept"] = torch.empty(HEADS, _TOKENS, _LONGEST + COLUMN_MULTIPLE)
    if has_vectors:
        tensors["vector_of"] = torch.tensor(_VECTOR_OF, dtype=torch.int32)
        tensors["tables"] = torch.empty(HEADS, kernels.distance_tables(_LONGEST, HEAD_SIZE))
    else:
        tensors |= {"numbers": numbers, "dnumbers": torch.zeros_like(numbers)}
    entry = RelativeAttention(
        **{name: pointer(tensor) for name, tensor in tensors.items()},
        sequences=len(LENGTHS),
        heads=HEADS,
        d=HEAD_SIZE,
        padded=_TOKENS,
        max_length=_LONGEST,
        vectors=vectors,
        padded_vectors=vectors,
        asked=has_vectors,
        asking=has_vectors,
        first_only=first_only,
    )
    given = pointer(qkv), ctypes.byref(entry), _TOKENS
    kernels.relative_attention_forward(*given, *NO_DROPOUT, draw.threads)
    kernels.relative_attention_backward(*given, 0, *NO_DROPOUT, draw.threads)
    world = _World(qkv_value + bias_value, None if has_vectors else numbers_value[:, :_ALL])
    starts = cu[:-1].numpy()
    wide = np.zeros((_TOKENS, _WIDTH))
    wide[starts if first_only else slice(None)] = dout_value
    world.attend(wide)
    yield tensors["out"], world.out[starts] if first_only else world.out
    yield tensors["dqkv"], world.dqkv
    yield tensors["dbias"], world.dqkv.sum(axis=0)
    if not has_vectors:
        yield tensors["dnumbers"][:, :_ALL], world.dnumbers


class _World:
    """Attention by plain formulas: queries, keys and values with their bias, and either numbers or vectors."""

    def __init__(self, qkv: Array, numbers: Array | None) -> None:
        self.qkv = qkv.reshape(-1, 3, HEADS, HEAD_SIZE)
        self.numbers = numbers
        self.scale = 1 / math.sqrt(HEAD_SIZE * (3 if numbers is None else 1))
        self.out = np.zeros((_TOKENS, _WIDTH))
        self.dqkv = np.zeros(qkv.shape)
        self.dnumbers = np.zeros((HEADS, _ALL))

    def attend(self, dout: Array) -> None:
        """Computes the output, and the gradients from that of the output."""
        start = 0
        for length in LENGTHS:
            for head in range(HEADS):
                self._attend_one(slice(start, start + length), head, dout)
            start += length

    def _attend_one(self, rows: slice, head: int, dout: Array) -> None:
        columns = slice(head * HEAD_SIZE, (head + 1) * HEAD_SIZE)
        q, k, v = (self.qkv[rows, part, head] for part in range(3))
        place = np.arange(len(q))
        distance = place[:, None] - place[None, :] + _LONGEST - 1
        scores = q @ k.T * self.scale
        if self.numbers is None:
            vector = np.array(_VECTOR_OF)[distance]
            queries, keys = (self.qkv[_TOKENS:, part, head] for part in range(2))
            scores += np.take_along_axis(q @ keys.T, vector, 1) * self.scale
            scores += np.take_along_axis(k @ queries.T, vector.T, 1).T * self.scale
        else:
            scores += self.numbers[head, _ALL - 1 - distance]
        scores = np.exp(scores)
        p = scores / scores.sum(axis=1, keepdims=True)
        self.out[rows, columns] = p @ v
        g = dout[rows, columns]
        dp = g @ v.T
        dscores = p * (dp - (dp * p).sum(axis=1, keepdims=True))
        ds = dscores * self.scale
        into = self.dqkv.reshape(self.qkv.shape)
        into[rows, 2, head] = p.T @ g
        into[rows, 0, head] = ds @ k
        into[rows, 1, head] = ds.T @ q
        if self.numbers is None:
            # What meets each vector: queries its key, keys its query.
            of_queries, of_keys = (np.zeros((len(q), _VECTORS)) for _ in range(2))
            np.add.at(of_queries, (place[:, None], vector), ds)
            np.add.at(of_keys, (place[None, :], vector), ds)
            into[rows, 0, head] += of_queries @ keys
            into[rows, 1, head] += of_keys @ queries
            into[_TOKENS:, 1, head] += of_queries.T @ q
            into[_TOKENS:, 0, head] += of_keys.T @ k
        else:
            np.add.at(self.dnumbers[head], _ALL - 1 - distance, dscores)


def projection(kernels: ctypes.CDLL, draw: Draws) -> Iterator[Finding]:
    """Yields the sum of two gradients in float32, with that of the bias."""
    (g1, first), (g2, second) = (draw.narrow(_TOKENS, _WIDTH) for _ in range(2))
    sums, dbias, parts = torch.empty(_TOKENS + 3, _WIDTH), torch.empty(_WIDTH), torch.empty(draw.threads, _WIDTH)
    kernels.widen_sums(
        *(pointer(tensor) for tensor in (g1, g2, sums, dbias, parts)), *(0, _TOKENS, len(sums), _WIDTH, draw.threads)
    )
    expected = first + second
    yield sums, np.concatenate([expected, np.zeros((3, _WIDTH))])
    yield dbias, expected.sum(axis=0)
