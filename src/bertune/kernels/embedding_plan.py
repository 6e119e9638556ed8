"""The embeddings by compiled kernels, forward and backward, for batches of one shape."""

import torch
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.kernels.calls import Calls, Shape
from bertune.kernels.distances import rows_behind
from bertune.kernels.interface import pointer
from bertune.kernels.workspace import Workspace
from bertune.nn.dense import Dense, rows_of

_NAMES = ("position", "token_type")


class EmbeddingPlan:
    """Adds the calls from ids to what the first layer takes: tables, norm, and a dense layer where there is one.

    Args:
        workspace: its buffers and gradients.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, shape: Shape) -> None:
        self.workspace = workspace
        self.shape = shape
        embeddings = workspace.encoder.embeddings
        self.embeddings = embeddings
        self.width = embeddings.token.weight.shape[1]
        self._ids = workspace.buffer("ids", 3, shape.padded, dtype=torch.int32)
        # In the place of a table that is not there, read at row 0: adding it changes no bit.
        nothing = torch.zeros(1, self.width)
        self._tables = [
            nothing if table is None else table.weight for table in (embeddings.position, embeddings.token_type)
        ]
        bias = embeddings.norm.bias
        self._norm_bias = torch.zeros(self.width) if bias is None else bias

    def take(self, batch: Batch) -> None:
        """Copies a batch's ids to where the calls read them."""
        tokens, e = batch.layout.num_tokens, self.embeddings
        self._ids[0, :tokens].copy_(rows_of(e.token, batch.token_ids))
        # Batches of other shapes leave other ids in this memory: what is not there is read at row 0 each time.
        self._ids[1, :tokens] = 0 if e.position is None else e.position_rows(batch)
        self._ids[2, :tokens] = 0 if e.token_type is None else batch.token_type_ids

    def forward(self, calls: Calls) -> Tensor:
        """Adds the way to the hidden states, (padded tokens, hidden_size)."""
        workspace, padded, e = self.workspace, self.shape.padded, self.embeddings
        projection = e.projection
        behind = rows_behind(workspace.encoder, self.shape)
        room = padded if projection is not None else padded + behind
        out = workspace.buffer("embedded", room, self.width)[:padded]
        self._statistics = [
            workspace.buffer(f"embedded.{name}", padded, dtype=torch.float32) for name in ("mean", "rstd")
        ]
        calls.add(
            workspace.kernels.embed_forward,
            *(*self._ids, e.token.weight, *self._tables, e.norm.weight, self._norm_bias),
            *(e.norm.eps, out, *self._statistics, workspace.tokens, padded, self.width),
            *(*workspace.draw(self.shape, e.dropout.probability, 0), workspace.threads),
        )
        if projection is None:
            return out
        h = workspace.encoder.config.hidden_size
        return self._project(calls, projection, out, workspace.buffer("projected", padded + behind, h)[:padded])

    def backward(self, calls: Calls, first: Tensor, second: Tensor | None, *, accumulate: bool) -> None:
        """Adds the way back from the gradient of the hidden states, as the sum of two."""
        workspace, e, gradients = self.workspace, self.embeddings, self.workspace.gradients
        if e.projection is not None:
            first, second = self._project_backward(calls, e.projection, (first, second), accumulate=accumulate), None
        of_norm = [
            gradients.get(f"embeddings.norm.{name}", workspace.buffer("unused", self.width, dtype=torch.float32))
            for name in ("weight", "bias")
        ]
        self._sums = workspace.buffer("embedded.sums", self.shape.padded, self.width, dtype=torch.float32)
        calls.add(
            workspace.kernels.embed_backward,
            *(*self._ids, e.token.weight, *self._tables, e.norm.weight),
            *(*self._statistics, first, second, self._sums),
            *(*of_norm, workspace.parts(2 * self.width)),
            *(accumulate, workspace.tokens, self.width),
            *(*workspace.draw(self.shape, e.dropout.probability, 0), workspace.threads),
        )
        for rows, name in zip(self._ids[1:], _NAMES, strict=True):
            if f"embeddings.{name}.weight" not in gradients:
                continue
            into = gradients[f"embeddings.{name}.weight"]
            if not accumulate:
                calls.add_zeros(into)
            calls.add(
                workspace.kernels.scatter_rows, rows, self._sums, into, workspace.tokens, self.width, workspace.threads
            )

    def add_up_token_rows(self) -> None:
        """Adds the gradient of each token to that of its row; where the rows' gradients lie may change each time."""
        workspace = self.workspace
        assert workspace.token_gradient is not None
        places = workspace.buffer("places", self.shape.padded, dtype=torch.int32)
        workspace.token_gradient.give_places(workspace.kernels, self._ids[0], workspace.tokens.value, places)
        into = workspace.token_gradient.values
        workspace.kernels.scatter_rows(
            *(pointer(tensor) for tensor in (places, self._sums, into)),
            workspace.tokens,
            into.shape[1],
            workspace.threads,
        )

    def _project(self, calls: Calls, projection: Dense, embedded: Tensor, out: Tensor) -> Tensor:
        """Adds the dense layer; in float32, as in the modules: it is small."""
        self._wide = self._widened(calls, "embedded.wide", embedded)
        weight, bias = projection.weight.detach(), projection.bias.detach()
        wide_out = out if out.dtype == torch.float32 else self._room("projected.wide", out.shape[1])
        calls.add_operation(torch.addmm, bias, self._wide, weight.t(), out=wide_out)
        if wide_out is not out:
            calls.add_operation(out.copy_, wide_out)
        return out

    def _project_backward(
        self, calls: Calls, projection: Dense, g: tuple[Tensor, Tensor | None], *, accumulate: bool
    ) -> Tensor:
        workspace, padded, (h, width) = self.workspace, self.shape.padded, projection.weight.shape
        weight, bias = (workspace.gradients[f"embeddings.projection.{name}"] for name in ("weight", "bias"))
        sums, back = self._room("projected.sums", h), self._room("projected.back", width)
        calls.add(
            workspace.kernels.widen_sums,
            *(*g, sums, bias, workspace.parts(h), accumulate, workspace.tokens, padded, h, workspace.threads),
        )
        calls.add_product(weight, sums.t(), self._wide, accumulate=accumulate)
        calls.add_product(back, sums, projection.weight.detach())
        if workspace.dtype == torch.float32:
            return back
        narrow = workspace.buffer("projected.narrow", padded, width)
        calls.add_operation(narrow.copy_, back)
        return narrow

    def _widened(self, calls: Calls, name: str, tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.float32:
            return tensor
        wide = self._room(name, tensor.shape[1])
        calls.add_operation(wide.copy_, tensor)
        return wide

    def _room(self, name: str, width: int) -> Tensor:
        return self.workspace.buffer(name, self.shape.padded, width, dtype=torch.float32)
