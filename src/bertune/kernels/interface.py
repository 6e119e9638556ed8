"""The compiled kernels' functions and their arguments, as C declares them. Nothing is checked here."""

import ctypes
from typing import Final, NamedTuple

from torch import Tensor

ACTIVATION_CODES: Final = {
    "gelu": 0,
    "gelu_tanh": 1,
    "gelu_new": 1,
    "gelu_pytorch_tanh": 1,
    "gelu_fast": 1,
    "relu": 2,
}
# Columns are taken in pairs of vectors, of at most 16 numbers each.
COLUMN_MULTIPLE: Final = 32
HEAD_MULTIPLE: Final = 16
MAX_HIDDEN: Final = 8192
# `turn16` takes so many columns at a time, and half as many rows.
TURN_MULTIPLE: Final = 32
_LEVELS: Final = 1 << 16

_P, _L, _F, _I, _U32, _U64 = (
    ctypes.c_void_p,
    ctypes.c_long,
    ctypes.c_float,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.c_uint64,
)
_DROPOUT = [_U32, _U64, _I]
SIGNATURES: Final = {
    "embed_forward": [_P] * 8 + [_F] + [_P] * 3 + [_L] * 3 + _DROPOUT,
    "embed_backward": [_P] * 15 + [_I, _L, _L] + _DROPOUT,
    "scatter_rows": [_P] * 3 + [_L, _L, _I],
    "residual_norm_forward": [_P] * 5 + [_F] + [_P] * 3 + [_L] * 3 + _DROPOUT,
    "residual_norm_backward": [_P] * 14 + [_I] + [_L] * 3 + _DROPOUT,
    "activation_forward": [_P] * 4 + [_L] * 3 + [_I, _I],
    "activation_backward": [_P] * 4 + [_I, _L, _L, _I],
    "attention_forward": [_P] * 4 + [_L, _P] + [_L] * 8 + [_P] + _DROPOUT,
    "attention_backward": [_P] * 4 + [_L] + [_P] * 3 + [_L] * 8 + [_P, _P, _I] + _DROPOUT,
    "first_attention_forward": [_P, _L, *_DROPOUT],
    "first_attention_backward": [_P, _L, _I, *_DROPOUT],
    "relative_attention_forward": [_P, _P, _L, *_DROPOUT],
    "relative_attention_backward": [_P, _P, _L, _I, *_DROPOUT],
    "widen_sums": [_P] * 5 + [_I] + [_L] * 3 + [_I],
    "window_attention_forward": [_P] * 3 + [_L, _P] + [_L] * 8 + [_P, *_DROPOUT],
    "window_attention_backward": [_P] * 4 + [_L, _P, _P] + [_L] * 8 + [_P, *_DROPOUT],
    "rotate_forward": [_P] * 5 + [_L] * 3 + [_I],
    "rotate_backward": [_P] * 6 + [_I] + [_L] * 3 + [_I],
    "gate_forward": [_P] * 3 + [_L] * 3 + [_I, *_DROPOUT],
    "gate_backward": [_P] * 6 + [_I] + [_L] * 3 + [_I, *_DROPOUT],
    "add_norm_forward": [_P] * 5 + [_F] + [_P] * 4 + [_L] * 3 + _DROPOUT,
    "add_norm_backward": [_P] * 12 + [_I] + [_L] * 3 + _DROPOUT,
    "give_places": [_P, _L, _P, _P, _L, _P],
    "sum_of_squares": [_P, ctypes.c_int64, _I],
    "adamw_step": [_P, ctypes.c_int64] + [_F] * 7 + [_I],
    "turn16": [_P, _P, _L, _L, _I],
    "attention_scratch": [_L, _L],
    "first_attention_scratch": [_L, _L, _L],
    "distance_places": [_L],
    "distance_tables": [_L, _L],
    "distance_room": [_L],
    "window_attention_scratch": [_L, _L, _L],
}
# The others return nothing.
_RESULTS: Final = {
    "sum_of_squares": ctypes.c_double,
    "give_places": _L,
    "attention_scratch": _L,
    "first_attention_scratch": _L,
    "distance_places": _L,
    "distance_tables": _L,
    "distance_room": _L,
    "window_attention_scratch": _L,
}


class Draw(NamedTuple):
    """Which elements a dropout drops.

    Args:
        threshold: of 65,536 levels, how many are dropped; 0 drops nothing.
        seed: 64 bits; the same seed drops the same elements again.
    """

    threshold: int
    seed: int


NO_DROPOUT: Final = Draw(0, 0)


def threshold_of(probability: float) -> int:
    """Returns how many of 65,536 levels a dropout drops; at least one is kept."""
    return min(round(probability * _LEVELS), _LEVELS - 1)


class Parameter(ctypes.Structure):
    """One parameter as AdamW sees it; the fields are those of `parameter` in adamw.h."""

    _fields_ = (
        ("value", _P),
        ("gradient", _P),
        ("m", _P),
        ("v", _P),
        ("bf16_copy", _P),
        ("slot_of", _P),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("gradients", ctypes.c_int64),
        ("narrow", ctypes.c_int32),
    )


class FirstAttention(ctypes.Structure):
    """Attention of first tokens alone; the fields are those of `first_attention` in first_attention.h."""

    _fields_ = (
        *((name, _P) for name in ("x", "weight", "bias", "cu", "out", "rows", "first", "q", "keyed", "mixed")),
        *((name, _P) for name in ("weights", "totals", "dout", "dresidual", "dx", "dweight", "dbias")),
        *((name, _P) for name in ("g", "dq", "dfirst", "dkeyed", "dmixed", "dtotals", "scratch")),
        *((name, ctypes.c_int64) for name in ("sequences", "heads", "d", "padded", "max_length")),
    )


class RelativeAttention(ctypes.Structure):
    """Attention to whose scores distances add; the fields are those of `relative_attention` in distances.h."""

    _fields_ = (
        *((name, _P) for name in ("bias", "out", "lse", "cu", "dout", "dqkv", "dbias", "numbers", "dnumbers")),
        *((name, _P) for name in ("vector_of", "kept", "tables", "gradients", "scratch", "parts")),
        *((name, ctypes.c_int64) for name in ("sequences", "heads", "d", "padded", "max_length")),
        *((name, ctypes.c_int64) for name in ("vectors", "padded_vectors", "asked", "asking", "first_only")),
    )


def pointer(tensor: Tensor | None) -> int:
    """Returns the address of a contiguous tensor's first element; 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()


def declare(library: ctypes.CDLL) -> None:
    """Tells ctypes the arguments and results of a loaded library's functions."""
    for name, arguments in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = _RESULTS.get(name)
