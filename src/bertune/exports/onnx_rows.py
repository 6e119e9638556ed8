"""What the parts of an ONNX graph share: the mask, the distances, and the weights as constants.

Rows are padded at their end, so the first column is the first token. Weights are transposed as products take them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor, nn

from bertune.exports.onnx_graph import OnnxGraph
from bertune.exports.onnx_quantized import DenseWeights, quantized_dense, quantized_rows
from bertune.nn.dense import Dense
from bertune.nn.relative_positions import RelativePositions

# Added to the scores of padding, at most twice: its softmax is exactly 0, and no infinity can become NaN.
HIDDEN: Final = -0.25 * float(np.finfo(np.float32).max)

# The products that int8 is for. What stands before and behind the layers is a few numbers, on which much hangs.
_QUANTIZED: Final = "encoder.layers."


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
        weight_bits: of the weights in the layers, for products of 8-bit integers; None for float32.
    """

    graph: OnnxGraph
    names: dict[int, str]
    length: str
    hide: str
    longest: int
    local: dict[int, str]
    bias: str = ""
    relative: RelativePositions | None = None
    weight_bits: int | None = None

    def weight(self, parameter: Tensor, part: slice = slice(None), *, transposed: bool = False) -> str:
        """Returns a parameter as a constant, or some of its rows."""
        array = parameter.detach().float().cpu().numpy()[part]
        return self.graph.constant(self.name_of(parameter, part), array.T if transposed else array)

    def name_of(self, parameter: Tensor, part: slice = slice(None)) -> str:
        """Returns the name of a parameter, or of some of its rows."""
        name = self.names[id(parameter)]
        return name if part == slice(None) else f"{name}[{part.start}:{part.stop}]"


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
    name = rows.name_of(layer.weight, part)
    if rows.weight_bits is not None and name.startswith(_QUANTIZED):
        weight = layer.weight.detach().float().cpu().numpy()[part].T
        bias = None if layer.bias is None else layer.bias.detach().double().cpu().numpy()[part]
        return quantized_dense(graph, DenseWeights(name, weight, bias, rows.weight_bits), values, least=least)
    product = graph.op("MatMul", values, rows.weight(layer.weight, part, transposed=True))
    return product if layer.bias is None else graph.op("Add", product, rows.weight(layer.bias, part))


def look_up(rows: Rows, table: Tensor, ids: str) -> str:
    """Adds the look-up of rows in a table: (batch, columns) to (batch, columns, width)."""
    if rows.weight_bits is None:
        return rows.graph.op("Gather", rows.weight(table), ids)
    return quantized_rows(rows.graph, rows.name_of(table), table.detach().float().cpu().numpy(), ids)
