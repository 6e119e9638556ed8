"""Random numbers and sizes with which freshly loaded kernels are tried."""

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
    return tensor.float().numpy().astype(np.float64)
