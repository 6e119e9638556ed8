"""A layer whose contents meet vectors of distances, by compiled kernels: that of DeBERTa's versions 2 and 3.

The vectors lie behind the tokens in the input of each layer, so that one product makes the queries and keys of both,
and its gradient is that of both uses of the weights.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from bertune.kernels.build import NoKernelsError
from bertune.kernels.calls import Calls
from bertune.kernels.distances import distance_vectors
from bertune.kernels.layer_calls import PLACES
from bertune.kernels.relative_layer import RelativeLayerPlan
from bertune.models.encoder import Encoder
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.norm import Norm
from bertune.nn.relative_positions import RelativePositions


def expected_shapes(encoder: Encoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the shapes of what such an encoder has beside BERT's parameters.

    Raises:
        NoKernelsError: distances that the kernels do not compute.
    """
    positions, h = encoder.relative_positions, encoder.config.hidden_size
    if positions is None or positions.norm is None:
        raise NoKernelsError("the encoder's vectors of distances have no norm")
    for layer in encoder.layers:
        attention = layer.attention
        assert isinstance(attention, DisentangledSelfAttention)
        terms = attention.terms
        if terms.own_products:
            raise NoKernelsError("the encoder's distances have products of their own (share_att_key is false)")
        if attention.scale != 1 / math.sqrt(h // attention.num_heads * (1 + terms.asked + terms.asking)):
            raise NoKernelsError("the encoder's scale of scores is not that of its configuration")
    yield "relative_positions.table.weight", (2 * positions.distances.span, h)
    yield "relative_positions.norm.weight", (h,)
    yield "relative_positions.norm.bias", (h,)


class DisentangledLayerPlan(RelativeLayerPlan):
    """Adds the calls of such a layer. Each draws dropout of its own for the vectors, as the modules do."""

    def _rows_with_distances(self, calls: Calls, x: Tensor) -> Tensor:
        workspace, shape, h = self.workspace, self.shape, x.shape[1]
        table, norm = self._table_and_norm()
        rows, self.vector_of, behind = distance_vectors(self._positions(), shape.longest)
        self.vectors, self.padded_vectors = len(rows), behind
        # The kernel adds up three tables; of these two are zeros, read at row 0.
        nowhere, nothing = torch.zeros_like(rows), torch.zeros(1, h)
        self.tables = (rows, nowhere, nowhere, table.weight, nothing, nothing, norm.weight)
        self.statistics = [
            workspace.buffer(f"relative.{name}", behind, dtype=torch.float32) for name in ("mean", "rstd")
        ]
        given = x.as_strided((shape.padded + behind, h), (h, 1))
        calls.add(
            self.kernels.embed_forward,
            *(*self.tables, norm.bias, norm.eps, given[shape.padded :], *self.statistics),
            *(self.vectors, behind, h, *self._draw_vectors(), workspace.threads),
        )
        return given

    def _distance_fields(self) -> dict[str, Tensor | int]:
        terms = self._attention().terms
        d = self.workspace.encoder.config.hidden_size // self.heads
        tables = self.heads * self.kernels.distance_tables(self.shape.longest, d)
        return {
            "vector_of": self.vector_of,
            "tables": self.workspace.buffer("relative.tables", tables, dtype=torch.float32),
            "gradients": self._gradients_of_heads(2 * self.places * d),
            "vectors": self.vectors,
            "padded_vectors": self.padded_vectors,
            "asked": int(terms.asked),
            "asking": int(terms.asking),
        }

    def _distances_backward(self, calls: Calls, behind: Tensor, *, accumulate: bool) -> None:
        workspace, h = self.workspace, behind.shape[1]
        into, dgamma, dbeta = (
            workspace.gradients[f"relative_positions.{name}"] for name in ("table.weight", "norm.weight", "norm.bias")
        )
        sums = workspace.buffer("relative.sums", self.padded_vectors, h, dtype=torch.float32)
        calls.add(
            self.kernels.embed_backward,
            *(*self.tables, *self.statistics, behind, None, sums, dgamma, dbeta, workspace.parts(2 * h)),
            *(accumulate, self.vectors, h, *self._draw_vectors(), workspace.threads),
        )
        if not accumulate:
            calls.add_zeros(into)
        rows = self.tables[0]
        calls.add(self.kernels.scatter_rows, rows, sums, into, self.vectors, h, workspace.threads)

    def _draw_vectors(self) -> tuple[object, object]:
        # Behind the places of all layers.
        site = PLACES * len(self.workspace.encoder.layers_in_order) + 1 + self.index
        return self.workspace.draw(self.shape, self._attention().position_dropout.probability, site)

    def _attention(self) -> DisentangledSelfAttention:
        attention = self.layer.attention
        assert isinstance(attention, DisentangledSelfAttention)
        return attention

    def _positions(self) -> RelativePositions:
        positions = self.workspace.encoder.relative_positions
        assert positions is not None
        return positions

    def _table_and_norm(self) -> tuple[torch.nn.Embedding, Norm]:
        positions = self._positions()
        assert positions.norm is not None
        return positions.table, positions.norm
