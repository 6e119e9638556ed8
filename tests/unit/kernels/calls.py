"""The kernels as functions that allocate what they return."""

import ctypes
import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from bertune.kernels.interface import NO_DROPOUT, Draw, Parameter, RelativeAttention, pointer


@dataclass(frozen=True)
class RelativeCase:
    """Attention to whose scores distances add.

    Args:
        qkv: (tokens + vectors, 3 x width), of the activations' type.
        bias: (3 x width,).
        dout: (tokens, width), or (sequences, width) with `first_only`.
        lengths: of the sequences.
        heads: into which the width is divided.
        numbers: (heads, 2 x longest - 1), by falling distances; None for none.
        vector_of: (2 x longest - 1,) int32, by rising distances; None for none.
        asked: whether queries meet keys of distances.
        asking: whether keys meet queries of distances.
        first_only: whether only first tokens ask.
    """

    qkv: Tensor
    bias: Tensor
    dout: Tensor
    lengths: list[int]
    heads: int
    numbers: Tensor | None = None
    vector_of: Tensor | None = None
    asked: bool = False
    asking: bool = False
    first_only: bool = False


@dataclass(frozen=True)
class Kernels:
    """A loaded library.

    Args:
        library: with signatures declared.
        dtype: of its activations.
        threads: to share the work among.
    """

    library: ctypes.CDLL
    dtype: torch.dtype
    threads: int = 1

    def activation(self, x: Tensor, bias: Tensor, kind: int) -> Tensor:
        out, (rows, width) = torch.full_like(x, torch.nan), x.shape
        self.library.activation_forward(
            *(pointer(tensor) for tensor in (x, bias, out, None)), *(rows, rows, width, kind, self.threads)
        )
        return out

    def activation_backward(self, g: Tensor, x: Tensor, bias: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Returns the gradients of x and of the bias."""
        dx, slopes, out, (rows, width) = g.clone(), x.clone(), torch.empty_like(x), x.shape
        dbias, parts = torch.full((width,), torch.nan), torch.full((self.threads, width), torch.nan)
        self.library.activation_forward(
            *(pointer(tensor) for tensor in (slopes, bias, out, slopes)),
            *(rows, rows, width, kind, self.threads),
        )
        self.library.activation_backward(
            *(pointer(tensor) for tensor in (dx, slopes, dbias, parts)), *(0, rows, width, self.threads)
        )
        return dx, dbias

    def norm(
        self, x: Tensor, bias: Tensor, residual: Tensor, gamma: Tensor, beta: Tensor, draw: Draw = NO_DROPOUT
    ) -> tuple[Tensor, Tensor]:
        """Returns the output, and the rows' means and inverse deviations in one tensor."""
        out, statistics, (rows, width) = torch.full_like(x, torch.nan), torch.empty(2, len(x)), x.shape
        self.library.residual_norm_forward(
            *(pointer(tensor) for tensor in (x, bias, residual, gamma, beta)),
            *(1e-12, pointer(out), pointer(statistics[0]), pointer(statistics[1]), rows, rows, width),
            *(*draw, self.threads),
        )
        return out, statistics

    def norm_backward(
        self,
        gradients: tuple[Tensor, Tensor | None],
        x: Tensor,
        bias: Tensor,
        residual: Tensor,
        gamma: Tensor,
        statistics: Tensor,
        draw: Draw = NO_DROPOUT,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of x, of the residual, and (3, width) those of gamma, beta and bias."""
        dx, dresidual, (rows, width) = torch.full_like(x, torch.nan), torch.full_like(x, torch.nan), x.shape
        sums, parts = torch.full((3, width), torch.nan), torch.full((self.threads, 3 * width), torch.nan)
        self.library.residual_norm_backward(
            *(pointer(tensor) for tensor in (*gradients, x, bias, residual, gamma, *statistics, dx, dresidual, *sums)),
            *(pointer(parts), 0, rows, rows, width),
            *(*draw, self.threads),
        )
        return dx, dresidual, sums

    def attention(
        self,
        qkv: Tensor,
        bias: Tensor,
        dout: Tensor,
        lengths: list[int],
        heads: int,
        draw: Draw = NO_DROPOUT,
        *,
        apart: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the output, and the gradients of qkv and of its bias; `apart`: qkv is (3, tokens, width)."""
        tokens, h = dout.shape
        cu = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        out, gradient = torch.full_like(dout, torch.nan), torch.full_like(qkv, torch.nan)
        lse, dbias = torch.full((heads, tokens), torch.nan), torch.full((3 * h,), torch.nan)
        scratch = torch.full((self.threads, self.library.attention_scratch(max(lengths), h // heads)), torch.nan)
        parts = torch.full((self.threads, 3 * h), torch.nan)
        places = (h, tokens * h) if apart else (3 * h, h)
        sizes = (pointer(cu), len(lengths), heads, h // heads, *places, max(lengths), tokens, tokens, pointer(scratch))
        self.library.attention_forward(
            *(*(pointer(tensor) for tensor in (qkv, bias, out, lse)), tokens, *sizes), *draw, self.threads
        )
        scratch.fill_(torch.nan)
        self.library.attention_backward(
            *(*(pointer(tensor) for tensor in (qkv, bias, dout, lse)), tokens, pointer(gradient), pointer(dbias)),
            *(*sizes, pointer(parts), 0, *draw, self.threads),
        )
        return out, gradient, dbias

    def relative_attention(
        self, case: "RelativeCase", draw: Draw = NO_DROPOUT, *, keeps: bool = False, fill: float = math.nan
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the output, and the gradients of qkv with the vectors behind it, of its bias, and of the numbers."""
        library, h = self.library, case.qkv.shape[1] // 3
        tokens, longest, d = sum(case.lengths), max(case.lengths), h // case.heads
        places, behind = library.distance_places(longest), len(case.qkv) - tokens
        numbers = torch.zeros(case.heads, places)
        if case.numbers is not None:
            numbers[:, : 2 * longest - 1] = case.numbers
        size = library.attention_scratch(longest, d) + library.distance_room(longest)
        tensors = {
            "bias": case.bias,
            "out": torch.full_like(case.dout, fill),
            "lse": torch.full((case.heads, tokens), fill),
            "cu": torch.tensor([0, *accumulate(case.lengths)], dtype=torch.int32),
            "dout": case.dout,
            "dqkv": torch.full_like(case.qkv, fill),
            "dbias": torch.full_like(case.bias, fill),
            "gradients": torch.full((case.heads + self.threads, places * 2 * d), fill),
            "scratch": torch.full((self.threads, size), fill),
            "parts": torch.full((self.threads, 3 * h), fill),
            "numbers": None if case.numbers is None else numbers,
            "dnumbers": torch.zeros_like(numbers),
            "vector_of": case.vector_of,
            "kept": torch.full((case.heads, tokens, longest + 31), fill) if keeps else None,
            "tables": torch.full((case.heads, library.distance_tables(longest, d)), fill),
        }
        entry = RelativeAttention(
            **{name: pointer(tensor) for name, tensor in tensors.items()},
            sequences=len(case.lengths),
            heads=case.heads,
            d=d,
            padded=tokens,
            max_length=longest,
            vectors=behind,
            padded_vectors=behind,
            asked=case.asked,
            asking=case.asking,
            first_only=case.first_only,
        )
        given = pointer(case.qkv), ctypes.byref(entry), tokens
        library.relative_attention_forward(*given, *draw, self.threads)
        tensors["scratch"].fill_(fill)
        library.relative_attention_backward(*given, 0, *draw, self.threads)
        return tensors["out"], tensors["dqkv"], tensors["dbias"], tensors["dnumbers"][:, : 2 * longest - 1]

    def embedding_mask(self, rows: int, width: int, draw: Draw) -> Tensor:
        """Returns what dropout multiplies by: the norm's weights are chosen so that nothing else is left."""
        ids, table = torch.zeros(rows, dtype=torch.int32), torch.zeros(1, width)
        out, statistics = torch.empty(rows, width, dtype=self.dtype), torch.empty(2, rows)
        inputs = (ids, ids, ids, table, table, table, torch.zeros(width), torch.ones(width))
        self.library.embed_forward(
            *(pointer(tensor) for tensor in inputs),
            *(1e-12, pointer(out), pointer(statistics[0]), pointer(statistics[1]), rows, rows, width),
            *(*draw, self.threads),
        )
        return out

    def step(self, entry: Parameter, **numbers: float) -> None:
        """Takes one step of AdamW with one parameter."""
        names = ("decay", "divisor", "beta_1", "beta_2", "rate", "root", "epsilon")
        self.library.adamw_step(ctypes.byref(entry), 1, *(numbers[name] for name in names), self.threads)

    def narrowed(self, value: Tensor) -> Tensor:
        """Returns the bfloat16 copy that a step writes, here of a step that changes nothing."""
        bf16_copy, still = torch.empty(len(value), dtype=torch.bfloat16), [torch.zeros(len(value)) for _ in range(3)]
        g, m, v = still
        size = len(value)
        entry = Parameter(*(pointer(tensor) for tensor in (value, g, m, v, bf16_copy)), *(0, 1, size, size, 0))
        self.step(entry, decay=0, divisor=1, beta_1=0.9, beta_2=0.9, rate=0, root=1, epsilon=1)
        return bf16_copy
