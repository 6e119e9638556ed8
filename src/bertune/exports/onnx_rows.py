"""What the parts of an ONNX graph share: the mask, the distances, and the weights as constants.

Rows are padded at their end, so the first column is the first token. Weights are transposed as products take them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from bertune.exports.onnx_graph import OnnxGraph
from bertune.nn.dense import Dense
from bertune.nn.relative_positions import RelativePositions

# Added to the scores of padding, at most twice: its softmax is exactly 0, and no infinity can become NaN.
HIDDEN: Final = -0.25 * float(np.finfo(np.float32).max)


# Where there is nothing but zeros.
_SMALLEST: Final = 1e-20
# Of the products that int8 is for. What stands before and behind the layers is a few numbers, on which much hangs.
SCALED_WEIGHTS: Final = "encoder.layers."


@dataclass(frozen=True)
class Rows:
    """Values that all layers share.

    Args:
        graph: that is built.
        names: of the model's parameters by their ids.
        length: columns of a batch, a vector of one int64.
        hide: what is added to scores, (batch, 1, 1, columns).
        longest: tokens that a row may have.
        local: the same within a window, (batch, 1, columns, columns), by how far a token sees.
        bias: added to the scores of every layer, (heads, columns, columns); empty for none.
        relative: the vectors of distances; None for none.
        scaled: whether each token is divided by its size before a product in the layers, for int8.
    """

    graph: OnnxGraph
    names: dict[int, str]
    length: str
    hide: str
    longest: int
    local: dict[int, str]
    bias: str = ""
    relative: RelativePositions | None = None
    scaled: bool = False

    def weight(self, parameter: Tensor, part: slice = slice(None), *, transposed: bool = False) -> str:
        """Returns a parameter as a constant, or some of its rows."""
        name = self.names[id(parameter)]
        if part != slice(None):
            name += f"[{part.start}:{part.stop}]"
        array = parameter.detach().float().cpu().numpy()[part]
        return self.graph.constant(name, array.T if transposed else array)


def normalize(rows: Rows, norm: nn.LayerNorm, values: str) -> str:
    """Adds a layer norm over the last axis."""
    added = () if norm.bias is None else (rows.weight(norm.bias),)
    return rows.graph.op("LayerNormalization", values, rows.weight(norm.weight), *added, axis=-1, epsilon=norm.eps)


def dense(rows: Rows, layer: Dense, values: str, part: slice = slice(None), *, least: float | None = None) -> str:
    """Adds a dense layer, or some of its outputs.

    Args:
        rows: what all layers share.
        layer: of the model.
        values: (batch, columns, in).
        part: of the outputs.
        least: no value is below it, and most are near it; None where they lie around 0. It matters for int8 alone.
    """
    graph = rows.graph
    weight = rows.weight(layer.weight, part, transposed=True)
    if not rows.scaled or not weight.startswith(SCALED_WEIGHTS):
        product = graph.op("MatMul", values, weight)
        return product if layer.bias is None else graph.op("Add", product, rows.weight(layer.bias, part))
    if least:
        values = graph.op("Sub", values, graph.number(least))
    scale = _scale(graph, values, is_positive=least is not None)
    product = graph.op("MatMul", graph.op("Mul", values, graph.op("Reciprocal", scale)), weight)
    product = graph.op("Mul", product, scale)
    added = [] if layer.bias is None else [layer.bias.detach().double()[part]]
    if least:
        added.append(least * layer.weight.detach().double()[part].sum(1))
    if not added:
        return product
    return graph.op("Add", product, graph.constant(f"{weight}_bias", torch.stack(added).sum(0).float().cpu().numpy()))


def _scale(graph: OnnxGraph, values: str, *, is_positive: bool) -> str:
    """Adds the largest size of each token's values, (batch, columns, 1).

    Divided by it, all tokens have one range, so the one scale that a quantized product has for its input serves each of
    them, and a token with large values takes no step away from the others.
    """
    largest = [graph.op("ReduceMax", values, axes=[-1], keepdims=1)]
    if not is_positive:
        largest.append(graph.op("Neg", graph.op("ReduceMin", values, axes=[-1], keepdims=1)))
    return graph.op("Max", *largest, graph.number(_SMALLEST))
