"""The object graph inside a TF2 checkpoint: which variable belongs to which layer.

A TF2 checkpoint names a tensor after the first path from the root to its variable; the path depends on what the user
called the model, on how it is nested, and in a SavedModel it is a bare number. The graph has all roads, so the encoder
is found by its shape: an object that holds transformer layers, each with its attention and its dense layers.

Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from bertune.system.protobuf_wire import WireError, as_bytes, as_int, as_text, fields

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# BERT-large on the hub has 5,000 nodes.
_MAX_NODES = 30_000
_MAX_EDGES = 100_000
_MAX_LAYERS = 1000
_LAYER_EDGE = re.compile(r"layer(_with_weights)?-(\d{1,6})")


@dataclass
class Node:
    """One object: its edges to others and, for a variable, where its value is.

    Args:
        children: number of the object at the end of each edge, by the edge's name.
        key: the checkpoint's name of its value; None for an object that is no variable.
        full_name: the variable's name in the program, such as `word_embeddings/embeddings`.
        slots: objects that an optimizer keeps for variables.
    """

    children: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    full_name: str = ""
    slots: list[int] = field(default_factory=list)


class ObjectGraph:
    """The objects of a TF2 checkpoint; number 0 is the root.

    Args:
        data: `TrackableObjectGraph`, serialized.

    Raises:
        WireError: the bytes are not such a graph, or it is larger than any BERT's.
    """

    def __init__(self, data: bytes) -> None:
        self.nodes: list[Node] = []
        self._edges = 0
        for number, content in fields(memoryview(data)):
            if number == 1:
                self.nodes.append(self._node(as_bytes(content)))
        if not self.nodes:
            raise WireError("the object graph is empty")
        for node in self.nodes:
            if any(not 0 <= child < len(self.nodes) for child in [*node.children.values(), *node.slots]):
                raise WireError("an edge of the object graph leads nowhere")

    def _node(self, data: memoryview) -> Node:
        node = Node()
        for number, content in fields(data):
            if number == 1:
                parts = dict(fields(as_bytes(content)))
                node.children[sys.intern(as_text(parts.get(2, memoryview(b""))))] = as_int(parts.get(1, 0))
            elif number == 2:
                parts = dict(fields(as_bytes(content)))
                node.full_name = as_text(parts.get(2, memoryview(b"")))
                node.key = as_text(parts.get(3, memoryview(b"")))
            elif number == 3:
                parts = dict(fields(as_bytes(content)))
                node.slots.append(as_int(parts.get(3, 0)))
            self._edges += number in (1, 2, 3)
        if len(self.nodes) >= _MAX_NODES or self._edges > _MAX_EDGES:
            raise WireError("the object graph is larger than any BERT's")
        return node

    def child(self, number: int, *names: str) -> int | None:
        """Returns the object at the end of the first of these edges that is there."""
        children = self.nodes[number].children
        return next((children[name] for name in names if name in children), None)

    def layers(self, number: int) -> list[int]:
        """Returns the layers of a functional Keras model that have weights, in their order."""
        found: dict[int, int] = {}
        for name, child in self.nodes[number].children.items():
            match = _LAYER_EDGE.fullmatch(name)
            if match and match[1]:
                found[int(match[2])] = child
        return [found[index] for index in sorted(found)]

    def reachable(self, starts: list[int], *, without: set[int]) -> set[int]:
        """Returns the objects that these lead to, themselves included, past none of the others."""
        seen: set[int] = set()
        waiting = [number for number in starts if number not in without]
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting += [child for child in self.nodes[number].children.values() if child not in without]
        return seen


@dataclass(frozen=True)
class FoundEncoder:
    """An encoder in an object graph.

    Args:
        number: its object.
        layers: the objects of its transformer layers, in order.
        keys: the checkpoint's names of its tensors, by the names of google-research/bert without `bert/`.
        has_projection: whether a dense layer widens its embeddings, which BERT does not have.
    """

    number: int
    layers: tuple[int, ...]
    keys: dict[str, str]
    has_projection: bool


def find_encoders(graph: ObjectGraph) -> list[FoundEncoder]:
    """Finds every encoder; two objects that share their transformer layers are one.

    Each list of layers is described once, however many objects hold it: a small file could have thousands of holders of
    thousands of layers.

    Raises:
        WireError: an object has more layers than any BERT.
    """
    transformers = {number for number in range(len(graph.nodes)) if _is_transformer(graph, number)}
    lists: dict[int, _Layers] = {}
    found: dict[frozenset[int], tuple[_Layers, _Holder]] = {}
    for number in range(len(graph.nodes)):
        listed = graph.child(number, "_transformer_layers")
        if listed is not None:
            if listed not in lists:
                lists[listed] = _Layers.of(_members(graph, listed), transformers)
            layers = lists[listed]
        else:
            layers = _Layers.of(graph.layers(number), transformers)
        if layers.in_order:
            holder = _Holder.of(graph, number, transformers)
            previous = found.get(layers.as_set)
            if previous is None or len(holder.keys) > len(previous[1].keys):
                found[layers.as_set] = layers, holder
    return [_describe(graph, layers, holder) for layers, holder in found.values()]


def head_keys(graph: ObjectGraph, encoder: FoundEncoder) -> set[str]:
    """Returns the tensors of those layers that a functional model puts behind the encoder."""
    inside = graph.reachable([encoder.number], without=set())
    starts: list[int] = []
    for number in range(len(graph.nodes)):
        layers = graph.layers(number)
        if encoder.number in layers and number not in inside:
            starts += layers
    return _keys(graph, graph.reachable(starts, without=inside))


def optimizer_keys(graph: ObjectGraph, encoder: FoundEncoder) -> set[str]:
    """Returns the tensors of optimizers: the slots they keep for variables, and whatever else they lead to."""
    inside = graph.reachable([encoder.number], without=set())
    starts: list[int] = []
    for number, node in enumerate(graph.nodes):
        # Keras' older optimizers keep slots, the newer ones a list of variables and this counter.
        if node.slots or "_iterations" in node.children:
            starts += [number, *node.slots]
    return _keys(graph, graph.reachable(starts, without=inside))


def _keys(graph: ObjectGraph, numbers: set[int]) -> set[str]:
    return {key for number in numbers if (key := graph.nodes[number].key) is not None}


def _is_transformer(graph: ObjectGraph, number: int) -> bool:
    attention = graph.child(number, "_attention_layer")
    if attention is None or graph.child(attention, "_query_dense") is None:
        return False
    return {"_intermediate_dense", "_output_dense"} <= graph.nodes[number].children.keys()


@dataclass(frozen=True)
class _Layers:
    """The transformer layers of an object: in their order, and as a set, by which equal lists are told."""

    in_order: tuple[int, ...]
    as_set: frozenset[int]

    @classmethod
    def of(cls, numbers: list[int], transformers: set[int]) -> "_Layers":
        layers = tuple(number for number in numbers if number in transformers)
        if len(layers) > _MAX_LAYERS:
            raise WireError(f"an object with {len(layers):,} transformer layers")
        return cls(layers, frozenset(layers))


@dataclass(frozen=True)
class _Holder:
    """An object that holds transformer layers: its number, the tensors around them, and whether it projects."""

    number: int
    keys: dict[str, str]
    has_projection: bool

    @classmethod
    def of(cls, graph: ObjectGraph, number: int, transformers: set[int]) -> "_Holder":
        around = _by_attribute(graph, number) or _by_order(graph, number, transformers)
        keys: dict[str, str] = {}
        for name, part in around.items():
            keys |= _named(graph, part, name)
        has_projection = "projection" in around or graph.child(number, "_embedding_projection") is not None
        return cls(number, keys, has_projection)


def _members(graph: ObjectGraph, listed: int) -> list[int]:
    """Returns the members of a list in their order."""
    members = graph.nodes[listed].children
    return [members[name] for name in sorted((name for name in members if name.isdecimal()), key=int)]


def _describe(graph: ObjectGraph, layers: _Layers, holder: _Holder) -> FoundEncoder:
    keys = dict(holder.keys)
    for index, layer in enumerate(layers.in_order):
        for name, part in _parts_of_layer(graph, layer):
            keys |= _named(graph, part, f"encoder/layer_{index}/{name}")
    return FoundEncoder(holder.number, layers.in_order, keys, holder.has_projection)


def _by_attribute(graph: ObjectGraph, number: int) -> dict[str, int]:
    """Finds what surrounds the transformer layers by the names of the encoder's attributes, if it has them."""
    attributes = {
        "embeddings/word_embeddings": "_embedding_layer",
        "embeddings/position_embeddings": "_position_embedding_layer",
        "embeddings/token_type_embeddings": "_type_embedding_layer",
        "embeddings/LayerNorm": "_embedding_norm_layer",
        "pooler/dense": "_pooler_layer",
    }
    parts = {name: graph.child(number, attribute) for name, attribute in attributes.items()}
    found = {name: part for name, part in parts.items() if part is not None}
    return found if len(found) >= len(attributes) - 1 else {}


def _by_order(graph: ObjectGraph, number: int, transformers: set[int]) -> dict[str, int]:
    """Finds them by the order of a functional model's layers: word, position, type, norm, …, pooler."""
    tables = ["embeddings/word_embeddings", "embeddings/position_embeddings", "embeddings/token_type_embeddings"]
    parts: dict[str, int] = {}
    behind = False
    for layer in graph.layers(number):
        children = graph.nodes[layer].children
        if layer in transformers:
            behind = True
        elif {"embeddings", "_position_embeddings"} & children.keys():
            table = next((name for name in tables if name not in parts), None)
            if table is not None:
                parts[table] = layer
        elif "gamma" in children:
            parts.setdefault("embeddings/LayerNorm", layer)
        elif {"kernel", "_kernel"} & children.keys():
            parts.setdefault("pooler/dense" if behind else "projection", layer)
    return parts


def _parts_of_layer(graph: ObjectGraph, layer: int) -> Iterator[tuple[str, int]]:
    attention = graph.child(layer, "_attention_layer")
    if attention is None:
        return
    # Until the middle of 2020 the dense layer behind attention stood beside it, not in it.
    mixed = graph.child(layer, "_attention_output_dense")
    roads: tuple[tuple[str, int | None], ...] = (
        *((f"attention/self/{part}", graph.child(attention, f"_{part}_dense")) for part in ("query", "key", "value")),
        ("attention/output/dense", graph.child(attention, "_output_dense") if mixed is None else mixed),
        ("attention/output/LayerNorm", graph.child(layer, "_attention_layer_norm")),
        ("intermediate/dense", graph.child(layer, "_intermediate_dense")),
        ("output/dense", graph.child(layer, "_output_dense")),
        ("output/LayerNorm", graph.child(layer, "_output_layer_norm")),
    )
    yield from ((name, part) for name, part in roads if part is not None)


def _named(graph: ObjectGraph, part: int, name: str) -> dict[str, str]:
    """Returns the tensors of a layer without layers: a table, a norm or a dense layer."""
    edges = {
        "embeddings": name,
        "_position_embeddings": name,
        **{edge: f"{name}/{edge.lstrip('_')}" for edge in ("kernel", "_kernel", "bias", "_bias", "gamma", "beta")},
    }
    keys: dict[str, str] = {}
    for edge, target in edges.items():
        child = graph.child(part, edge)
        key = None if child is None else graph.nodes[child].key
        if key is not None:
            keys.setdefault(target, key)
    return keys
