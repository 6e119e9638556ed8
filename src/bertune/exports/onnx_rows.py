"""What the parts of an ONNX graph share: the mask, the distances, and the weights as constants.

Rows are padded at their end, so the first column is the first token. Weights are transposed as products take them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor, nn

from bertune.exports.onnx_graph import OnnxGraph
from bertune.nn.dense import Dense
from bertune.nn.relative_positions import RelativePositions

# Added to the scores of padding, at most twice: its softmax is exactly 0, and no infinity can become NaN.
HIDDEN: Final = -0.25 * float(np.finfo(np.float32).max)


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
    """

    graph: OnnxGraph
    names: dict[int, str]
    length: str
    hide: str
    longest: int
    local: dict[int, str]
    bias: str = ""
    relative: RelativePositions | None = None

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


def dense(rows: Rows, layer: Dense, values: str, part: slice = slice(None)) -> str:
    """Adds a dense layer, or some of its outputs."""
    product = rows.graph.op("MatMul", values, rows.weight(layer.weight, part, transposed=True))
    return product if layer.bias is None else rows.graph.op("Add", product, rows.weight(layer.bias, part))
