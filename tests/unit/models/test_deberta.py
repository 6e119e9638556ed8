"""Configurations of DeBERTa: those of released files, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertune.checkpoints.restore import restore
from bertune.errors import ConfigError
from bertune.models.deberta import DebertaV2Config
from bertune.models.encoder import Encoder
from bertune.models.registry import read_config
from bertune.plots.outline import outline_of

# microsoft/deberta-v3-small, as released.
SMALL: dict[str, Any] = {
    "model_type": "deberta-v2",
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "layer_norm_eps": 1e-7,
    "max_relative_positions": -1,
    "position_biased_input": False,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "type_vocab_size": 0,
    "vocab_size": 128100,
}
TINY: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "position_buckets": 8,
}


def test_a_released_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    config = read_config(tmp_path / "config.json")
    assert config == DebertaV2Config(num_hidden_layers=6)
    assert DebertaV2Config.from_dict(SMALL | {"pos_att_type": ["p2c", "c2p"]}) == config
    assert DebertaV2Config.from_dict(config.file_values()) == config
    with torch.device("meta"):
        encoder = Encoder.from_config(config, pooler=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 141_304_320


def test_what_a_file_does_not_say_is_as_in_transformers() -> None:
    said = {"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": "C2P", "hidden_size": 768}
    config = DebertaV2Config.from_dict(said)
    assert (config.share_att_key, config.position_buckets, config.norm_rel_ebd) == (False, -1, "none")
    assert config.position_biased_input
    assert config.terms == {"c2p"}
    assert config.longest_distance == 512


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"relative_attention": False}, "relative_attention = False"),
        ({"relative_attention": None}, "relative_attention = False"),
        ({"conv_kernel_size": 3, "conv_act": "gelu"}, "conv_kernel_size = 3: a convolution beside the first layer"),
        ({"conv_kernel_size": "wide"}, "conv_kernel_size = 'wide'"),
        ({"pos_att_type": "p2c|c2p|p2p"}, "pos_att_type must be c2p, p2c or c2p.p2c, not 'p2c.c2p.p2p'"),
        ({"pos_att_type": None}, "pos_att_type must be"),
        ({"pos_att_type": ["c2p", 3]}, "pos_att_type must be a word"),
        ({"norm_rel_ebd": "batch_norm"}, "norm_rel_ebd 'batch_norm' is not known; known: layer_norm, none"),
        ({"norm_rel_ebd": 7}, "norm_rel_ebd must be a word"),
        ({"embedding_size": 128}, "embedding_size = 128; it must be hidden_size, 768"),
        ({"pooler_hidden_size": 128}, "pooler_hidden_size = 128; it must be hidden_size, 768"),
        ({"attention_head_size": 32}, "attention_head_size = 32; 12 of them must be hidden_size, 768"),
        ({"pooler_hidden_act": "swish"}, "pooler_hidden_act 'swish' is not known; known: gelu, tanh, relu"),
        ({"share_att_key": "yes"}, "share_att_key must be true or false, not 'yes'"),
        ({"cls_dropout": 1}, r"cls_dropout must lie in \[0, 1\)"),
        ({"cls_dropout": "much"}, "cls_dropout must be a number"),
        ({"position_buckets": 1 << 20}, "position_buckets must be at most"),
        ({"position_buckets": -1, "max_relative_positions": 1 << 20}, "max_relative_positions must be at most"),
        ({"max_relative_positions": 100}, r"position_buckets \(256\) do not fit 100 distances"),
        ({"position_buckets": 1}, r"position_buckets \(1\) do not fit"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DebertaV2Config.from_dict(SMALL | changed)


def test_sizes_that_agree_are_taken() -> None:
    more = {"attention_head_size": 64, "embedding_size": 768, "pooler_hidden_size": 768, "conv_kernel_size": 0}
    assert DebertaV2Config.from_dict(SMALL | more) == DebertaV2Config.from_dict(SMALL)


def test_the_heads_dropout_is_cls_dropout_where_there_is_one() -> None:
    assert DebertaV2Config(**TINY, hidden_dropout_prob=0.2).head_dropout == 0.2
    assert DebertaV2Config(**TINY, hidden_dropout_prob=0.2, cls_dropout=0.0).head_dropout == 0.0


def test_vectors_of_distances_are_as_deep_as_embeddings() -> None:
    encoder = Encoder(model_type="deberta-v2", pooler=False, **TINY)
    assert encoder.depth_of("relative_positions.table.weight") == 0
    assert encoder.depth_of("relative_positions.norm.bias") == 0
    assert encoder.depth_of("layers.1.attention.qkv.weight") == 2
    assert not any("position." in name for name, _ in encoder.named_parameters())


def test_what_pre_training_alone_has_is_unused(tmp_path: Path) -> None:
    encoder = Encoder(model_type="deberta-v2", pooler=False, **TINY)
    names = encoder.family.names
    stored: dict[str, torch.Tensor] = {}
    for name, parameter in encoder.named_parameters():
        parts = names.stored_names(name)
        chunks = parameter.detach().chunk(len(parts))
        stored |= {f"deberta.{part}": chunk.clone() for part, chunk in zip(parts, chunks, strict=True)}
    of_pre_training = (
        "deberta.embeddings.position_embeddings.weight",
        "lm_predictions.lm_head.dense.weight",
        "lm_predictions.lm_head.bias",
        "mask_predictions.classifier.weight",
        "mask_predictions.LayerNorm.bias",
    )
    # As released: fp16.
    halves = {name: tensor.half() for name, tensor in stored.items()}
    save_file(halves | {name: torch.zeros(64, 16).half() for name in of_pre_training}, tmp_path / "model.safetensors")
    again = Encoder(model_type="deberta-v2", pooler=False, **TINY)
    receipt = restore(again, tmp_path / "model.safetensors").assert_consumed()
    assert {record.name for record in receipt.having("unused")} == set(of_pre_training)
    key = load_file(tmp_path / "model.safetensors")["deberta.encoder.layer.1.attention.self.key_proj.weight"]
    assert torch.equal(again.layers[1].attention.qkv.weight[16:32], key.float())


def test_all_its_parameters_are_drawn() -> None:
    outline = outline_of(Encoder(model_type="deberta-v2", pooler=False, **TINY))
    assert [block.path for block in outline.tables] == ["embeddings.token"]
    (distances,) = outline.shared
    assert (distances.path, distances.parameters) == ("relative_positions", 16 * 16 + 2 * 16)
    assert not outline.unused
    assert outline.layers[0].blocks[0].name == "Disentangled attention"
