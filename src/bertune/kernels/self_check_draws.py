"""Random tensors with their exact values, for the comparison of kernels with plain formulas."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Finding = tuple[Tensor, Array]


class Draws:
    """Random tensors of the activations' type or of float32, each with its exact value.

    Args:
        dtype: of activations.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.threads = torch.get_num_threads()
        # Not numpy's, whose import takes longer than the whole check.
        self._source = torch.Generator().manual_seed(0)

    def narrow(self, *shape: int) -> Finding:
        """Draws a tensor of the activations' type."""
        tensor = torch.randn(shape, generator=self._source).to(self.dtype)
        return tensor, value_of(tensor)

    def wide(self, *shape: int) -> Finding:
        """Draws a tensor of float32."""
        tensor = torch.randn(shape, generator=self._source)
        return tensor, value_of(tensor)


def value_of(tensor: Tensor) -> Array:
    """Returns the numbers of a tensor in float64."""
    return tensor.float().numpy().astype(np.float64)
