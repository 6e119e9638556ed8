"""One transformer layer by compiled kernels, forward and backward."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bertune.ablation import without
from bertune.batches.batch import Batch
from bertune.encoder.layer import TransformerLayer
from bertune.native.interface import ACTIVATION_CODES, NO_DROPOUT, Draw, pointer, threshold_of

if TYPE_CHECKING:
    from bertune.encoder.native_pass import NativePass

# Tokens of a batch are rounded up to a multiple of this. The library of matrix products compiles a kernel for each
# shape it meets, 6 ms for each of a dozen products, and nearly every batch has its own number of tokens.
ROW_MULTIPLE = 64


class Run:
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


class LayerPass:
    """One transformer layer: the four products, and the kernels between them."""

    def __init__(self, owner: "NativePass", layer: TransformerLayer, index: int) -> None:
        self.owner = owner
        self.layer = layer
        self.index = index
        self.heads = layer.attention.num_heads
        self.kind = ACTIVATION_CODES[owner.encoder.config.hidden_act]

    def forward(self, x: Tensor, run: Run, *, first_only: bool = False) -> Tensor:
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
        self, first: Tensor, second: Tensor | None, run: Run, *, first_only: bool = False
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

    def _buffer(self, run: Run, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
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

    def _product(self, run: Run, name: str, x: Tensor, weight: str) -> Tensor:
        matrix = self._weight(weight)
        return torch.mm(x, matrix.t(), out=self._buffer(run, name, len(x), len(matrix)))

    def _product_backward(self, run: Run, name: str, g: Tensor, x: Tensor, weight: str) -> Tensor:
        self.owner.add_product(self._gradient_tensor(weight), g, x, accumulate=run.accumulate)
        return torch.mm(g, self._weight(weight), out=self.owner.buffer(name, len(g), x.shape[1]))

    def _project(self, run: Run, *, first_only: bool) -> None:
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

    def _attention_sizes(self, run: Run) -> tuple[int, ...]:
        queries_each = int(self.first_only)  # 0 is every token
        return (len(run.batch), self.heads, self.x.shape[1] // self.heads, run.max_length, queries_each)

    def _scratch(self, sizes: tuple[int, ...]) -> Tensor:
        _, _, d, max_length, each = sizes
        size = self.owner.kernels.attention_scratch(max_length, each, d)
        return self.owner.buffer("scratch", self.owner.threads, size, dtype=torch.float32)

    def _attend(self, run: Run) -> None:
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

    def _attend_backward(self, run: Run, d_context: Tensor, dx: Tensor, *, first_only: bool) -> tuple[Tensor, Tensor]:
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
        self, run: Run, name: str, x: Tensor, bias: Tensor, residual: Tensor, norm: torch.nn.LayerNorm, place: int
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
        run: Run,
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
