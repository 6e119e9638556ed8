"""Models of the original package. Only processes that import TensorFlow import this."""

import json
import os
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
from inputs import BASE, MAX_LENGTH, Table
from numpy.typing import NDArray
from official.legacy.bert import bert_models, configs
from official.modeling import tf_utils
from official.nlp.data import classifier_data_lib
from official.nlp.modeling import networks
from weights import random_weights

Arrays = dict[str, NDArray[Any]]


def config_of(**changes: Any) -> configs.BertConfig:
    return configs.BertConfig.from_dict(BASE | changes)


def write_config(folder: Path, **changes: Any) -> None:
    (folder / "bert_config.json").write_text(json.dumps(BASE | changes, indent=2) + "\n")


def functional(config: configs.BertConfig) -> Any:
    return bert_models.get_transformer_encoder(config)


def class_based(config: configs.BertConfig) -> Any:
    encoder = networks.BertEncoderV2(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=tf_utils.get_activation(config.hidden_act),
    )
    one = np.ones((1, 2), np.int32)
    encoder({"input_word_ids": one, "input_mask": one, "input_type_ids": one})
    return encoder


def randomize(model: Any, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype.is_floating:
            variable.assign(random_weights(variable.name, tuple(variable.shape), draw))


def outputs_of(encoder: Any, inputs: Arrays) -> Arrays:
    result = encoder(inputs)
    if not isinstance(result, dict):
        result = dict(zip(("sequence_output", "pooled_output"), result, strict=True))
    return {name: result[name].numpy() for name in ("sequence_output", "pooled_output")}


def features_of(rows: Table, tokenizer: Any, length: int = MAX_LENGTH) -> Arrays:
    """Encodes pairs with `convert_single_example`, in the names of the model's inputs."""
    features = []
    for number, row in enumerate(rows):
        example = classifier_data_lib.InputExample(
            f"row-{number}", row["sentence1"], row["sentence2"], str(row["label"])
        )
        features.append(classifier_data_lib.convert_single_example(number, example, ["0", "1"], length, tokenizer))
    names = {"input_word_ids": "input_ids", "input_mask": "input_mask", "input_type_ids": "segment_ids"}
    made = {ours: np.array([getattr(each, theirs) for each in features], np.int32) for ours, theirs in names.items()}
    return made | {"label": np.array([each.label_id for each in features], np.int32)}
