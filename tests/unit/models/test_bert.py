import json
import os
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import CheckpointError, ConfigError
from bertune.models.bert import BertConfig
from bertune.models.registry import read_config
from bertune.system.json_file import read_json_object


def test_the_defaults_are_bert_base_uncased() -> None:
    config = BertConfig()
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (30522, 768, 12)
    assert (config.num_attention_heads, config.intermediate_size, config.hidden_act) == (12, 3072, "gelu")


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=99, hidden_size=20, num_attention_heads=5, hidden_act="relu")
    (tmp_path / "bert_config.json").write_text(json.dumps(config.to_dict()))
    assert BertConfig.from_json_file(tmp_path / "bert_config.json") == config
    assert BertConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "activation"),
    [
        ({}, "gelu_tanh"),
        ({"hidden_act": "gelu"}, "gelu_tanh"),
        ({"hidden_act": "relu"}, "relu"),
        ({"hidden_act": "gelu", "layer_norm_eps": 1e-12}, "gelu_tanh"),
        ({"hidden_act": "gelu", "model_type": "bert"}, "gelu"),
        ({"architectures": ["BertModel"], "layer_norm_eps": 1e-12}, "gelu"),
        ({"hidden_act": "gelu", "transformers_version": "2.3.0"}, "gelu"),
    ],
)
def test_gelu_in_a_file_of_google_is_the_tanh_approximation(
    values: dict[str, str], activation: str, tmp_path: Path
) -> None:
    (tmp_path / "bert_config.json").write_text(json.dumps(values))
    assert BertConfig.from_json_file(tmp_path / "bert_config.json").hidden_act == activation


def test_a_config_json_of_the_first_transformers_is_not_taken_for_one_of_google(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_act": "gelu", "layer_norm_eps": 1e-12}))
    assert BertConfig.from_json_file(tmp_path / "config.json").hidden_act == "gelu"


def test_keys_that_concern_no_size_are_left_aside() -> None:
    config = BertConfig.from_dict(
        {
            "model_type": "bert",
            "id2label": {"0": "a"},
            "transformers_version": "5",
            "hidden_size": 24,
            "is_decoder": None,
        }
    )
    assert config.hidden_size == 24


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "roberta"),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
    ],
)
def test_another_architecture_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{key} = {value!r}"):
        BertConfig.from_dict({key: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", 0),
        ("hidden_size", -8),
        ("hidden_size", 12.0),
        ("hidden_size", "768"),
        ("hidden_size", True),
        ("hidden_size", 770),
        ("hidden_size", 10**4000),
        ("num_hidden_layers", 0),
        ("num_attention_heads", 0),
        ("intermediate_size", 0),
        ("max_position_embeddings", 1),
        ("type_vocab_size", 0),
        ("hidden_dropout_prob", 1.0),
        ("hidden_dropout_prob", -0.1),
        ("hidden_dropout_prob", float("nan")),
        ("attention_probs_dropout_prob", "0.1"),
        ("layer_norm_eps", 0),
        ("layer_norm_eps", float("nan")),
        ("layer_norm_eps", float("inf")),
        ("initializer_range", -1.0),
        ("initializer_range", 10**400),
        ("pad_token_id", -1),
        ("pad_token_id", 30522),
        ("hidden_act", "swish"),
        ("hidden_act", ["gelu"]),
        ("hidden_act", 3),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_size_that_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        BertConfig.from_dict({name: value})
    assert len(caught.value.message) < 200
    assert "\n" not in caught.value.message


def test_sizes_beyond_any_bert_are_refused_before_memory_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"an encoder of .* weights"):
        BertConfig(hidden_size=12_000_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"layer_norm_eps": NaN}',
        b'{"layer_norm_eps": Infinity}',
        b'{"vocab_size": ' + b"9" * 10_000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"<!DOCTYPE html><html></html>",
        b" " * 20_000_000,
    ],
    ids=lambda content: str(content[:14]),
)
def test_what_is_not_one_json_object_is_refused_with_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        BertConfig.from_json_file(path)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_json_object(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="not a file"):
        read_json_object(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a file"):
        read_json_object(tmp_path / "pipe")


def test_an_error_of_a_configuration_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in ('{"model_type": "bert", "hidden_size": "x"}', '{"model_type": "os.system"}'):
        path.write_text(content)
        with pytest.raises(ConfigError) as raised:
            read_config(path)
        assert raised.value.message.startswith(f"{path}: ")
