"""The layers of an encoder as operators of an ONNX graph: one function for each kind of module of `bertune.nn`.

Residuals are added by `Sum`: an `Add` before a norm is what ONNX Runtime fuses into its SkipLayerNormalization, which
on a processor takes ten times as long as the two apart.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from torch import nn

from bertune.exports.onnx_attention import attend
from bertune.exports.onnx_graph import OnnxGraph
from bertune.exports.onnx_rows import Rows, dense, look_up, normalize
from bertune.nn.embeddings import Embeddings
from bertune.nn.feed_forward import ACTIVATIONS, FeedForward
from bertune.nn.gated_feed_forward import GatedFeedForward
from bertune.nn.layer import TransformerLayer
from bertune.nn.pooling import Pooler
from bertune.nn.pre_norm_layer import PreNormLayer


def embed(rows: Rows, embeddings: Embeddings, ids: str, types: str) -> str:
    """Adds what `Embeddings` computes: (batch, columns) to (batch, columns, hidden_size)."""
    graph = rows.graph
    summed = look_up(rows, embeddings.token.weight, ids)
    if embeddings.token_type is not None:
        table = rows.weight(embeddings.token_type.weight)
        vectors = graph.op("Gather", table, types) if types else table
        summed = graph.op("Add", summed, vectors)
    if embeddings.position is not None:
        behind = slice(embeddings.positions.offset, embeddings.positions.rows)
        places = rows.weight(embeddings.position.weight, behind)
        summed = graph.op("Add", summed, graph.first(places, rows.length, axis=0))
    embedded = normalize(rows, embeddings.norm, summed)
    return embedded if embeddings.projection is None else dense(rows, embeddings.projection, embedded)


def layer(rows: Rows, module: nn.Module, hidden: str, *, first_only: bool) -> str:
    """Adds a transformer layer.

    Args:
        rows: what all layers share.
        module: of the encoder.
        hidden: (batch, columns, hidden_size).
        first_only: whether the first token of each row alone is wanted.

    Returns:
        (batch, columns, hidden_size), or (batch, 1, hidden_size).
    """
    graph = rows.graph
    one = graph.integers(1)
    if isinstance(module, PreNormLayer):
        taken = hidden if module.attention_norm is None else normalize(rows, module.attention_norm, hidden)
        attended = attend(rows, module.attention, taken, first_only=first_only)
        hidden = graph.op("Sum", graph.first(hidden, one, axis=1) if first_only else hidden, attended)
        widened = _gated(rows, module.feed_forward, normalize(rows, module.feed_forward_norm, hidden))
        return graph.op("Add", hidden, widened)
    assert isinstance(module, TransformerLayer)
    attended = attend(rows, module.attention, hidden, first_only=first_only)
    hidden = graph.op("Sum", graph.first(hidden, one, axis=1) if first_only else hidden, attended)
    hidden = normalize(rows, module.attention_norm, hidden)
    transformed = _feed_forward(rows, module.feed_forward, hidden)
    return normalize(rows, module.output_norm, graph.op("Sum", hidden, transformed))


def pool(rows: Rows, pooler: Pooler, vectors: str) -> str:
    """Adds a pooler: (batch, hidden_size) to the same."""
    made = {"tanh": lambda values: rows.graph.op("Tanh", values), "relu": _relu(rows.graph), "gelu": _gelu(rows.graph)}
    activated = made[pooler.activation](dense(rows, pooler.dense, vectors))
    return activated if pooler.norm is None else normalize(rows, pooler.norm, activated)


def mean(rows: Rows, hidden: str, mask: str) -> str:
    """Adds the average of the tokens of each row."""
    graph = rows.graph
    weights = graph.op("Unsqueeze", graph.op("Cast", mask, to=1), graph.integers(2))
    sums = graph.op("ReduceSum", graph.op("Mul", hidden, weights), graph.integers(1), keepdims=0)
    return graph.op("Div", sums, graph.op("ReduceSum", weights, graph.integers(1), keepdims=0))


def _feed_forward(rows: Rows, module: FeedForward, values: str) -> str:
    activate = _activation(rows.graph, module.activation)
    least = _LEAST[module.activation]
    return dense(rows, module.output, activate(dense(rows, module.intermediate, values)), least=least)


def _gated(rows: Rows, module: GatedFeedForward, values: str) -> str:
    graph = rows.graph
    wide, gate = graph.ops("Split", dense(rows, module.input_and_gate, values), outputs=2, axis=-1)
    return dense(rows, module.output, graph.op("Mul", _activation(graph, module.activation)(wide), gate))


# The lowest point of each activation's curve.
_LEAST: Final[dict[object, float]] = {
    ACTIVATIONS["gelu"]: -0.17,
    ACTIVATIONS["gelu_tanh"]: -0.1701,
    ACTIVATIONS["relu"]: 0.0,
    ACTIVATIONS["silu"]: -0.2785,
    ACTIVATIONS["quick_gelu"]: -0.1637,
}
_Activation = Callable[[str], str]


def _activation(graph: OnnxGraph, function: object) -> _Activation:
    """Returns what adds an activation of `ACTIVATIONS`."""
    known: dict[object, Callable[[OnnxGraph], _Activation]] = {
        ACTIVATIONS["gelu"]: _gelu,
        ACTIVATIONS["gelu_tanh"]: _gelu_tanh,
        ACTIVATIONS["relu"]: _relu,
        ACTIVATIONS["silu"]: lambda graph: _times_sigmoid(graph, 1.0),
        ACTIVATIONS["quick_gelu"]: lambda graph: _times_sigmoid(graph, 1.702),
    }
    return known[function](graph)


def _relu(graph: OnnxGraph) -> _Activation:
    return lambda values: graph.op("Relu", values)


def _gelu(graph: OnnxGraph) -> _Activation:
    """The form that runtimes recognize and compute in one pass."""

    def add(values: str) -> str:
        erf = graph.op("Erf", graph.op("Div", values, graph.number(2**0.5)))
        return graph.op("Mul", graph.op("Mul", values, graph.op("Add", erf, graph.number(1.0))), graph.number(0.5))

    return add


def _gelu_tanh(graph: OnnxGraph) -> _Activation:
    def add(values: str) -> str:
        cube = graph.op("Mul", graph.op("Pow", values, graph.number(3.0)), graph.number(0.044715))
        inner = graph.op("Mul", graph.op("Add", values, cube), graph.number((2 / np.pi) ** 0.5))
        outer = graph.op("Add", graph.op("Tanh", inner), graph.number(1.0))
        return graph.op("Mul", graph.op("Mul", values, graph.number(0.5)), outer)

    return add


def _times_sigmoid(graph: OnnxGraph, slope: float) -> _Activation:
    def add(values: str) -> str:
        scaled = values if slope == 1.0 else graph.op("Mul", values, graph.number(slope))
        return graph.op("Mul", values, graph.op("Sigmoid", scaled))

    return add
