"""Floating-point operations of training and prediction, by formula. A multiplication and an addition are two.

Only what matrix products do is counted: layers, pooler and head. Padding is never counted, because it is no work that
was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# The backward pass of a product is two products of the same size: one for its input, one for its weights.
TRAINING_FACTOR = 3
# The names by which `BERTUNE_DISABLE` switches off the shorter last layer, and the compiled kernels.
FIRST_ONLY = "first-only"
KERNELS = "kernels"


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder and its head.

    Args:
        layers: of the encoder.
        hidden: numbers of a token.
        intermediate: numbers of a token within a feed-forward layer.
        heads: of attention.
        labels: of the head.
        gated: whether a feed-forward layer has a second matrix of its first kind, as GeGLU has.
        window: tokens that a local layer attends to, the token itself included; None where every layer is global.
        global_every: of so many layers the first is global.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    labels: int = 2
    gated: bool = False
    window: int | None = None
    global_every: int = 1


def model_flops(shape: Shape, lengths: Sequence[int], *, training: bool) -> float:
    """Returns the operations of the model as it is defined: every layer for every token.

    Args:
        shape: of the encoder.
        lengths: tokens of each sequence.
        training: whether the backward pass is counted.
    """
    whole = -(-shape.layers // shape.global_every)
    forward = sum(
        whole * _layer(shape, length) + (shape.layers - whole) * _layer(shape, length, shape.window) + _head(shape)
        for length in lengths
    )
    return forward * (TRAINING_FACTOR if training else 1)


def executed_flops(
    shape: Shape, lengths: Sequence[int], *, training: bool, first_only: bool = True, by_kernels: bool = True
) -> float:
    """Returns the operations that bertune executes of BERT's layers with pooling `cls`.

    Args:
        shape: of the encoder.
        lengths: tokens of each sequence.
        training: whether the backward pass is counted.
        first_only: whether the last layer is computed for [CLS] alone.
        by_kernels: whether it then has no keys and values, as in the compiled kernels; the modules make them.
    """
    last: Callable[[Shape, int], float] = _layer
    if first_only:
        last = _last_layer_without_keys if by_kernels else _last_layer_for_cls
    forward = sum((shape.layers - 1) * _layer(shape, length) + last(shape, length) + _head(shape) for length in lengths)
    return forward * (TRAINING_FACTOR if training else 1)


def _layer(shape: Shape, length: int, window: int | None = None) -> float:
    """Queries, keys, values, output, feed-forward; scores and their weighted sum."""
    weights = 4 * shape.hidden**2 + (3 if shape.gated else 2) * shape.hidden * shape.intermediate
    return 2.0 * weights * length + 4.0 * length * min(length, window or length) * shape.hidden


def _last_layer_for_cls(shape: Shape, length: int) -> float:
    """Keys and values for every token, all else for one."""
    for_each = 2.0 * 2 * shape.hidden**2 * length
    for_one = 2.0 * (2 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate)
    return for_each + for_one + 4.0 * length * shape.hidden


def _last_layer_without_keys(shape: Shape, length: int) -> float:
    """All for one token, whose heads meet the others as they are: scores and weighted sums of whole hidden states."""
    for_each = 4.0 * shape.heads * shape.hidden * length
    return for_each + 2.0 * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate)


def _head(shape: Shape) -> float:
    return 2.0 * (shape.hidden**2 + shape.hidden * shape.labels)
