"""What every plan of a layer does alike: its buffers, weights and gradients by name, its products, its dropouts."""

from abc import ABC, abstractmethod
from ctypes import c_long

import torch
from torch import Tensor, nn

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.prepacked import LatestProduct
from bertune.kernels.workspace import Workspace

# Places of a layer that draw dropout; each has a number, from 1 on.
PLACES = 3


class LayerCalls(ABC):
    """Adds the calls of one layer of an encoder.

    Args:
        workspace: its buffers, weights and gradients.
        layer: whose parameters are read.
        index: of the layer, in the order in which layers compute.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, layer: nn.Module, index: int, shape: Shape) -> None:
        self.workspace = workspace
        self.kernels = workspace.kernels
        self.parameters_of = layer
        self.index = index
        # Layers may share their weights.
        self.stored = index % len(workspace.encoder.layers)
        self.shape = shape
        self.rows: int | c_long = workspace.tokens  # real rows behind attention; `padded` are computed
        self.padded = shape.padded
        # Whether something below wants the gradient of this layer's input.
        self.passes_on = workspace.starts_at is None or index > workspace.starts_at

    @abstractmethod
    def forward(self, calls: Calls, x: Tensor) -> Tensor:
        """Maps (padded tokens, hidden_size) to the same."""

    @abstractmethod
    def backward(
        self, calls: Calls, first: Tensor, second: Tensor | None, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Maps the gradient of the output, as the sum of two, to that of the input, as the sum of two.

        Where the layer does not pass it on, what is returned may be anything.
        """

    def _draw(self, probability: float, place: int) -> tuple[object, object]:
        return self.workspace.draw(self.shape, probability, PLACES * self.index + place)

    def _buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        # Without a backward pass two layers' worth of memory is enough: one is read while the other is written.
        index = self.index if self.shape.keep else self.index % 2
        return self.workspace.buffer(f"{index}.{name}", *shape, dtype=dtype)

    def _weight(self, name: str) -> Tensor:
        return self.workspace.matrix(f"{self.stored}.{name}", self.parameters_of.get_parameter(name))

    def _gradient(self, name: str) -> Tensor:
        return self.workspace.gradient_of_part(f"layers.{self.stored}.{name}")

    def _product(self, calls: Calls, name: str, x: Tensor, weight: str) -> Tensor | LatestProduct:
        if self.workspace.prepacked:
            packed = self.workspace.packed(f"{self.stored}.{weight}", self.parameters_of.get_parameter(weight))
            calls.add_packed_product(self.workspace.product, x, packed)
            return self.workspace.product
        matrix = self._weight(weight)
        out = self._buffer(name, len(x), len(matrix))
        calls.add_product(out, x, matrix.t())
        return out

    def _product_backward(
        self, calls: Calls, name: str, g: Tensor, x: Tensor, weight: str, *, accumulate: bool
    ) -> Tensor:
        self._add_weight_gradient(calls, g, x, weight, accumulate=accumulate)
        out = self.workspace.buffer(name, len(g), x.shape[1])
        calls.add_product(out, g, self._weight(weight))
        return out

    def _add_weight_gradient(self, calls: Calls, g: Tensor, x: Tensor, weight: str, *, accumulate: bool) -> None:
        self.workspace.add_weight_gradient(calls, self._gradient(weight), g, x, accumulate=accumulate)
