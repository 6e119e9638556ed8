"""TensorFlow's part of an export: builds, writes and runs a SavedModel.

Only this file and those that build the graph of the tokenizer, `text_signatures` and `word_piece_graph`, import
TensorFlow. They run in a process of its own, see `call_in_fresh_process`, and import no torch: two runtimes in one
process would fight for its threads and hold the weights twice.

The arithmetic is that of `bertune.nn` and `bertune.models`, on padded rows. The variables hang on the names of the
Model Garden's encoder, so whatever reads its checkpoints finds them in the SavedModel too.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from bertune.exports.program_description import TEXT_ANSWERS, ProgramDescription
from bertune.exports.text_signatures import IDS, answer_texts, text_signatures
from bertune.runtime.fresh_answers import told_by
from bertune.runtime.padded_rows import ProofRows, padded
from bertune.system.hinted_values import from_json

_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_NORM = {"gamma": "gamma", "beta": "beta"}
_DENSE = {"kernel": "kernel", "bias": "bias"}
# What is subtracted from the scores of padding: its softmax is exactly 0, and no infinity can become NaN.
_HIDDEN = -0.5 * float(np.finfo(np.float32).max)
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda values: tf.nn.gelu(values, approximate=False),
    "gelu_tanh": lambda values: tf.nn.gelu(values, approximate=True),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
    "quick_gelu": lambda values: values * tf.sigmoid(1.702 * values),
}


def write_saved_model(
    *,
    weights: str,
    description: str,
    folder: str,
    on_rows: Callable[[int], None],  # noqa: ARG001 (none are counted)
) -> dict[str, str]:
    """Writes a SavedModel.

    Args:
        weights: safetensors file, names of google-research/bert, kernels (in, out).
        description: JSON file of a `ProgramDescription`.
        folder: of the SavedModel.
        on_rows: not called.
    """
    described = from_json(ProgramDescription, json.loads(Path(description).read_text(encoding="utf-8")))
    root = _variables(load_file(weights), described.layers)
    root.assets = [tf.saved_model.Asset(path) for path in described.assets]
    serve = _serving_function(root, described)
    signatures = {"serving_default": serve} if described.texts is None else text_signatures(serve, described.texts)
    tf.saved_model.save(root, folder, signatures=signatures)
    _name_by_content(Path(folder) / "fingerprint.pb")
    return {}


def _name_by_content(path: Path) -> None:
    """Gives a SavedModel a UUID of its content instead of a drawn one: the same model gives the same files."""
    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, fingerprint.SerializeToString(deterministic=True).hex()))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> dict[str, Any]:
    """Loads a SavedModel and writes its logits.

    Args:
        folder: of the SavedModel.
        rows: file with the rows.
        out: file for the logits. What a SavedModel answers to strings is beside it, see `answer_texts`.
        on_rows: called with the number of rows done in each batch.
    """
    signatures = tf.saved_model.load(folder).signatures
    serve = signatures[IDS if IDS in signatures else "serving_default"]

    def answer(batch: Mapping[str, Any]) -> Any:
        return serve(**{name: tf.constant(array) for name, array in batch.items()})["logits"].numpy()

    asked = ProofRows.read(rows)
    answers = []
    if asked.strings:
        answers.append(answer_texts(signatures, asked, Path(out).with_suffix(TEXT_ANSWERS), on_rows))
    for batch in asked.without_strings().padded_batches():
        answers.append(answer(batch))
        on_rows(len(answers[-1]))
    np.save(out, np.concatenate(answers))
    return told_by({"tensorflow": tf.__version__}, lambda encoded: answer(padded(encoded)), asked)


def _variables(weights: Mapping[str, Any], num_layers: int) -> Any:
    """Lays the weights out as objects with the attributes of the Model Garden's encoder and classifier."""

    def part(name: str, variables: Mapping[str, str]) -> Any:
        made = tf.Module(name=name.replace("/", "_"))
        for attribute, last in variables.items():
            full_name = f"{name}/{last}".rstrip("/")
            setattr(made, attribute, tf.Variable(weights[full_name], name=full_name))
        return made

    encoder = tf.Module(name="encoder")
    encoder._embedding_layer = part("embeddings/word_embeddings", {"embeddings": ""})
    encoder._position_embedding_layer = part("embeddings/position_embeddings", {"embeddings": ""})
    encoder._type_embedding_layer = part("embeddings/token_type_embeddings", {"embeddings": ""})
    encoder._embedding_norm_layer = part("embeddings/LayerNorm", _NORM)
    if "pooler/dense/kernel" in weights:
        encoder._pooler_layer = part("pooler/dense", _DENSE)
    layers = []
    for number in range(num_layers):
        prefix = f"encoder/layer_{number}"
        attention = tf.Module(name="attention")
        attention._query_dense = part(f"{prefix}/attention/self/query", _DENSE)
        attention._key_dense = part(f"{prefix}/attention/self/key", _DENSE)
        attention._value_dense = part(f"{prefix}/attention/self/value", _DENSE)
        attention._output_dense = part(f"{prefix}/attention/output/dense", _DENSE)
        layer = tf.Module(name=f"layer_{number}")
        layer._attention_layer = attention
        layer._attention_layer_norm = part(f"{prefix}/attention/output/LayerNorm", _NORM)
        layer._intermediate_dense = part(f"{prefix}/intermediate/dense", _DENSE)
        layer._output_dense = part(f"{prefix}/output/dense", _DENSE)
        layer._output_layer_norm = part(f"{prefix}/output/LayerNorm", _NORM)
        layers.append(layer)
    encoder._transformer_layers = layers
    root = tf.Module(name="bertune_classifier")
    root.encoder = encoder
    root.classifier = tf.Module(name="classifier")
    root.classifier.out_proj = part("classifier", _DENSE)
    return root


def _serving_function(root: Any, described: ProgramDescription) -> Any:
    """Builds the function behind `serving_default`: three (rows, columns) int32 arrays to logits."""

    def serve(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> dict[str, Any]:
        checks = _checks(root.encoder, input_word_ids, input_mask, input_type_ids)
        with tf.control_dependencies(checks):
            ids, mask, types = (tf.identity(array) for array in (input_word_ids, input_mask, input_type_ids))
        hidden = _encode(root.encoder, ids, mask, types, described)
        pooled = _pool(root.encoder, hidden, mask, described.pooling)
        logits = _dense(root.classifier.out_proj, pooled)
        if described.probabilities is None:
            return {"logits": logits}
        to_probabilities = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[described.probabilities]
        return {"logits": logits, "probabilities": to_probabilities(logits)}

    specs = [tf.TensorSpec([None, None], tf.int32, name=name) for name in _INPUTS]
    return tf.function(serve, input_signature=specs, autograph=False)


def _checks(encoder: Any, ids: Any, mask: Any, types: Any) -> list[Any]:
    """Refuses what the encoder has no answer to; a GPU would otherwise read zeros beyond the end of a table."""
    check = tf.debugging
    tables = (
        ("input_word_ids", ids, encoder._embedding_layer.embeddings),
        ("input_type_ids", types, encoder._type_embedding_layer.embeddings),
    )
    found = []
    for name, array, table in tables:
        rows = table.shape[0]
        in_range = tf.reduce_all((array >= 0) & (array < rows))
        found.append(check.Assert(in_range, [f"{name} must lie in 0..{rows - 1}"]))
    positions = encoder._position_embedding_layer.embeddings.shape[0]
    is_short = tf.shape(ids)[1] <= positions
    found.append(check.Assert(is_short, [f"a row may have at most {positions} columns"]))
    is_mask = tf.reduce_all((mask == 0) | (mask == 1)) & tf.reduce_all(tf.reduce_any(mask == 1, axis=1))
    found.append(check.Assert(is_mask, ["input_mask must hold 0 and 1, and at least one 1 a row"]))
    return found


def _encode(encoder: Any, ids: Any, mask: Any, types: Any, described: ProgramDescription) -> Any:
    """Maps ids to hidden states, (rows, columns, hidden)."""
    epsilon = described.norm_epsilon
    hidden = (
        tf.gather(encoder._embedding_layer.embeddings, ids)
        + encoder._position_embedding_layer.embeddings[tf.newaxis, : tf.shape(ids)[1], :]
        + tf.gather(encoder._type_embedding_layer.embeddings, types)
    )
    hidden = _norm(encoder._embedding_norm_layer, hidden, epsilon)
    hide = tf.where(mask == 1, 0.0, _HIDDEN)[:, tf.newaxis, tf.newaxis, :]
    activation = _ACTIVATIONS[described.activation]
    for layer in encoder._transformer_layers:
        attended = _attend(layer._attention_layer, hidden, hide, described.heads)
        hidden = _norm(layer._attention_layer_norm, hidden + attended, epsilon)
        transformed = _dense(layer._output_dense, activation(_dense(layer._intermediate_dense, hidden)))
        hidden = _norm(layer._output_layer_norm, hidden + transformed, epsilon)
    return hidden


def _attend(attention: Any, hidden: Any, hide: Any, heads: int) -> Any:
    """Multi-head self-attention, (rows, columns, hidden) to the same."""
    shape = tf.shape(hidden)
    width = hidden.shape[-1]

    def by_head(part: Any) -> Any:
        return tf.transpose(tf.reshape(_dense(part, hidden), [shape[0], shape[1], heads, width // heads]), [0, 2, 1, 3])

    query = by_head(attention._query_dense) * (width // heads) ** -0.5
    scores = tf.matmul(query, by_head(attention._key_dense), transpose_b=True) + hide
    mixed = tf.matmul(tf.nn.softmax(scores), by_head(attention._value_dense))
    merged = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [shape[0], shape[1], width])
    return _dense(attention._output_dense, merged)


def _pool(encoder: Any, hidden: Any, mask: Any, pooling: str) -> Any:
    """One vector a row: the pooler on the first token, or the mean of all tokens."""
    if pooling == "mean":
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        return tf.reduce_sum(hidden * weights, axis=1) / tf.reduce_sum(weights, axis=1)
    first = tf.gather(hidden, tf.argmax(mask, axis=1), batch_dims=1)
    return tf.tanh(_dense(encoder._pooler_layer, first))


def _dense(part: Any, values: Any) -> Any:
    """A product with the kernel, (…, in) to (…, out); as one product of two matrices, which is the fastest."""
    kernel = part.kernel
    flat = tf.matmul(tf.reshape(values, [-1, kernel.shape[0]]), kernel) + part.bias
    shape = tf.concat([tf.shape(values)[:-1], [kernel.shape[1]]], axis=0)
    made = tf.reshape(flat, shape)
    made.set_shape([*values.shape[:-1], kernel.shape[1]])
    return made


def _norm(part: Any, values: Any, epsilon: float) -> Any:
    """Layer norm over the last axis."""
    mean, variance = tf.nn.moments(values, axes=[-1], keepdims=True)
    return (values - mean) * tf.math.rsqrt(variance + epsilon) * part.gamma + part.beta
