"""The encoder's forward and backward passes by compiled kernels: what lies between two matrix products is one loop.

It computes what the modules compute, on their parameters, without autograd: the backward pass is written out, works in
buffers that are kept from step to step, and draws dropout's random bits again instead of keeping them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from bertune.ablation import without
from bertune.batches.batch import Batch
from bertune.encoder.encoder import Encoder, check_ids
from bertune.encoder.native_conditions import check_computable
from bertune.encoder.native_layer import LayerPass, Run
from bertune.encoder.token_gradient import TokenGradient
from bertune.native.build import NotNativeError
from bertune.native.interface import (
    TURN_MULTIPLE,
    pointer,
)
from bertune.native.kernels import kernels_for

# Below this, turning a matrix costs more than it saves.
_LEAST_ROWS_TO_TURN = 256


def require_native(encoder: Encoder, dtype: torch.dtype) -> None:
    """Asks for the compiled kernels of an encoder; compiles them where that was not done before.

    Raises:
        NotNativeError: there are none here, or none for such an encoder; says why.
    """
    if without("kernels"):
        raise NotNativeError("compiled kernels are switched off")
    check_computable(encoder)
    kernels_for(dtype)


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
        require_native(encoder, dtype)
        self.encoder = encoder
        self.dtype = dtype
        self.kernels = kernels_for(dtype)
        self.threads = torch.get_num_threads()
        self.passes = 0
        self.shadows: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.token_gradient: TokenGradient | None = None
        self._layers = [LayerPass(self, layer, index) for index, layer in enumerate(encoder.layers)]  # type: ignore[arg-type]
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
        run = self._run = Run(batch, seed, first_only=first_only, keep=keep)
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

    def _embed(self, run: Run) -> Tensor:
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

    def _embed_backward(self, first: Tensor, second: Tensor, run: Run) -> None:
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
