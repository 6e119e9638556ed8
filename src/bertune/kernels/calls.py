"""The calls of a pass, made once for each shape of batch and repeated for every batch of that shape.

For a small encoder, looking up parameters, taking views and converting arguments costs as much as the arithmetic. So
the arguments are made once. What differs from batch to batch lies in memory that they point to: buffers, and numbers
of ctypes, which are read when the call is made. Parameters must stay where they lie while there are plans.
"""

from collections.abc import Callable
from ctypes import Structure, byref
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bertune.batches.batch import ROW_MULTIPLE, Batch
from bertune.kernels.interface import pointer
from bertune.kernels.prepacked import LatestProduct, PackedMatrix

_LENGTH_MULTIPLE = 32
# Of a text alone: it has few lengths, so that a shape for each sixteenth token are few, and to compute no more than it
# has is worth more than the shapes.
_ROW_MULTIPLE_ALONE = 16


class Shape(NamedTuple):
    """What batches that share their calls have in common.

    Args:
        sequences: in the batch.
        padded: tokens, rounded up.
        longest: tokens of the longest sequence, rounded up.
        first_only: whether only the first token of each sequence is wanted.
        keep: whether a backward pass follows.
        drops: whether there is dropout.
    """

    sequences: int
    padded: int
    longest: int
    first_only: bool
    keep: bool
    drops: bool


def shape_of(batch: Batch, *, first_only: bool, keep: bool, drops: bool) -> Shape:
    """Returns the shape of a batch."""
    multiple = _ROW_MULTIPLE_ALONE if len(batch) == 1 and not keep else ROW_MULTIPLE
    padded, longest = _up(batch.layout.num_tokens, multiple), _up(batch.layout.max_seqlen, _LENGTH_MULTIPLE)
    return Shape(len(batch), padded, longest, first_only, keep, drops)


class Calls:
    """Calls in the order they are made."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], Any]] = []
        self._kept: list[Tensor | Structure] = []  # whose addresses are among the arguments

    def add(self, kernel: Callable[..., Any], *arguments: Any) -> None:
        """Adds a kernel; it gets the addresses of tensors and structures, and 0 for None."""
        self._kept += [argument for argument in arguments if isinstance(argument, (Tensor, Structure))]
        self._calls.append(partial(kernel, *(_argument(argument) for argument in arguments)))

    def keep(self, *tensors: Tensor) -> None:
        """Keeps tensors whose addresses are in a structure."""
        self._kept += tensors

    def add_product(self, out: Tensor, first: Tensor, second: Tensor, *, accumulate: bool = False) -> None:
        """Adds a matrix product that is written to, or added to, a tensor."""
        if accumulate:
            self._calls.append(partial(torch.addmm, out, first, second, out=out))
        else:
            self._calls.append(partial(torch.mm, first, second, out=out))

    def add_packed_product(self, into: LatestProduct, x: Tensor, matrix: PackedMatrix) -> None:
        """Adds a product of a packed matrix."""
        self._calls.append(partial(into.compute, x, matrix))

    def add_operation(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Adds an operation of torch, which reads and writes where its arguments lie."""
        self._calls.append(partial(operation, *arguments, **options))

    def add_zeros(self, tensor: Tensor) -> None:
        """Adds the zeroing of a tensor."""
        self._calls.append(tensor.zero_)

    def run(self) -> None:
        """Makes the calls."""
        for call in self._calls:
            call()


def _argument(value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return pointer(value)
    if isinstance(value, LatestProduct):
        return value.address
    return byref(value) if isinstance(value, Structure) else value


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
