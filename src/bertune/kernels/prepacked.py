"""Weights laid out for the matrix product once, where torch has oneDNN's operators for that.

The operators are private in torch (its compiler uses them when a model is frozen), so they are tried before they are
trusted; where they are missing or wrong, products read the weights as they lie.
"""

from ctypes import c_void_p
from functools import cache

import torch
from torch import Tensor

from bertune.nn.exact_products import are_of_onednn, fast_float32_products

# A result is rounded to bfloat16, at most half of 2**-7 of itself; a wrong layout would be wrong throughout.
_TOLERANCE = 2.0**-7
# Rows, inputs and outputs: of a short text, of a long one and of a batch; of a narrow encoder and of wider ones.
_TRIED = ((64, 384, 1152), (64, 1536, 384), (64, 768, 768), (192, 384, 1536), (1024, 96, 64))


def can_prepack(dtype: torch.dtype) -> bool:
    """Returns whether weights of a type can be laid out beforehand here.

    In float32 only where oneDNN multiplies them in any case, and gives the same bits (of one or two rows with matrices
    of less than 256 columns it may round otherwise): elsewhere it is left to torch which of two libraries does.
    """
    if dtype == torch.float32:
        return are_of_onednn() and _is_same()
    return dtype == torch.bfloat16 and _is_exact()


class PackedMatrix:
    """A weight in the layout that oneDNN's product reads fastest.

    Args:
        weight: (outputs, inputs), bfloat16 or float32.
    """

    def __init__(self, weight: Tensor) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight)

    def product(self, x: Tensor) -> Tensor:
        """Maps (rows, inputs) to (rows, outputs), a new tensor."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


class LatestProduct:
    """Holds the last product of packed weights; kernels get its address when they are called.

    Each product lies elsewhere, and is read by the kernel that comes next.
    """

    def __init__(self) -> None:
        self.address = c_void_p()
        self._tensor: Tensor | None = None

    def compute(self, x: Tensor, matrix: PackedMatrix) -> None:
        """Puts a product in the place of the one before."""
        self._tensor = None  # so that the new one may take its memory, which the processor still has near
        self._tensor = matrix.product(x)
        self.address.value = self._tensor.data_ptr()


@cache
def _is_same() -> bool:
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(), fast_float32_products():
        for rows, inputs, outputs in _TRIED:
            x, weight = (torch.randn(size, inputs, generator=generator) for size in (rows, outputs))
            try:
                product = PackedMatrix(weight).product(x)
            except (AttributeError, RuntimeError):
                return False
            if product.dtype != x.dtype or not torch.equal(product, x @ weight.t()):
                return False
    return True


@cache
def _is_exact() -> bool:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(64, 96, generator=generator).bfloat16() for _ in range(2))
    exact = x.double() @ weight.double().t()
    try:
        product = PackedMatrix(weight).product(x)
    except (AttributeError, RuntimeError):  # no such operator, or none for this processor
        return False
    error = (product.double() - exact).abs().max() / exact.abs().max()
    return product.dtype == x.dtype and bool(error < _TOLERANCE)
