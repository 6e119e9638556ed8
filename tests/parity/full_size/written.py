"""Checkpoints of BERT-base size, each written by the original package with what it computes from them."""

import json
import os
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from inputs import BASE, CASED_SIZE, cased_vocabulary, pair_tables, uncased_vocabulary
from official.legacy.bert import bert_models
from official.modeling import tf_utils
from official.nlp import optimization
from official.nlp.modeling import models
from official.nlp.tools import export_tfhub_lib, tf2_bert_encoder_checkpoint_converter
from official.nlp.tools.tokenization import FullTokenizer
from original import class_based, config_of, features_of, functional, outputs_of, randomize, write_config
from weights import random_weights

BATCH, BATCHES = 32, 2


def write_functional(folder: Path) -> None:
    inputs = _start(folder)
    encoder = functional(config_of())
    randomize(encoder, 1)
    prefix = tf.train.Checkpoint(model=encoder).write(str(folder / "bert_model.ckpt"))
    _finish(folder, prefix, _in_batches(encoder, inputs), inputs)


def write_class_based(folder: Path) -> None:
    inputs = _start(folder, vocab_size=CASED_SIZE)
    encoder = class_based(config_of(vocab_size=CASED_SIZE))
    randomize(encoder, 2)
    prefix = tf.train.Checkpoint(encoder=encoder).save(str(folder / "bert_model.ckpt"))
    _finish(folder, prefix, _in_batches(encoder, inputs), inputs)


def write_classifier(folder: Path) -> None:
    """As after training: with the optimizer and its slots."""
    inputs = _start(folder)
    classifier, _ = bert_models.classifier_model(config_of(), 2)
    randomize(classifier, 3)
    logits = [classifier(batch).numpy() for batch in _batches(inputs)]
    optimizer = optimization.create_optimizer(0.0, 10, 0)
    variables = classifier.trainable_variables
    optimizer.apply_gradients((tf.zeros_like(variable), variable) for variable in variables)
    prefix = tf.train.Checkpoint(model=classifier, optimizer=optimizer).save(str(folder / "ckpt"))
    _finish(folder, prefix, {"logits": np.concatenate(logits)}, inputs)


def write_tf1(folder: Path) -> None:
    """As google-research/bert, by the Saver of TensorFlow 1; outputs after the original's own converter."""
    inputs = _start(folder)
    prefix = str(folder / "bert_model.ckpt")
    draw = np.random.default_rng(4)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loads = []
        for name, shape in _tf1_shapes().items():
            variable = tf.compat.v1.get_variable(name, shape, initializer=tf.compat.v1.zeros_initializer())
            loads.append((variable, random_weights(name, shape, draw)))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(1_000_000))
        session.run(tf.compat.v1.global_variables_initializer())
        for variable, numbers in loads:
            variable.load(numbers, session)
        tf.compat.v1.train.Saver().save(session, prefix, write_meta_graph=False)
    converted = folder / "converted"
    tf2_bert_encoder_checkpoint_converter.convert_checkpoint(
        bert_config=config_of(), output_path=str(converted), v1_checkpoint=prefix, checkpoint_model_name="encoder"
    )
    encoder = class_based(config_of())
    tf.train.Checkpoint(encoder=encoder).restore(f"{converted}-1").assert_existing_objects_matched()
    outputs = _in_batches(encoder, inputs)
    for path in folder.glob("converted*"):
        path.unlink()
    _finish(folder, prefix, outputs, inputs)


def write_hub(folder: Path) -> None:
    """By the exporter of the files on the hub, with the masked-LM head as they have it."""
    inputs = _start(folder)
    encoder = export_tfhub_lib.get_bert_encoder(config_of())
    activation = tf_utils.get_activation(BASE["hidden_act"])
    pretrainer = models.BertPretrainerV2(encoder_network=encoder, mlm_activation=activation)
    first = next(iter(_batches(inputs)))
    pretrainer({name: array[:1] for name, array in first.items()} | {"masked_lm_positions": np.zeros((1, 2), np.int32)})
    randomize(pretrainer, 5)
    prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).save(str(folder / "pretrainer"))
    export_tfhub_lib.export_model(
        str(folder / "hub"),
        bert_config=config_of(),
        model_checkpoint_path=prefix,
        with_mlm=True,
        vocab_file=str(uncased_vocabulary()),
        do_lower_case=True,
    )
    for path in [*folder.glob("pretrainer*"), folder / "checkpoint"]:
        path.unlink()
    loaded = hub.load(str(folder / "hub"))
    outputs = _in_batches(lambda batch: loaded(tf.nest.map_structure(tf.constant, batch)), inputs)
    _finish(folder, str(folder / "hub" / "variables" / "variables"), outputs, inputs)


def _start(folder: Path, **changes: Any) -> dict[str, np.ndarray]:
    """Writes the configuration, and encodes the pairs of two batches as the original does."""
    write_config(folder, **changes)
    cased = "vocab_size" in changes
    vocabulary = cased_vocabulary(folder) if cased else uncased_vocabulary()
    tokenizer = FullTokenizer(str(vocabulary), do_lower_case=not cased)
    _, tables = pair_tables()
    inputs = features_of(tables["validation"][: BATCH * BATCHES], tokenizer)
    del inputs["label"]
    return inputs


def _batches(inputs: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    rows = len(inputs["input_mask"])
    return [{name: array[at : at + BATCH] for name, array in inputs.items()} for at in range(0, rows, BATCH)]


def _in_batches(encoder: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    parts = [outputs_of(encoder, batch) for batch in _batches(inputs)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _finish(folder: Path, prefix: str, outputs: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> None:
    np.savez(folder / "outputs.npz", **inputs, **outputs)
    about = {"prefix": prefix, "tensors": len(tf.train.list_variables(prefix))}
    (folder / "about.json").write_text(json.dumps(about))


def _tf1_shapes() -> dict[str, tuple[int, ...]]:
    hidden, inner, words = BASE["hidden_size"], BASE["intermediate_size"], BASE["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "bert/embeddings/word_embeddings": (words, hidden),
        "bert/embeddings/position_embeddings": (BASE["max_position_embeddings"], hidden),
        "bert/embeddings/token_type_embeddings": (BASE["type_vocab_size"], hidden),
        "cls/predictions/output_bias": (words,),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }
    denses = {"bert/pooler/dense": (hidden, hidden), "cls/predictions/transform/dense": (hidden, hidden)}
    norms = ["bert/embeddings/LayerNorm", "cls/predictions/transform/LayerNorm"]
    for layer in range(BASE["num_hidden_layers"]):
        scope = f"bert/encoder/layer_{layer}"
        denses |= {f"{scope}/attention/self/{part}": (hidden, hidden) for part in ("query", "key", "value")}
        denses |= {f"{scope}/attention/output/dense": (hidden, hidden)}
        denses |= {f"{scope}/intermediate/dense": (hidden, inner), f"{scope}/output/dense": (inner, hidden)}
        norms += [f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"]
    for name, shape in denses.items():
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    for name in norms:
        shapes |= {f"{name}/gamma": (hidden,), f"{name}/beta": (hidden,)}
    return shapes
