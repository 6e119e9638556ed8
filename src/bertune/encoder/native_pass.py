"""The encoder's forward and backward passes by compiled kernels: what lies between two matrix products is one loop.

It computes what the modules compute, on their parameters, without autograd: the backward pass is written out, works in
buffers that are kept from step to step, and draws dropout's random bits again instead of keeping them.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.ablation import without
from bertune.batches.batch import Batch
from bertune.encoder.encoder import Encoder, check_ids
from bertune.encoder.layer import TransformerLayer
from bertune.encoder.native_conditions import check_computable
from bertune.native.build import NotNativeError
from bertune.native.interface import (
    ACTIVATION_CODES,
    NO_DROPOUT,
    TURN_MULTIPLE,
    Draw,
    pointer,
    threshold_of,
)
from bertune.native.kernels import kernels_for

# Tokens of a batch are rounded up to a multiple of this. The library of matrix products compiles a kernel for each
# shape it meets, 6 ms for each of a dozen products, and nearly every batch has its own number of tokens.
ROW_MULTIPLE = 64
# Below this, turning a matrix costs more than it saves.
_LEAST_ROWS_TO_TURN = 256


@dataclass
class TokenGradient:
    """The gradient of the token table, only for the rows that a step touched.

    Args:
        rows: (vocab_size,) where each row's gradient lies in `values`, -1 for rows that were not touched.
        touched: the touched rows, in the order of their gradients.
        values: (at least len(touched), hidden_size).
    """

    rows: NDArray[np.int32]
    values: Tensor
    touched: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def clear(self) -> None:
        """Forgets the step's rows."""
        self.rows[self.touched] = -1
        self.touched = np.empty(0, np.int64)

    def places_of(self, token_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Gives each token the place of its row's gradient; new places hold zeros."""
        unique = np.unique(token_ids)
        new = unique[self.rows[unique] < 0]
        start, stop = len(self.touched), len(self.touched) + len(new)
        if stop > len(self.values):
            grown = self.values.new_empty(2 * stop, self.values.shape[1])
            grown[:start] = self.values[:start]
            self.values = grown
        self.values[start:stop] = 0
        self.rows[new] = np.arange(start, stop)
        self.touched = np.concatenate([self.touched, new])
        places: NDArray[np.int32] = self.rows[token_ids]
        return places


class NativePass:
    """Runs an encoder by compiled kernels.

    Args:
        encoder: on the CPU, its parameters float32; they are read where they lie, at each pass.
        dtype: of activations and matrix products, bfloat16 or float32. With bfloat16 a copy of each matrix is kept in
            `shadows`; whoever changes the parameters refreshes it.

    Raises:
        NotNativeError: there are no kernels here, or none for such sizes.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        if without("kernels"):
            raise NotNativeError("compiled kernels are switched off")
        check_computable(encoder)
        self.encoder = encoder
        self.dtype = dtype
        self.kernels = kernels_for(dtype)
        self.threads = torch.get_num_threads()
        self.passes = 0
        self.shadows: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.token_gradient: TokenGradient | None = None
        self._layers = [_LayerPass(self, layer, index) for index, layer in enumerate(encoder.layers)]  # type: ignore[arg-type]
        self._buffers: dict[str, Tensor] = {}
        self.refresh_shadows()

    def refresh_shadows(self) -> None:
        """Copies the matrices to the type of the activations; nothing to do for float32."""
        if self.dtype == torch.float32:
            return
        for name, parameter in self.encoder.layers.named_parameters():
            if parameter.dim() == 2:
                if name not in self.shadows:
                    self.shadows[name] = torch.empty_like(parameter, dtype=self.dtype)
                self.shadows[name].copy_(parameter.detach())

    def matrix(self, name: str, parameter: Tensor) -> Tensor:
        """Returns a weight in the type of the activations."""
        return parameter.detach() if self.dtype == torch.float32 else self.shadows[name]

    def prepare_gradients(self) -> None:
        """Makes the buffers that `backward` fills, under the parameters' names in the encoder, pooler excepted."""
        for name, parameter in self.encoder.named_parameters():
            if name.startswith("pooler.") or name == "embeddings.token.weight":
                continue
            narrow = parameter.dim() == 2 and name.startswith("layers.")
            self.gradients[name] = torch.zeros_like(parameter, dtype=self.dtype if narrow else torch.float32)
        table = self.encoder.embeddings.token.weight
        self.token_gradient = TokenGradient(
            np.full(table.shape[0], -1, np.int32), torch.empty(1024, table.shape[1], dtype=torch.float32)
        )

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Returns a tensor of a shape on memory that is kept under a name; its content is what was left there."""
        dtype = dtype or self.dtype
        size = math.prod(shape)
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < size:
            kept = self._buffers[name] = torch.empty(size + size // 8, dtype=dtype)
        return kept[:size].view(shape)

    def forward(self, batch: Batch, *, seed: int | None = None, first_only: bool = False, keep: bool = False) -> Tensor:
        """Encodes a packed batch.

        Args:
            batch: on the CPU.
            seed: of dropout, 64 bits; None drops nothing.
            first_only: whether only the first token of each sequence is wanted: the last layer then computes no other.
            keep: whether `backward` follows.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`; float32.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        check_ids(batch, self.encoder.config)
        self.passes += 1
        run = self._run = _Run(batch, seed, first_only=first_only, keep=keep)
        hidden = self._embed(run)
        for layer in self._layers[:-1]:
            hidden = layer.forward(hidden, run)
        hidden = self._layers[-1].forward(hidden, run, first_only=first_only)
        rows = len(batch) if first_only else run.tokens
        return hidden[:rows].float() if self.dtype != torch.float32 else hidden[:rows].clone()

    def backward(self, gradient: Tensor, *, accumulate: bool = False) -> None:
        """Fills `gradients` and `token_gradient` from the gradient of what the last `forward` returned.

        Args:
            gradient: in the shape of that result.
            accumulate: whether to add to the gradients instead.
        """
        run = self._run
        assert run.keep, "forward was not told to keep what backward needs"
        run.accumulate = accumulate
        if not accumulate and self.token_gradient is not None:
            self.token_gradient.clear()
        last = self._layers[-1]
        rows = len(run.batch) if run.first_only else run.padded
        incoming = self.buffer("gradient", rows, gradient.shape[1])
        incoming[: len(gradient)].copy_(gradient)
        first, second = last.backward(incoming, None, run, first_only=run.first_only)
        for layer in reversed(self._layers[:-1]):
            first, second = layer.backward(first, second, run)
        self._embed_backward(first, second, run)

    def _embed(self, run: "_Run") -> Tensor:
        e, h = self.encoder.embeddings, self.encoder.config.hidden_size
        out = self.buffer("embedded", run.padded, h)
        mean, rstd = (self.buffer(f"embedded.{name}", run.padded, dtype=torch.float32) for name in ("mean", "rstd"))
        self.kernels.embed_forward(
            *(pointer(ids) for ids in run.ids),
            *(pointer(table) for table in (e.token.weight, e.position.weight, e.token_type.weight)),
            *(pointer(part) for part in (e.norm.weight, e.norm.bias)),
            e.norm.eps,
            *(pointer(tensor) for tensor in (out, mean, rstd)),
            run.tokens,
            run.padded,
            h,
            *run.draw(e.dropout.probability, 0),
            self.threads,
        )
        return out

    def _embed_backward(self, first: Tensor, second: Tensor, run: "_Run") -> None:
        e, h = self.encoder.embeddings, self.encoder.config.hidden_size
        assert self.token_gradient is not None
        sums = self.buffer("embedded.sums", run.tokens, h, dtype=torch.float32)
        mean, rstd = (self.buffer(f"embedded.{name}", run.padded, dtype=torch.float32) for name in ("mean", "rstd"))
        g = self.gradients
        self.kernels.embed_backward(
            *(pointer(ids) for ids in run.ids),
            *(pointer(table) for table in (e.token.weight, e.position.weight, e.token_type.weight)),
            *(pointer(tensor) for tensor in (e.norm.weight, mean, rstd, first, second, sums)),
            pointer(g["embeddings.norm.weight"]),
            pointer(g["embeddings.norm.bias"]),
            pointer(self.parts(2 * h)),
            run.accumulate,
            run.tokens,
            h,
            *run.draw(e.dropout.probability, 0),
            self.threads,
        )
        places = torch.from_numpy(self.token_gradient.places_of(run.batch.token_ids.numpy()))
        tables = (g["embeddings.position.weight"], g["embeddings.token_type.weight"])
        if not run.accumulate:
            for table in tables:
                table.zero_()
        for rows, into in zip((places, *run.ids[1:]), (self.token_gradient.values, *tables), strict=True):
            self.kernels.scatter_rows(pointer(rows), pointer(sums), pointer(into), run.tokens, h, self.threads)

    def add_product(self, into: Tensor, g: Tensor, x: Tensor, *, accumulate: bool) -> None:
        """Writes, or adds, the gradient of a weight: (outputs, inputs) = g turned, times x."""
        turned = g.t()
        rows, columns = g.shape
        if g.dtype == torch.bfloat16 and rows >= _LEAST_ROWS_TO_TURN and not (rows | columns) % TURN_MULTIPLE:
            turned = self.buffer("turned", columns, rows)
            self.kernels.turn16(pointer(g), pointer(turned), rows, columns, self.threads)
        if accumulate:
            torch.addmm(into, turned, x, out=into)
        else:
            torch.mm(turned, x, out=into)

    def parts(self, width: int) -> Tensor:
        """Returns room for partial sums, a row a thread."""
        return self.buffer("parts", self.threads, width, dtype=torch.float32)


class _Run:
    """One pass over one batch."""

    def __init__(self, batch: Batch, seed: int | None, *, first_only: bool, keep: bool) -> None:
        self.batch = batch
        self.seed = seed
        self.first_only = first_only
        self.keep = keep
        self.accumulate = False
        self.tokens = batch.layout.num_tokens
        multiple = 1 if without("row-rounding") else ROW_MULTIPLE
        self.padded = -(-self.tokens // multiple) * multiple
        ids = (batch.token_ids, batch.position_ids, batch.token_type_ids)
        self.ids = tuple(tensor.to(torch.int32).contiguous() for tensor in ids)
        self.cu = batch.layout.cu_seqlens
        self.max_length = batch.layout.max_seqlen

    def draw(self, probability: float, site: int) -> Draw:
        """Returns the dropout of a place in the encoder; places have numbers, so that each draws bits of its own."""
        if self.seed is None or probability == 0:
            return NO_DROPOUT
        return Draw(threshold_of(probability), (self.seed + site * 0x9E3779B97F4A7C15) % (1 << 64))


class _LayerPass:
    """One transformer layer: the four products, and the kernels between them."""

    def __init__(self, owner: NativePass, layer: TransformerLayer, index: int) -> None:
        self.owner = owner
        self.layer = layer
        self.index = index
        self.heads = layer.attention.num_heads
        self.kind = ACTIVATION_CODES[owner.encoder.config.hidden_act]

    def forward(self, x: Tensor, run: _Run, *, first_only: bool = False) -> Tensor:
        """Maps (padded tokens, hidden_size) to the same, or to (sequences, hidden_size)."""
        layer, h = self.layer, x.shape[1]
        self.x = x
        self.residual = x[: run.tokens].index_select(0, run.batch.layout.first_tokens) if first_only else x
        rows, padded = (len(run.batch), len(run.batch)) if first_only else (run.tokens, run.padded)
        self.rows, self.padded, self.first_only = rows, padded, first_only
        self._project(run, first_only=first_only)
        self.context = self._buffer(run, "context", padded, h)
        self.lse = self._buffer(run, "lse", self.heads, padded, dtype=torch.float32)
        self._attend(run)
        self.attended = self._product(run, "attended", self.context, "attention.output.weight")
        self.y, self.norm1 = self._norm(
            run, "y", self.attended, layer.attention.output.bias, self.residual, layer.attention_norm, 2
        )
        self.widened = self._product(run, "widened", self.y, "feed_forward.intermediate.weight")
        self.active = self._buffer(run, "active", padded, self.widened.shape[1])
        self.owner.kernels.activation_forward(
            pointer(self.widened),
            pointer(layer.feed_forward.intermediate.bias),
            pointer(self.active),
            rows,
            padded,
            self.widened.shape[1],
            self.kind,
            self.owner.threads,
        )
        self.narrowed = self._product(run, "narrowed", self.active, "feed_forward.output.weight")
        out, self.norm2 = self._norm(
            run, "out", self.narrowed, layer.feed_forward.output.bias, self.y, layer.output_norm, 3
        )
        return out

    def backward(
        self, first: Tensor, second: Tensor | None, run: _Run, *, first_only: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Maps the gradient of the output, as the sum of two, to that of the input, as the sum of two."""
        layer, h = self.layer, first.shape[1]
        shared = self.owner.buffer
        dz, dy = shared("dz", self.padded, h), shared("dy", self.padded, h)
        norm, dense = layer.output_norm, layer.feed_forward.output
        self._norm_backward(run, first, second, self.narrowed, dense, self.y, norm, self.norm2, dz, dy, 3)
        d_active = self._product_backward(run, "d_active", dz, self.active, "feed_forward.output.weight")
        self.owner.kernels.activation_backward(
            pointer(d_active),
            pointer(self.widened),
            pointer(layer.feed_forward.intermediate.bias),
            self._gradient("feed_forward.intermediate.bias"),
            pointer(self.owner.parts(d_active.shape[1])),
            run.accumulate,
            self.rows,
            d_active.shape[1],
            self.kind,
            self.owner.threads,
        )
        dy2 = self._product_backward(run, "dy2", d_active, self.y, "feed_forward.intermediate.weight")
        da, dx = shared("da", self.padded, h), shared("dx", self.padded, h)
        norm, dense = layer.attention_norm, layer.attention.output
        self._norm_backward(run, dy, dy2, self.attended, dense, self.residual, norm, self.norm1, da, dx, 2)
        d_context = self._product_backward(run, "d_context", da, self.context, "attention.output.weight")
        return self._attend_backward(run, d_context, dx, first_only=first_only)

    def _buffer(self, run: _Run, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        # Without a backward pass two layers' worth of memory is enough: one is read while the other is written.
        index = self.index if run.keep else self.index % 2
        return self.owner.buffer(f"{index}.{name}", *shape, dtype=dtype)

    def _weight(self, name: str) -> Tensor:
        parameter = self.layer.get_parameter(name)
        return self.owner.matrix(f"{self.index}.{name}", parameter)

    def _gradient_tensor(self, name: str) -> Tensor:
        return self.owner.gradients[f"layers.{self.index}.{name}"]

    def _gradient(self, name: str) -> int:
        return pointer(self._gradient_tensor(name))

    def _product(self, run: _Run, name: str, x: Tensor, weight: str) -> Tensor:
        matrix = self._weight(weight)
        return torch.mm(x, matrix.t(), out=self._buffer(run, name, len(x), len(matrix)))

    def _product_backward(self, run: _Run, name: str, g: Tensor, x: Tensor, weight: str) -> Tensor:
        self.owner.add_product(self._gradient_tensor(weight), g, x, accumulate=run.accumulate)
        return torch.mm(g, self._weight(weight), out=self.owner.buffer(name, len(g), x.shape[1]))

    def _project(self, run: _Run, *, first_only: bool) -> None:
        h, matrix = self.x.shape[1], self._weight("attention.qkv.weight")
        if not first_only:
            qkv = self._product(run, "qkv", self.x, "attention.qkv.weight")
            self.q, self.k, self.v = qkv[:, :h], qkv[:, h : 2 * h], qkv[:, 2 * h :]
            return
        self.q = torch.mm(self.residual, matrix[:h].t(), out=self._buffer(run, "first_q", len(self.residual), h))
        kv = torch.mm(self.x, matrix[h:].t(), out=self._buffer(run, "kv", run.padded, 2 * h))
        self.k, self.v = kv[:, :h], kv[:, h:]

    def _attention_inputs(self) -> tuple[int, ...]:
        h, bias = self.x.shape[1], self.layer.attention.qkv.bias
        return (
            *(pointer(self.q), self.q.stride(0), pointer(self.k), pointer(self.v), self.k.stride(0)),
            *(pointer(bias[start:]) for start in (0, h, 2 * h)),
        )

    def _attention_sizes(self, run: _Run) -> tuple[int, ...]:
        queries_each = int(self.first_only)  # 0 is every token
        return (len(run.batch), self.heads, self.x.shape[1] // self.heads, run.max_length, queries_each)

    def _scratch(self, sizes: tuple[int, ...]) -> Tensor:
        _, _, d, max_length, each = sizes
        size = self.owner.kernels.attention_scratch(max_length, each, d)
        return self.owner.buffer("scratch", self.owner.threads, size, dtype=torch.float32)

    def _attend(self, run: _Run) -> None:
        sizes = self._attention_sizes(run)
        self.owner.kernels.attention_forward(
            *self._attention_inputs(),
            *(pointer(self.context), pointer(self.lse), self.padded, pointer(run.cu)),
            *sizes,
            self.padded,
            pointer(self._scratch(sizes)),
            *run.draw(self.layer.attention.dropout.probability, self._site(1)),
            self.owner.threads,
        )

    def _attend_backward(self, run: _Run, d_context: Tensor, dx: Tensor, *, first_only: bool) -> tuple[Tensor, Tensor]:
        h, shared = self.x.shape[1], self.owner.buffer
        if first_only:
            dq, dkv = shared("d_first_q", self.rows, h), shared("dqkv", run.padded, 2 * h)
            dk, dv = dkv[:, :h], dkv[:, h:]
        else:
            dkv = shared("dqkv", run.padded, 3 * h)
            dq, dk, dv = dkv[:, :h], dkv[:, h : 2 * h], dkv[:, 2 * h :]
        dkv[run.tokens :].zero_()
        sizes = self._attention_sizes(run)
        self.owner.kernels.attention_backward(
            *self._attention_inputs(),
            *(pointer(d_context), pointer(self.lse), self.padded),
            *(pointer(tensor) for tensor in (dq, dk, dv)),
            self._gradient("attention.qkv.bias"),
            pointer(run.cu),
            *sizes,
            *(pointer(self._scratch(sizes)), pointer(self.owner.parts(3 * h)), run.accumulate),
            *run.draw(self.layer.attention.dropout.probability, self._site(1)),
            self.owner.threads,
        )
        matrix, gradient = self._weight("attention.qkv.weight"), self._gradient_tensor("attention.qkv.weight")
        if not first_only:
            self.owner.add_product(gradient, dkv, self.x, accumulate=run.accumulate)
            return torch.mm(dkv, matrix, out=shared("dx2", run.padded, h)), dx
        self.owner.add_product(gradient[:h], dq, self.residual, accumulate=run.accumulate)
        self.owner.add_product(gradient[h:], dkv, self.x, accumulate=run.accumulate)
        through_kv = torch.mm(dkv, matrix[h:], out=shared("dx2", run.padded, h))
        to_first = shared("to_first", run.padded, h).zero_()
        to_first[run.batch.layout.first_tokens] = torch.addmm(dx, dq, matrix[:h])
        return through_kv, to_first

    def _site(self, place: int) -> int:
        return 4 * self.index + place

    def _norm(
        self, run: _Run, name: str, x: Tensor, bias: Tensor, residual: Tensor, norm: torch.nn.LayerNorm, place: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        out = self._buffer(run, name, self.padded, x.shape[1])
        mean = self._buffer(run, f"{name}.mean", self.padded, dtype=torch.float32)
        rstd = self._buffer(run, f"{name}.rstd", self.padded, dtype=torch.float32)
        self.owner.kernels.residual_norm_forward(
            *(pointer(tensor) for tensor in (x, bias, residual, norm.weight, norm.bias)),
            norm.eps,
            *(pointer(tensor) for tensor in (out, mean, rstd)),
            *(self.rows, self.padded, x.shape[1]),
            *run.draw(self.layer.dropout.probability, self._site(place)),
            self.owner.threads,
        )
        return out, (mean, rstd)

    def _norm_backward(
        self,
        run: _Run,
        first: Tensor,
        second: Tensor | None,
        x: Tensor,
        dense: torch.nn.Linear,
        residual: Tensor,
        norm: torch.nn.LayerNorm,
        statistics: tuple[Tensor, Tensor],
        dx: Tensor,
        dresidual: Tensor,
        place: int,
    ) -> None:
        names = ("attention_norm", "attention.output") if place == 2 else ("output_norm", "feed_forward.output")
        self.owner.kernels.residual_norm_backward(
            *(pointer(tensor) for tensor in (first, second, x, dense.bias, residual, norm.weight, *statistics)),
            *(pointer(tensor) for tensor in (dx, dresidual)),
            *(self._gradient(name) for name in (f"{names[0]}.weight", f"{names[0]}.bias", f"{names[1]}.bias")),
            pointer(self.owner.parts(3 * x.shape[1])),
            run.accumulate,
            *(self.rows, self.padded, x.shape[1]),
            *run.draw(self.layer.dropout.probability, self._site(place)),
            self.owner.threads,
        )
