"""Writes an encoder or a classifier as a TF2 object checkpoint that the Model Garden restores.

The layout is that of `tf.train.Checkpoint(model=…)` in tf-models-official 2.20: the functional `BertEncoder` with its
attributes, so that the class-based `BertEncoderV2` finds its parts in the same file. An encoder is also reached by the
name `encoder`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bertune.checkpoints.bundle_writer import message, write_bundle
from bertune.checkpoints.object_graph import GRAPH_KEY
from bertune.errors import ConfigError
from bertune.models.bert import BERT
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(eq=False)
class _Object:
    """An object of the graph: edges to others, and a value if it is a variable."""

    edges: dict[str, "_Object"] = field(default_factory=dict)
    value: NDArray[Any] | None = None


def write_tf_checkpoint(model: Encoder | Classifier, prefix: str | Path) -> Path:
    """Writes a TF2 checkpoint, `PREFIX.index` and `PREFIX.data-00000-of-00001`, without TensorFlow.

    `tf.train.Checkpoint(model=X).restore(PREFIX).assert_consumed()` takes it, where X is the Model Garden's encoder or
    classifier of the same sizes.

    Args:
        model: an encoder with its pooler, or a classifier on [CLS].
        prefix: the path without `.index`; its folder must be there.

    Returns:
        The prefix.

    Raises:
        ConfigError: the model is no BERT, or has no pooler, which the Model Garden's encoder always has.

    Example:
        >>> encoder = bertune.Encoder(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> bertune.write_tf_checkpoint(encoder, "bert_model.ckpt").name
        'bert_model.ckpt'
    """
    encoder = model.encoder if isinstance(model, Classifier) else model
    if encoder.family is not BERT:
        raise ConfigError(
            f"{encoder.family.name} cannot become a TensorFlow checkpoint: the Model Garden's encoder is BERT",
            hint="export to transformers",
        )
    if encoder.pooler is None:
        raise ConfigError(
            "an encoder without pooler cannot become a TensorFlow checkpoint: the Model Garden's encoder has one",
            hint="train with --pooling cls",
        )
    prefix = Path(prefix)
    made = _encoder(encoder)
    root = {"model": made, "encoder": made}
    if isinstance(model, Classifier):
        head = _Object({"out_proj": _dense(model.classifier)})
        root = {"model": _Object({"layer_with_weights-0": made, "layer_with_weights-1": head, "classifier": head})}
    root["save_counter"] = _Object(value=np.array(1, np.int64))
    graph, values = _serialize(_Object(root))
    write_bundle(prefix, [*values.items(), (GRAPH_KEY, graph)])
    return prefix


def _encoder(encoder: Encoder) -> _Object:
    if encoder.pooler is None:
        raise AssertionError("checked by the caller")
    embeddings, types = encoder.embeddings, encoder.embeddings.token_type
    assert types is not None  # BERT's have them
    assert embeddings.position is not None
    tables = [_table(table) for table in (embeddings.token, embeddings.position, types)]
    # The original keeps this variable under two names.
    tables[1].edges["_position_embeddings"] = tables[1].edges["embeddings"]
    norm = _norm(embeddings.norm)
    layers = [_layer(layer, encoder.config.num_attention_heads) for layer in encoder.layers]
    pooler = _dense(encoder.pooler.dense)
    parts = [*tables, norm, *layers, pooler]
    edges = {f"layer_with_weights-{number}": part for number, part in enumerate(parts)}
    names = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer", "_embedding_norm_layer")
    edges |= dict(zip(names, parts[:4], strict=True)) | {"_pooler_layer": pooler}
    edges["_transformer_layers"] = _Object({str(number): layer for number, layer in enumerate(layers)})
    return _Object(edges)


def _layer(layer: Any, heads: int) -> _Object:
    attention = layer.attention
    parts: dict[str, _Object] = {}
    weights, biases = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        kernel = _numbers(weight).T
        parts[f"_{name}_dense"] = _dense_of(kernel.reshape(len(kernel), heads, -1), _numbers(bias).reshape(heads, -1))
    output = _numbers(attention.output.weight).T
    output = output.reshape(heads, -1, output.shape[1])
    parts["_output_dense"] = _dense_of(output, _numbers(attention.output.bias))
    return _Object(
        {
            "_attention_layer": _Object(parts),
            "_attention_layer_norm": _norm(layer.attention_norm),
            "_intermediate_dense": _dense(layer.feed_forward.intermediate),
            "_output_dense": _dense(layer.feed_forward.output),
            "_output_layer_norm": _norm(layer.output_norm),
        }
    )


def _numbers(parameter: Any) -> NDArray[Any]:
    numbers: NDArray[Any] = parameter.detach().float().cpu().numpy()
    return numbers


def _table(table: nn.Embedding) -> _Object:
    return _Object({"embeddings": _Object(value=_numbers(table.weight))})


def _norm(norm: nn.LayerNorm) -> _Object:
    return _Object({"gamma": _Object(value=_numbers(norm.weight)), "beta": _Object(value=_numbers(norm.bias))})


def _dense(dense: nn.Linear) -> _Object:
    return _dense_of(_numbers(dense.weight).T, _numbers(dense.bias))


def _dense_of(kernel: NDArray[Any], bias: NDArray[Any]) -> _Object:
    return _Object({"kernel": _Object(value=kernel), "bias": _Object(value=bias)})


def _serialize(root: _Object) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Numbers the objects by breadth, as TensorFlow does, and names each variable after the first path to it."""
    roads: dict[_Object, str] = {root: ""}
    waiting = [root]
    for made in waiting:
        for name, child in made.edges.items():
            if child not in roads:
                roads[child] = f"{roads[made]}/{name}".lstrip("/")
                waiting.append(child)
    numbers = {made: number for number, made in enumerate(waiting)}
    graph = b""
    values: dict[str, NDArray[Any]] = {}
    for made in waiting:
        node = b"".join(
            message((1, message((1, numbers[child]), (2, name.encode())))) for name, child in made.edges.items()
        )
        if made.value is not None:
            key = roads[made] + _VALUE
            values[key] = made.value
            tensor = message((1, b"VARIABLE_VALUE"), (2, roads[made].encode()), (3, key.encode()))
            node += message((2, tensor))
        graph += message((1, node))
    return graph, values
