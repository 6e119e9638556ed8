"""Makes tf_checkpoints/*.zip and outputs.npz in it: checkpoints of every kind, written by the original package.

Run in an environment with tf-models-official 2.20.0 and its TensorFlow:

    TF_USE_LEGACY_KERAS=1 python tests/golden/make_tf_checkpoints.py

Every checkpoint has weights of its own, so that none can pass for another. Each expected output is computed by a fresh
encoder of the original after the original has restored the file (tf1: after its own converter, hub: after `hub.load`).
One kind cannot be written by 2.20.0 any more: the DenseEinsum encoder of the first half of 2020. Its object tree
(attributes `_attention_layer` with three dense layers, and `_attention_output_dense` beside it) is rebuilt here out of
`tf.Module` and saved by TensorFlow; its expected output comes from today's encoder with the same numbers.
"""

import json
import os
import platform
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from absl import flags
from official.legacy.bert import bert_models, configs
from official.modeling import tf_utils
from official.nlp import optimization
from official.nlp.modeling import models, networks
from official.nlp.tools import export_tfhub_lib, tf2_bert_encoder_checkpoint_converter

# Both scripts define this flag, and absl refuses that; the script below is imported second.
delattr(flags.FLAGS, "bert_config_file")
from official.legacy.bert import export_tfhub  # noqa: E402

OUT = Path(__file__).parent / "tf_checkpoints"
SIZES = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 120,
}
CONFIG = configs.BertConfig.from_dict(SIZES)
ROWS, COLUMNS = 4, 16
RANDOM = np.random.default_rng(2020)


def vocabulary():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789.,?!'-"]
    pieces += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    pieces += ["the", "of", "and", "to", "in", "is", "was", "that", "for", "on", "as", "with", "by", "at", "it", "from"]
    pieces += [f"word{number}" for number in range(SIZES["vocab_size"] - len(pieces))]
    return "".join(f"{piece}\n" for piece in pieces)


def inputs():
    """Rows of different lengths, padded, with two types."""
    lengths = np.array([16, 11, 5, 2])
    mask = (np.arange(COLUMNS) < lengths[:, None]).astype(np.int32)
    ids = RANDOM.integers(5, SIZES["vocab_size"], (ROWS, COLUMNS)).astype(np.int32) * mask
    ids[:, 0] = 2
    types = (np.arange(COLUMNS) >= lengths[:, None] // 2).astype(np.int32) * mask
    return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}


def functional():
    return bert_models.get_transformer_encoder(CONFIG)


def class_based():
    encoder = networks.BertEncoderV2(
        vocab_size=CONFIG.vocab_size,
        hidden_size=CONFIG.hidden_size,
        num_layers=CONFIG.num_hidden_layers,
        num_attention_heads=CONFIG.num_attention_heads,
        max_sequence_length=CONFIG.max_position_embeddings,
        type_vocab_size=CONFIG.type_vocab_size,
        inner_dim=CONFIG.intermediate_size,
        inner_activation=tf_utils.get_activation(CONFIG.hidden_act),
    )
    encoder(INPUTS)
    return encoder


def randomize(model):
    """Gives every variable numbers of its own, biases and norms too."""
    for variable in model.variables:
        if variable.dtype.is_floating:
            numbers = RANDOM.normal(0.0, 0.2, variable.shape)
            variable.assign(numbers + (1.0 if "gamma" in variable.name else 0.0))


def outputs_of(encoder):
    result = encoder(INPUTS)
    if isinstance(result, dict):
        return result["sequence_output"].numpy(), result["pooled_output"].numpy()
    return result[0].numpy(), result[1].numpy()


def make_functional(folder):
    encoder = functional()
    randomize(encoder)
    prefix = tf.train.Checkpoint(model=encoder).write(str(folder / "bert_model.ckpt"))
    fresh = functional()
    tf.train.Checkpoint(model=fresh).read(prefix).assert_consumed()
    return outputs_of(fresh)


def make_class_based(folder):
    encoder = class_based()
    randomize(encoder)
    prefix = tf.train.Checkpoint(encoder=encoder).save(str(folder / "bert_model.ckpt"))
    fresh = class_based()
    status = tf.train.Checkpoint(encoder=fresh).restore(prefix)
    status.assert_existing_objects_matched()
    return outputs_of(fresh)


def make_classifier(folder):
    """A classifier after a step of training, with its optimizer; in the lesson only the first column is computed."""
    classifier, encoder = bert_models.classifier_model(CONFIG, 3)
    randomize(classifier)
    optimizer = optimization.create_optimizer(1e-4, 10, 0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(classifier(INPUTS) ** 2)
    variables = classifier.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    prefix = tf.train.Checkpoint(model=classifier, optimizer=optimizer).save(str(folder / "ckpt"))
    fresh, encoder = bert_models.classifier_model(CONFIG, 3)
    tf.train.Checkpoint(model=fresh).restore(prefix).assert_existing_objects_matched()
    whole = functional()
    whole.set_weights(encoder.get_weights())
    return outputs_of(whole)


def module(**children):
    made = tf.Module()
    for name, child in children.items():
        setattr(made, name.replace("__", "-"), child)
    return made


def dense(layer):
    # The original sets `self._kernel = self.add_weight("kernel", ...)`: two edges to one variable.
    return module(kernel=layer.kernel, _kernel=layer.kernel, bias=layer.bias, _bias=layer.bias)


def norm(layer):
    return module(gamma=layer.gamma, beta=layer.beta)


def make_dense_einsum(folder):
    encoder = functional()
    randomize(encoder)
    parts = [
        module(embeddings=encoder._embedding_layer.embeddings),
        module(embeddings=encoder._position_embedding_layer._position_embeddings),
        module(embeddings=encoder._type_embedding_layer.embeddings),
        norm(encoder._embedding_norm_layer),
    ]
    for layer in encoder._transformer_layers:
        attention = layer._attention_layer
        parts.append(
            module(
                _attention_layer=module(
                    _query_dense=dense(attention._query_dense),
                    _key_dense=dense(attention._key_dense),
                    _value_dense=dense(attention._value_dense),
                ),
                _attention_output_dense=dense(attention._output_dense),
                _attention_layer_norm=norm(layer._attention_layer_norm),
                _intermediate_dense=dense(layer._intermediate_dense),
                _output_dense=dense(layer._output_dense),
                _output_layer_norm=norm(layer._output_layer_norm),
            )
        )
    parts.append(module(kernel=encoder._pooler_layer.kernel, bias=encoder._pooler_layer.bias))
    tree = tf.Module()
    for number, part in enumerate(parts):
        setattr(tree, f"layer_with_weights-{number}", part)
    tf.train.Checkpoint(model=tree).save(str(folder / "bert_model.ckpt"))
    return outputs_of(encoder)


def tf1_variables():
    hidden, inner = SIZES["hidden_size"], SIZES["intermediate_size"]
    shapes = {
        "bert/embeddings/word_embeddings": (SIZES["vocab_size"], hidden),
        "bert/embeddings/position_embeddings": (SIZES["max_position_embeddings"], hidden),
        "bert/embeddings/token_type_embeddings": (SIZES["type_vocab_size"], hidden),
        "cls/predictions/output_bias": (SIZES["vocab_size"],),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }
    denses = {"bert/pooler/dense": (hidden, hidden), "cls/predictions/transform/dense": (hidden, hidden)}
    norms = ["bert/embeddings/LayerNorm", "cls/predictions/transform/LayerNorm"]
    for layer in range(SIZES["num_hidden_layers"]):
        scope = f"bert/encoder/layer_{layer}"
        denses |= {f"{scope}/attention/self/{part}": (hidden, hidden) for part in ("query", "key", "value")}
        denses[f"{scope}/attention/output/dense"] = (hidden, hidden)
        denses |= {f"{scope}/intermediate/dense": (hidden, inner), f"{scope}/output/dense": (inner, hidden)}
        norms += [f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"]
    for name, shape in denses.items():
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    for name in norms:
        shapes |= {f"{name}/gamma": (hidden,), f"{name}/beta": (hidden,)}
    return shapes


def part_of(numbers):
    """Returns an initializer that gives each partition of a variable its part."""

    def initialize(shape, dtype=None, partition_info=None):
        offsets = partition_info.var_offset if partition_info else [0] * len(shape)
        return tf.constant(numbers[tuple(slice(o, o + s) for o, s in zip(offsets, shape, strict=True))])

    return initialize


def make_tf1(folder):
    """As google-research/bert writes it after pre-training, with the slots of its AdamWeightDecayOptimizer."""
    prefix = str(folder / "bert_model.ckpt")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, shape in tf1_variables().items():
            numbers = RANDOM.normal(1.0 if name.endswith("gamma") else 0.0, 0.2, shape).astype(np.float32)
            # In the original the word embeddings are split by a partitioner only on parameter servers; split here.
            partitioner = tf.compat.v1.fixed_size_partitioner(3) if name.endswith("/word_embeddings") else None
            tf.compat.v1.get_variable(name, shape=shape, initializer=part_of(numbers), partitioner=partitioner)
            for slot in ("adam_m", "adam_v"):
                tf.compat.v1.get_variable(f"{name}/{slot}", initializer=np.zeros(shape, np.float32))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(20))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix, write_meta_graph=False)
    with tempfile.TemporaryDirectory() as converted:
        tf2_bert_encoder_checkpoint_converter.convert_checkpoint(
            bert_config=CONFIG, output_path=f"{converted}/ckpt", v1_checkpoint=prefix, checkpoint_model_name="encoder"
        )
        fresh = class_based()
        tf.train.Checkpoint(encoder=fresh).restore(f"{converted}/ckpt-1").assert_existing_objects_matched()
    return outputs_of(fresh)


def make_pretrainer(folder):
    encoder = class_based()
    pretrainer = models.BertPretrainerV2(
        encoder_network=encoder,
        classification_heads=[],
        mlm_activation=tf_utils.get_activation(CONFIG.hidden_act),
    )
    pretrainer(INPUTS | {"masked_lm_positions": np.zeros((ROWS, 2), np.int32)})
    randomize(pretrainer)
    prefix = tf.train.Checkpoint(model=pretrainer, **pretrainer.checkpoint_items).save(str(folder / "bert_model.ckpt"))
    fresh = class_based()
    tf.train.Checkpoint(encoder=fresh).restore(prefix).assert_existing_objects_matched()
    return outputs_of(fresh)


def make_hub(folder):
    """The exporter of the files on the hub, with the masked-LM head as they have it."""
    with tempfile.TemporaryDirectory() as scratch:
        encoder = export_tfhub_lib.get_bert_encoder(CONFIG)
        pretrainer = models.BertPretrainerV2(
            encoder_network=encoder, mlm_activation=tf_utils.get_activation(CONFIG.hidden_act)
        )
        pretrainer(INPUTS | {"masked_lm_positions": np.zeros((ROWS, 2), np.int32)})
        randomize(pretrainer)
        prefix = tf.train.Checkpoint(**pretrainer.checkpoint_items).save(f"{scratch}/ckpt")
        (Path(scratch) / "vocab.txt").write_text(vocabulary())
        export_tfhub_lib.export_model(
            str(folder),
            bert_config=CONFIG,
            model_checkpoint_path=prefix,
            with_mlm=True,
            vocab_file=f"{scratch}/vocab.txt",
            do_lower_case=True,
        )
    loaded = hub.load(str(folder))
    return outputs_of(lambda values: loaded(tf.nest.map_structure(tf.constant, values)))


def make_hub_legacy(folder):
    """The exporter of the time of the lesson: inputs and outputs are lists."""
    with tempfile.TemporaryDirectory() as scratch:
        encoder = functional()
        randomize(encoder)
        prefix = tf.train.Checkpoint(model=encoder).save(f"{scratch}/ckpt")
        (Path(scratch) / "vocab.txt").write_text(vocabulary())
        export_tfhub.export_bert_tfhub(CONFIG, prefix, str(folder), f"{scratch}/vocab.txt", do_lower_case=True)
    loaded = hub.load(str(folder))
    names = ("input_word_ids", "input_mask", "input_type_ids")
    pooled, sequence = loaded([tf.constant(INPUTS[name]) for name in names])
    return sequence.numpy(), pooled.numpy()


def make_dtypes(folder):
    """One tensor of each type, in two shards, and one matrix in slices of two rows and two columns."""
    values = {
        name: tf.cast(tf.constant([[0, 1, 2], [3, -4, 5]]), name)
        for name in ("float32", "float64", "float16", "bfloat16", "int32", "int64", "bool")
    }
    parts = [str(folder / name) for name in ("one", "two")]
    tf.raw_ops.SaveV2(
        prefix=parts[0], tensor_names=list(values), shape_and_slices=[""] * len(values), tensors=list(values.values())
    )
    table = tf.reshape(tf.range(24, dtype=tf.float32), (4, 6))
    tf.raw_ops.SaveV2(
        prefix=parts[1],
        tensor_names=["text", "sliced", "sliced", "sliced", "empty", "scalar"],
        shape_and_slices=["", "4 6 0,2:-", "4 6 2,2:0,4", "4 6 2,2:4,2", "", ""],
        tensors=[
            tf.constant([b"one", b"", b"thr\xc3\xa9e" * 50]),
            table[:2],
            table[2:, :4],
            table[2:, 4:],
            tf.zeros((0, 3)),
            tf.constant(7.5),
        ],
    )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(folder / "dtypes"), delete_old_dirs=False
    )


MAKERS = {
    "functional": make_functional,
    "dense_einsum": make_dense_einsum,
    "class_based": make_class_based,
    "classifier": make_classifier,
    "tf1": make_tf1,
    "pretrainer": make_pretrainer,
    "hub": make_hub,
    "hub_legacy": make_hub_legacy,
}
SAVED_MODELS = ("hub", "hub_legacy")


def pack(folder, target):
    """Packs a folder with fixed times, so that equal content gives equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), date_time=(2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def main():
    OUT.mkdir(exist_ok=True)
    stored = dict(INPUTS)
    for kind, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            stored[f"{kind}|sequence_output"], stored[f"{kind}|pooled_output"] = make(folder)
            (folder / "bert_config.json").write_text(json.dumps(SIZES, indent=2) + "\n")
            if kind not in SAVED_MODELS:
                (folder / "vocab.txt").write_text(vocabulary())
            pack(folder, OUT / f"{kind}.zip")
    with tempfile.TemporaryDirectory() as name:
        make_dtypes(Path(name))
        pack(Path(name), OUT / "dtypes.zip")
    packages = ("tf-models-official", "tensorflow", "tf_keras", "tensorflow-hub", "numpy")
    provenance = {
        "made_by": "tests/golden/make_tf_checkpoints.py",
        "command": "TF_USE_LEGACY_KERAS=1 python tests/golden/make_tf_checkpoints.py",
        "packages": {package: version(package) for package in packages},
        "python": platform.python_version(),
        "tolerance": 1e-5,
    }
    stored["provenance"] = np.array(json.dumps(provenance))
    np.savez_compressed(OUT / "outputs.npz", **stored)


INPUTS = inputs()
if __name__ == "__main__":
    main()
