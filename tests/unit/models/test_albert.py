"""ALBERT: one layer, computed many times."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.unit.kernels.encoder_worlds import batch_of

from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.errors import CheckpointError, ConfigError
from bertune.models.albert import AlbertConfig
from bertune.models.classifier import classifier_model
from bertune.models.encoder import Encoder
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.layer_settings import check_reinit_layers, draw_top_layers, rate_scale_by_depth
from bertune.training.loop import optimizer_of
from bertune.training.plan import plan_of

SIZES = AlbertConfig(
    vocab_size=2000,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=64,
    embedding_size=16,
)
LAYER = 4 * 32 * 32 + 4 * 32 + 2 * 32 * 64 + 64 + 32 + 4 * 32


def test_every_parameter_is_there_once() -> None:
    classifier, encoder = classifier_model(SIZES, 2, seed=1)
    assert sum(parameter.numel() for parameter in encoder.layers.parameters()) == LAYER
    assert encoder.layer_parameters == 4 * LAYER
    names = [name for name, _ in classifier.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(parameter) for parameter in classifier.parameters()})
    assert not [name for name in classifier.state_dict() if "layers.1." in name]
    optimizer = optimizer_of(classifier, plan_of(TrainingConfig(), classifier, 10), 10)
    trained = [name for group in optimizer.param_groups for name in group["param_names"]]
    assert sorted(trained) == sorted(names)


def test_the_layer_is_computed_as_often_as_the_configuration_says() -> None:
    batch = batch_of([9, 4])
    encoder = Encoder.from_config(SIZES).eval()
    twice = Encoder.from_config(replace(SIZES, num_hidden_layers=2)).eval()
    twice.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        hidden = twice.encode(batch)
        for layer in twice.layers_in_order:
            hidden = layer(hidden, batch.layout)
        assert torch.allclose(hidden, encoder.encode(batch), atol=1e-6)


def test_all_its_layers_are_one_for_rates_and_for_new_starts() -> None:
    classifier, encoder = classifier_model(SIZES, 2, seed=1)
    scale = rate_scale_by_depth(classifier, 0.5)
    assert scale("encoder.layers.0.attention.qkv.weight") == scale("encoder.pooler.dense.weight") == 1.0
    assert scale("encoder.embeddings.token.weight") == scale("encoder.embeddings.projection.weight") == 0.5
    before = {name: value.clone() for name, value in encoder.named_parameters()}
    draw_top_layers(classifier, 1, seed=9)
    changed = {name.partition(".")[0] for name, value in encoder.named_parameters() if not value.equal(before[name])}
    assert changed == {"layers", "pooler"}
    with pytest.raises(ConfigError, match="exceeds the encoder's one layer: its 4 share their weights"):
        check_reinit_layers(2, SIZES)


def test_the_rate_of_the_recipe_is_that_of_layers_with_weights_of_their_own() -> None:
    sizes = replace(SIZES, hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
    with torch.device("meta"):
        classifier, _ = classifier_model(sizes, 2, seed=1)
    assert plan_of(TrainingConfig(), classifier, 1000).learning_rate == 5e-5


def test_a_folder_has_one_layer_and_gives_every_bit_back(tmp_path: Path) -> None:
    classifier, _ = classifier_model(SIZES, 2, seed=1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(1995))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    signature = ModelSignature(labels=("a", "b"), is_pair=False, max_length=32)
    folder = save(classifier, tmp_path / "model", tokenizer=BertTokenizer(tmp_path / "vocab.txt"), signature=signature)
    stored = load_file(folder / "model.safetensors")
    of_layers = [name for name in stored if "albert_layer_groups" in name]
    assert len(of_layers) == 16
    assert all(name.startswith("albert.encoder.albert_layer_groups.0.albert_layers.0.") for name in of_layers)
    loaded = load(folder).classifier
    assert loaded.encoder.config == SIZES
    assert all(torch.equal(value, classifier.state_dict()[name]) for name, value in loaded.state_dict().items())
    with pytest.raises(CheckpointError, match="embedding_size is 24 there, the weights have 16"):
        fitted_config(replace(SIZES, embedding_size=24), folder)


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num", "num_memory_blocks"])
def test_other_ways_of_sharing_are_refused_by_a_sentence(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = 2; this encoder is") as caught:
        AlbertConfig.from_dict({key: 2})
    assert caught.value.hint is not None
    assert "albert-base-v2" in caught.value.hint


def test_the_configuration_of_albert_base_v2_is_read() -> None:
    values = {
        "architectures": ["AlbertForMaskedLM"],
        "attention_probs_dropout_prob": 0,
        "bos_token_id": 2,
        "classifier_dropout_prob": 0.1,
        "down_scale_factor": 1,
        "embedding_size": 128,
        "eos_token_id": 3,
        "gap_size": 0,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0,
        "hidden_size": 768,
        "inner_group_num": 1,
        "intermediate_size": 3072,
        "model_type": "albert",
        "net_structure_type": 0,
        "num_attention_heads": 12,
        "num_hidden_groups": 1,
        "num_hidden_layers": 12,
        "num_memory_blocks": 0,
    }
    config = AlbertConfig.from_dict(values)
    assert (config.hidden_size, config.head_dropout, config.num_stored_layers) == (768, 0.1, 1)
