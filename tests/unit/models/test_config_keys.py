"""Which keys of config.json a family reads, leaves aside and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.unit.models.toy_family import ToyConfig
from torch import nn
from transformers.activations import ACT2FN

from bertune.errors import ConfigError
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.interface import ACTIVATION_CODES
from bertune.models.bert import BertConfig
from bertune.models.distilbert import DistilBertConfig
from bertune.models.electra import ElectraConfig
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import ACTIVATION_NAMES, EncoderConfig
from bertune.models.registry import FAMILIES, read_config
from bertune.models.roberta import RobertaConfig
from bertune.nn.feed_forward import ACTIVATIONS

# As config.json of these models has them, written by transformers of many versions.
ROBERTA_BASE: dict[str, Any] = {
    "architectures": ["RobertaForMaskedLM"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "model_type": "roberta",
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 50265,
    "gradient_checkpointing": False,
    "finetuning_task": "sst2",
    "output_past": True,
    "torch_dtype": "float32",
    "transformers_version": "4.37.2",
    "use_cache": True,
    "classifier_dropout": None,
    "problem_type": "single_label_classification",
    "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0"},
}
DISTILBERT_BASE: dict[str, Any] = {
    "activation": "gelu",
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
}
ELECTRA_SMALL: dict[str, Any] = {
    "embedding_size": 128,
    "model_type": "electra",
    "summary_activation": "gelu",
    "summary_last_dropout": 0.1,
    "summary_type": "first",
    "summary_use_proj": True,
    "pruned_heads": {},
}
# What a file must say, since transformers' own defaults are of no released model.
SAID: dict[str, dict[str, Any]] = {"deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}}
STRICT = [family.config for family in FAMILIES if family.config is not BertConfig]


@pytest.mark.parametrize(
    ("config", "values"),
    [(RobertaConfig, ROBERTA_BASE), (DistilBertConfig, DISTILBERT_BASE), (ElectraConfig, ELECTRA_SMALL)],
)
def test_published_configurations_are_read(
    config: type[RobertaConfig | DistilBertConfig | ElectraConfig], values: dict[str, Any]
) -> None:
    assert config.from_dict(values) == config()


@pytest.mark.parametrize("config", STRICT, ids=lambda config: config.__name__)
@pytest.mark.parametrize("use_diff", [True, False])
def test_every_key_that_transformers_writes_is_known(
    config: type[EncoderConfig], use_diff: bool, tmp_path: Path
) -> None:
    model_type = config.accepted["model_type"][0]
    more = {"output_attentions": True, "torchscript": True, "num_labels": 5, **SAID.get(str(model_type), {})}
    theirs = transformers.AutoConfig.for_model(model_type, **more)
    (tmp_path / "config.json").write_text(theirs.to_json_string(use_diff=use_diff))
    assert type(read_config(tmp_path / "config.json")) is config


@pytest.mark.parametrize("config", STRICT, ids=lambda config: config.__name__)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantization_config", {"load_in_8bit": True}),
        ("adapters", {"adapters": {"a": "b"}}),
        ("pruned_heads", {"0": [1]}),
        ("rope_theta", 10000.0),
        ("per_layer_config", {"0": {"hidden_act": "relu"}}),
        ("is_encoder_decoder", True),
        ("is_decoder", True),
    ],
)
def test_a_key_that_may_change_what_is_computed_is_refused_by_name(
    config: type[EncoderConfig], key: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=key):
        config.from_dict({**SAID.get(str(config.accepted["model_type"][0]), {}), key: value})


def test_a_key_of_any_new_family_is_refused_unless_it_is_known() -> None:
    with pytest.raises(ConfigError, match="'wheels' = 4, a key that is not known") as caught:
        ToyConfig.from_dict({"wheels": 4})
    assert caught.value.hint is not None
    assert "config.json" in caught.value.hint


def test_keys_without_a_value_set_nothing() -> None:
    assert RobertaConfig.from_dict({"wheels": None, "adapters": {}, "layers_off": []}) == RobertaConfig()


def test_bert_leaves_other_keys_aside() -> None:
    assert BertConfig.from_dict({"wheels": 4, "directionality": "bidi"}) == BertConfig()


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_code_beside_the_weights_is_ignored(model_type: str, tmp_path: Path) -> None:
    code = "modeling_mine.MyModel"
    (tmp_path / "modeling_mine.py").write_text("raise SystemExit('it was run')\n")
    values = {"model_type": model_type, "auto_map": {"AutoModel": code}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert read_config(tmp_path / "config.json").file_values()["hidden_act"] == "gelu"
    (tmp_path / "config.json").write_text(json.dumps({**values, "model_type": "mine"}))
    with pytest.raises(ConfigError, match="model_type = 'mine'"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("name", [name for name in ACTIVATION_NAMES if name != "gelu_tanh"])
def test_each_activation_is_that_of_transformers_by_its_name(name: str) -> None:
    values = torch.linspace(-9, 9, 2001)
    theirs: nn.Module = ACT2FN[name]
    assert float((ACTIVATIONS[name](values) - theirs(values)).abs().max()) < 1e-6


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_kernels_compute_an_activation_or_refuse_it(name: str) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    encoder = Encoder(**sizes, vocab_size=9, hidden_act=name)
    if name in ACTIVATION_CODES:
        assert KernelPass(encoder, torch.float32)
    else:
        with pytest.raises(NoKernelsError, match=f"hidden_act {name} has no kernel"):
            KernelPass(encoder, torch.float32)


def test_bert_with_one_token_type_is_read() -> None:
    config = BertConfig.from_dict({"type_vocab_size": 1, "vocab_size": 9})
    assert Encoder.from_config(config).embeddings.token_type is not None
