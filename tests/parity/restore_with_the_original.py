"""Restores what bertune wrote with the original package and prints the largest differences as JSON.

Run by tests/parity/test_tf_checkpoint.py in an environment with tf-models-official 2.20.0:

    TF_USE_LEGACY_KERAS=1 python tests/parity/restore_with_the_original.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from official.legacy.bert import bert_models, configs
from official.modeling import tf_utils
from official.nlp.modeling import networks

FOLDER = Path(sys.argv[1])
CONFIG = configs.BertConfig.from_json_file(str(FOLDER / "bert_config.json"))


def functional():
    return bert_models.get_transformer_encoder(CONFIG)


def class_based():
    return networks.BertEncoderV2(
        vocab_size=CONFIG.vocab_size,
        hidden_size=CONFIG.hidden_size,
        num_layers=CONFIG.num_hidden_layers,
        num_attention_heads=CONFIG.num_attention_heads,
        max_sequence_length=CONFIG.max_position_embeddings,
        type_vocab_size=CONFIG.type_vocab_size,
        inner_dim=CONFIG.intermediate_size,
        inner_activation=tf_utils.get_activation(CONFIG.hidden_act),
    )


def main():
    stored = np.load(FOLDER / "outputs.npz")
    inputs = {name: stored[name] for name in ("input_word_ids", "input_mask", "input_type_ids")}
    real = inputs["input_mask"].astype(bool)
    differences = {}
    for name, build in {"functional": functional, "class_based": class_based}.items():
        for root in ("model", "encoder"):
            encoder = build()
            encoder(inputs)
            tf.train.Checkpoint(**{root: encoder}).restore(str(FOLDER / "encoder")).assert_consumed()
            result = encoder(inputs)
            if isinstance(result, dict):
                result = result["sequence_output"], result["pooled_output"]
            differences[f"{name}, {root}, sequence"] = np.abs(result[0].numpy() - stored["sequence"])[real].max()
            differences[f"{name}, {root}, pooled"] = np.abs(result[1].numpy() - stored["pooled"]).max()
    classifier, _ = bert_models.classifier_model(CONFIG, stored["logits"].shape[1])
    tf.train.Checkpoint(model=classifier).restore(str(FOLDER / "classifier")).assert_consumed()
    differences["classifier, logits"] = np.abs(classifier(inputs).numpy() - stored["logits"]).max()
    # What `export` wrote: a folder of its own, with its own configuration.
    config = configs.BertConfig.from_json_file(str(FOLDER / "exported" / "bert_config.json"))
    classifier, _ = bert_models.classifier_model(config, stored["logits"].shape[1])
    checkpoint = tf.train.Checkpoint(model=classifier)
    checkpoint.restore(str(FOLDER / "exported" / "bert_model.ckpt")).assert_consumed()
    differences["exported classifier, logits"] = np.abs(classifier(inputs).numpy() - stored["logits"]).max()
    print(json.dumps({name: float(value) for name, value in differences.items()}))


if __name__ == "__main__":
    main()
