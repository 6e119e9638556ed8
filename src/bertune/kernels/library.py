"""The compiled kernels, ready for use: loaded, declared, and their numbers checked once."""

import ctypes
from functools import cache

import torch

from bertune.kernels.build import NoKernelsError, load_library
from bertune.kernels.interface import declare
from bertune.kernels.self_check import check_numbers


def kernels_for(dtype: torch.dtype) -> ctypes.CDLL:
    """Returns the kernels for activations of a type. Nothing about the arguments is checked: callers own the shapes.

    Raises:
        NoKernelsError: they cannot be had on this machine, or compute something else than they should.
    """
    outcome = _prepare(dtype)
    if isinstance(outcome, str):
        raise NoKernelsError(outcome)
    return outcome


@cache
def _prepare(dtype: torch.dtype) -> ctypes.CDLL | str:
    # The reason is kept as well: a compiler that failed once is not asked again at each evaluation.
    try:
        library = load_library(narrow=dtype == torch.bfloat16)
        declare(library)
        check_numbers(library, dtype)
    except NoKernelsError as reason:
        return str(reason)
    return library
