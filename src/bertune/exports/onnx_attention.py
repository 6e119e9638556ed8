"""The three kinds of self-attention as operators of an ONNX graph, on padded rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertune.exports.onnx_rows import Rows, dense
from bertune.nn.attention import SelfAttention
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.rotary import half_tables
from bertune.nn.rotary_attention import RotaryAttention


def attend(rows: Rows, module: nn.Module, hidden: str, *, first_only: bool) -> str:
    """Adds self-attention with the dense layer behind it.

    Args:
        rows: what all layers share.
        module: of a layer.
        hidden: (batch, columns, hidden_size).
        first_only: whether the first token of each row alone asks.

    Returns:
        (batch, columns, hidden_size), or (batch, 1, hidden_size).
    """
    if isinstance(module, DisentangledSelfAttention):
        return _attend_disentangled(rows, module, hidden, first_only=first_only)
    assert isinstance(module, SelfAttention)
    graph = rows.graph
    query, key, value = _by_head(rows, module, hidden, first_only=first_only)
    hide = rows.hide
    if isinstance(module, RotaryAttention):
        # The first token's angles are 0.
        query = query if first_only else _rotated(rows, module, query)
        key = _rotated(rows, module, key)
        if module.reach is not None:
            hide = rows.local[module.reach]
            hide = graph.first(hide, graph.integers(1), axis=2) if first_only else hide
    size = module.qkv.in_features // module.num_heads
    query = graph.op("Mul", query, graph.number(size**-0.5))
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    if rows.bias:
        bias = graph.first(rows.bias, graph.integers(1), axis=1) if first_only else rows.bias
        scores = graph.op("Add", scores, bias)
    return _gather(rows, module, scores, value, hide)


def _by_head(
    rows: Rows, module: SelfAttention | DisentangledSelfAttention, hidden: str, *, first_only: bool
) -> tuple[str, str, str]:
    """Adds queries, keys and values, (batch, heads, columns, head size) each; with `first_only` one column asks."""
    graph, size, heads = rows.graph, module.qkv.in_features, module.num_heads

    def split(values: str, count: int) -> list[str]:
        shaped = graph.op("Reshape", values, graph.integers(0, 0, count, heads, size // heads))
        parts = graph.ops("Split", graph.op("Transpose", shaped, perm=[2, 0, 3, 1, 4]), outputs=count, axis=0)
        return [graph.op("Squeeze", part, graph.integers(0)) for part in parts]

    if not first_only:
        query, key, value = split(dense(rows, module.qkv, hidden), 3)
        return query, key, value
    asking = dense(rows, module.qkv, graph.first(hidden, graph.integers(1), axis=1), slice(0, size))
    key, value = split(dense(rows, module.qkv, hidden, slice(size, 3 * size)), 2)
    shaped = graph.op("Reshape", asking, graph.integers(0, 0, heads, size // heads))
    return graph.op("Transpose", shaped, perm=[0, 2, 1, 3]), key, value


def _gather(rows: Rows, module: Any, scores: str, value: str, hide: str) -> str:
    """Adds the softmax of scores, the values that it averages, and the dense layer behind."""
    graph = rows.graph
    shares = graph.op("Softmax", graph.op("Add", scores, hide), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    return dense(rows, module.output, graph.op("Reshape", mixed, graph.integers(0, 0, module.qkv.in_features)))


def _rotated(rows: Rows, module: RotaryAttention, vectors: str) -> str:
    """Adds rotary positions to (batch, heads, columns, head size)."""
    graph, size = rows.graph, module.qkv.in_features // module.num_heads
    tables = half_tables(module.theta, size, rows.longest, "cpu")
    cosines, sines = (
        graph.first(graph.constant(f"{name}_{module.theta}", table.numpy()), rows.length, axis=0)
        for name, table in zip(("cosines", "sines"), tables, strict=True)
    )
    first, second = graph.ops("Split", vectors, outputs=2, axis=-1)
    turned = (
        graph.op("Sub", graph.op("Mul", first, cosines), graph.op("Mul", second, sines)),
        graph.op("Add", graph.op("Mul", second, cosines), graph.op("Mul", first, sines)),
    )
    return graph.op("Concat", *turned, axis=-1)


def _attend_disentangled(rows: Rows, module: DisentangledSelfAttention, hidden: str, *, first_only: bool) -> str:
    graph = rows.graph
    query, key, value = _by_head(rows, module, hidden, first_only=first_only)
    query = graph.op("Mul", query, graph.number(module.scale))
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    keys, queries = _of_distances(rows, module)
    # Column c of a product is distance `columns - 1 - c` for keys, and its negative for queries.
    if keys:
        products = graph.op("MatMul", query, keys)
        scores = graph.op("Add", scores, _from_first(rows, products) if first_only else _skew(rows, products))
    if queries:
        if first_only:
            # Distances 0, -1, … of the first token to each other: the product of each key with one query.
            picked = graph.op("Transpose", _descending_half(rows, queries), perm=[0, 2, 1])
            products = graph.op("ReduceSum", graph.op("Mul", key, picked), graph.integers(3), keepdims=0)
            scores = graph.op("Add", scores, graph.op("Unsqueeze", products, graph.integers(2)))
        else:
            products = _skew(rows, graph.op("MatMul", key, queries))
            scores = graph.op("Add", scores, graph.op("Transpose", products, perm=[0, 1, 3, 2]))
    return _gather(rows, module, scores, value, rows.hide)


def _of_distances(rows: Rows, module: DisentangledSelfAttention) -> tuple[str, str]:
    """Returns keys and scaled queries of distances, (heads, head size, 2 x columns); empty where there are none."""
    graph, relative = rows.graph, rows.relative
    assert relative is not None
    with torch.no_grad():
        vectors = relative.table.weight.float()
        if relative.norm is not None:
            vectors = relative.norm(vectors)
        keys, queries = module.of_distances(vectors)
    down, up = _rows_of_distances(rows.longest, relative.distances.rows)
    name = rows.names[id(module.qkv.weight)].removesuffix("qkv.weight")
    found = []
    for what, made, index in (("keys", keys, down), ("queries", queries, up)):
        if made is None:
            found.append("")
            continue
        by_head = made.view(len(made), module.num_heads, -1).permute(1, 2, 0).cpu().numpy()
        chosen = _window(rows, graph.constant(f"rows_of_{what}", index))
        found.append(graph.op("Gather", graph.constant(f"{name}distance_{what}", by_head), chosen, axis=2))
    return found[0], found[1]


def _window(rows: Rows, index: str) -> str:
    """Cuts what belongs to the columns of a batch out of an index over all distances: 2 x columns of 2 x longest."""
    graph = rows.graph
    middle = graph.integers(rows.longest)
    return graph.op(
        "Slice", index, graph.op("Sub", middle, rows.length), graph.op("Add", middle, rows.length), graph.integers(0)
    )


def _skew(rows: Rows, products: str) -> str:
    """Picks of (batch, heads, columns, 2 x columns), at row i and column j, the product at `columns - 1 + j - i`.

    Row after row stands one place further to the left: what is needed is a rectangle in the flat order.
    """
    graph, length = rows.graph, rows.length
    one, double = graph.integers(1), graph.op("Mul", rows.length, graph.integers(2))
    width = graph.op("Sub", double, one)
    flat = graph.op("Reshape", products, graph.integers(0, 0, -1))
    start = graph.op("Sub", length, one)
    end = graph.op("Add", start, graph.op("Mul", length, width))
    cut = graph.op("Slice", flat, start, end, graph.integers(2))
    shape = graph.op("Concat", graph.integers(0, 0), length, width, axis=0)
    return graph.first(graph.op("Reshape", cut, shape), length, axis=3)


def _from_first(rows: Rows, products: str) -> str:
    """Picks of (batch, heads, 1, 2 x columns) the products of the first row."""
    graph = rows.graph
    start = graph.op("Sub", rows.length, graph.integers(1))
    return graph.op("Slice", products, start, graph.op("Add", start, rows.length), graph.integers(3))


def _descending_half(rows: Rows, queries: str) -> str:
    """Picks of (heads, head size, 2 x columns) the queries of distances 0, -1 and so on, one for each column."""
    graph = rows.graph
    upward = graph.first(queries, rows.length, axis=2)
    ends = (graph.integers(-1), graph.integers(-(2**62)), graph.integers(2), graph.integers(-1))
    return graph.op("Slice", upward, *ends)


def _rows_of_distances(longest: int, row_of: Callable[[Tensor], Tensor]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the rows of distances from `longest - 1` down to `-longest`, and from `1 - longest` up to `longest`."""
    up = torch.arange(1 - longest, longest + 1)
    return row_of(-up).numpy().astype(np.int64), row_of(up).numpy().astype(np.int64)
