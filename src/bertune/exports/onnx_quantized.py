"""Products of 8-bit integers in an ONNX graph, as quantize and dequantize operators, which every runtime reads.

The steps of the inputs are constants, since each token was divided by its size: what a row gives does not depend on the
rows beside it, as it does where steps are taken from the largest value of a batch.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bertune.exports.onnx_graph import OnnxGraph

# Where there is nothing but zeros.
_SMALLEST: Final = 1e-20


@dataclass(frozen=True)
class DenseWeights:
    """A dense layer whose product is one of 8-bit integers.

    Args:
        name: of the weight.
        weight: (in, out).
        bias: (out,), float64.
        bits: of the weights: 8, or 7 for processors whose products saturate with 8.
    """

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float64] | None
    bits: int


def quantized_dense(graph: OnnxGraph, dense: DenseWeights, values: str, *, least: float | None = None) -> str:
    """Adds a dense layer.

    Args:
        graph: that is built.
        dense: the layer.
        values: (batch, columns, in).
        least: no value is below it, and most are near it; None where they lie around 0.
    """
    if least:
        values = graph.op("Sub", values, graph.number(least))
    is_positive = least is not None
    size = _size(graph, values, is_positive=is_positive)
    steps, zero = (255, 0) if is_positive else (127, 128)
    step = (graph.number(1 / steps), graph.constant(f"zero_{zero}", np.array(zero, np.uint8)))
    shares = graph.op("QuantizeLinear", graph.op("Mul", values, graph.op("Reciprocal", size)), *step)
    product = graph.op("MatMul", graph.op("DequantizeLinear", shares, *step), _weight(graph, dense))
    product = graph.op("Mul", product, size)
    added = [] if dense.bias is None else [dense.bias]
    if least:
        added.append(least * dense.weight.astype(np.float64).sum(0))
    if not added:
        return product
    return graph.op("Add", product, graph.constant(f"{dense.name}_bias", np.sum(added, 0).astype(np.float32)))


def quantized_rows(graph: OnnxGraph, name: str, table: NDArray[np.float32], ids: str) -> str:
    """Adds the look-up of rows in a table of 8-bit integers, each row with a step of its own.

    Args:
        graph: that is built.
        name: of the table.
        table: (rows, width).
        ids: (batch, columns).
    """
    numbers, steps = _quantized(table, axis=1, bits=8)
    rows = graph.op("Cast", graph.op("Gather", graph.constant(f"{name}_quantized", numbers), ids), to=1)
    return graph.op("Mul", rows, graph.op("Gather", graph.constant(f"{name}_steps", steps), ids))


def _weight(graph: OnnxGraph, dense: DenseWeights) -> str:
    """Adds a weight, whose every output has a step of its own."""
    numbers, steps = _quantized(dense.weight, axis=0, bits=dense.bits)
    parts = {"quantized": numbers, "steps": steps[0], "zeros": np.zeros(len(steps[0]), np.int8)}
    return graph.op(
        "DequantizeLinear", *(graph.constant(f"{dense.name}_{part}", array) for part, array in parts.items()), axis=1
    )


def _quantized(array: NDArray[np.float32], *, axis: int, bits: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns an array as integers and their steps, which belong to all values along an axis."""
    most = 2 ** (bits - 1) - 1
    steps = np.maximum(np.abs(array).max(axis, keepdims=True), _SMALLEST).astype(np.float32) / np.float32(most)
    return np.rint(array / steps).clip(-most, most).astype(np.int8), steps


def _size(graph: OnnxGraph, values: str, *, is_positive: bool) -> str:
    """Adds the largest size of each token's values, (batch, columns, 1).

    Divided by it, all tokens have one range, so one step serves each of them, and a token with large values takes no
    step away from the others.
    """
    largest = [graph.op("ReduceMax", values, axes=[-1], keepdims=1)]
    if not is_positive:
        largest.append(graph.op("Neg", graph.op("ReduceMin", values, axes=[-1], keepdims=1)))
    return graph.op("Max", *largest, graph.number(_SMALLEST))
