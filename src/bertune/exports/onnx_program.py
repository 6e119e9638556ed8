"""A classifier as an ONNX model: the graph of its modules, and what a file says of its labels and texts."""

import json
from dataclasses import replace

import numpy as np
import onnx

from bertune.checkpoints.model_folder import LoadedModel
from bertune.exports import onnx_layers as layers
from bertune.exports.onnx_graph import OnnxGraph
from bertune.exports.onnx_rows import HIDDEN, Rows, dense, normalize
from bertune.models.classifier import Classifier
from bertune.nn.rotary_attention import RotaryAttention


def onnx_model(model: LoadedModel, *, weight_bits: int | None = None) -> onnx.ModelProto:
    """Writes a classifier down as a graph of ONNX operators.

    Inputs are `input_ids`, `attention_mask` and, where the encoder tells types apart, `token_type_ids`, (batch,
    sequence) int64 of any size, padded at the end; the output is `logits`, (batch, labels) float32. With [CLS] pooling
    the last layer computes the first token alone.

    Args:
        model: with a temperature of 1.
        weight_bits: 8, or 7, for products of 8-bit integers in the layers and a token table of them; None for float32.
    """
    classifier = model.classifier
    encoder = classifier.encoder
    graph = OnnxGraph("bertune")
    ids, mask = graph.input("input_ids"), graph.input("attention_mask")
    types = graph.input("token_type_ids") if encoder.config.type_vocab_size > 1 else ""
    rows = replace(_rows(graph, classifier, ids, mask), weight_bits=weight_bits)
    hidden = layers.embed(rows, encoder.embeddings, ids, types)
    *below, top = encoder.layers_in_order
    for module in below:
        hidden = layers.layer(rows, module, hidden, first_only=False)
    hidden = layers.layer(rows, top, hidden, first_only=classifier.first_only)
    if encoder.final_norm is not None:
        hidden = normalize(rows, encoder.final_norm, hidden)
    first = graph.integers(1)
    pooled = graph.op("Squeeze", hidden, first) if classifier.first_only else layers.mean(rows, hidden, mask)
    if classifier.uses_pooler:
        assert encoder.pooler is not None
        pooled = layers.pool(rows, encoder.pooler, pooled)
    logits = dense(rows, classifier.classifier, pooled)
    return graph.model(logits, classifier.num_labels, _metadata(model))


def _rows(graph: OnnxGraph, classifier: Classifier, ids: str, mask: str) -> Rows:
    """Adds what all layers share."""
    encoder = classifier.encoder
    longest = encoder.config.max_positions
    length = graph.op("Slice", graph.op("Shape", ids), graph.integers(1), graph.integers(2))
    is_padding = graph.op("Sub", graph.number(1.0), graph.op("Cast", mask, to=1))
    hide = graph.op("Unsqueeze", graph.op("Mul", is_padding, graph.number(HIDDEN)), graph.integers(1, 2))
    reaches = {
        module.attention.reach
        for module in encoder.layers
        if isinstance(module.attention, RotaryAttention) and module.attention.reach is not None
    }
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    return Rows(
        graph,
        names,
        length,
        hide,
        longest,
        {reach: _local(graph, hide, length, longest, reach) for reach in sorted(reaches)},
        _bias(graph, classifier, length, longest),
        encoder.relative_positions,
    )


def _local(graph: OnnxGraph, hide: str, length: str, longest: int, reach: int) -> str:
    """Adds what hides tokens that lie further apart than a reach, and padding."""
    places = graph.first(graph.constant("places", np.arange(longest, dtype=np.float32)), length, axis=0)
    across, down = (graph.op("Unsqueeze", places, graph.integers(axis)) for axis in (0, 1))
    apart = graph.op("Abs", graph.op("Sub", across, down))
    is_far = graph.op("Cast", graph.op("Greater", apart, graph.number(float(reach))), to=1)
    return graph.op("Add", hide, graph.op("Mul", is_far, graph.number(HIDDEN)))


def _bias(graph: OnnxGraph, classifier: Classifier, length: str, longest: int) -> str:
    """Adds what scores get by how far two tokens lie apart, (heads, columns, columns)."""
    relative = classifier.encoder.relative
    if relative is None:
        return ""
    buckets = graph.constant("buckets", relative.buckets(longest).cpu().numpy().astype(np.int32))
    wanted = graph.first(graph.first(buckets, length, axis=0), length, axis=1)
    table = relative.table.weight.detach().float().cpu().numpy().T
    return graph.op("Gather", graph.constant("relative_bias", table), wanted, axis=1)


def _metadata(model: LoadedModel) -> dict[str, str]:
    """Returns what the file says of its model, as text."""
    signature = model.signature
    facts = {
        "task": signature.kind.value,
        "labels": list(signature.labels),
        "is_pair": signature.is_pair,
        "max_length": signature.max_length,
        "temperature": signature.temperature,
        "folded_temperature": signature.folded_temperature,
        "thresholds": list(signature.thresholds),
        "tokenizer_digest": model.tokenizer.digest,
    }
    return {
        f"bertune.{name}": fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False, allow_nan=False)
        for name, fact in facts.items()
    }
