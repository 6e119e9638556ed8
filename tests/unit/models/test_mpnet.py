"""MPNet: one table of relative positions for all layers."""

from collections.abc import Callable

import pytest
import torch
from tests.unit.kernels.encoder_worlds import batch_of
from torch import Tensor
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from bertune.errors import ConfigError
from bertune.models.classifier import classifier_model
from bertune.models.encoder import Encoder
from bertune.models.mpnet import MpnetConfig
from bertune.nn.relative_bias import RelativeBias
from bertune.training.layer_settings import draw_top_layers, rate_scale_by_depth

SIZES = MpnetConfig(
    vocab_size=2000,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=514,
)


def encoder_with_a_strong_bias() -> Encoder:
    torch.manual_seed(3)
    encoder = Encoder.from_config(SIZES).eval()
    assert encoder.relative is not None
    torch.nn.init.normal_(encoder.relative.table.weight, std=2.0)
    return encoder


@pytest.mark.parametrize("length", [1, 2, 9, 130, 512])
def test_distances_fall_into_the_buckets_of_transformers(length: int) -> None:
    positions = torch.arange(length)
    theirs: Callable[..., Tensor] = MPNetEncoder.relative_position_bucket
    expected = theirs(positions[None, :] - positions[:, None])
    assert torch.equal(RelativeBias(32, 2).buckets(length), expected)


def test_what_the_first_tokens_see_is_the_same_alone() -> None:
    encoder = encoder_with_a_strong_bias()
    batch = batch_of([5, 200, 1, 31, 9])
    with torch.no_grad():
        every = encoder.encode(batch)
        first = encoder.encode(batch, first_only=True)
    assert float((every[batch.layout.first_tokens] - first).abs().max()) < 1e-6


def test_the_bias_changes_what_is_computed_but_not_beside_whom() -> None:
    encoder = encoder_with_a_strong_bias()
    together, alone = batch_of([40, 7]), batch_of([40])
    alone.token_ids.copy_(together.token_ids[:40])
    with torch.no_grad():
        found = encoder.encode(together)[:40]
        assert float((found - encoder.encode(alone)).abs().max()) < 1e-5
        assert encoder.relative is not None
        encoder.relative.table.weight.zero_()
        assert float((found - encoder.encode(together)[:40]).abs().max()) > 1e-3


def test_bfloat16_is_near_float32() -> None:
    encoder = encoder_with_a_strong_bias()
    batch = batch_of([40, 7])
    with torch.no_grad():
        exact = encoder.encode(batch)
        encoder.compute_dtype = torch.bfloat16
        assert float((encoder.encode(batch) - exact).abs().max()) < 0.1


def test_the_table_is_the_encoders_alone_and_as_deep_as_the_embeddings() -> None:
    classifier, encoder = classifier_model(SIZES, 2, seed=1)
    names = [name for name, _ in classifier.named_parameters(remove_duplicate=False) if "relative" in name]
    assert names == ["encoder.relative.table.weight"]
    assert encoder.depth_of("relative.table.weight") == 0
    assert rate_scale_by_depth(classifier, 0.5)("encoder.relative.table.weight") == 0.125
    assert encoder.relative is not None
    before = encoder.relative.table.weight.clone()
    draw_top_layers(classifier, 3, seed=9)
    assert torch.equal(encoder.relative.table.weight, before)


@pytest.mark.parametrize(
    ("key", "value"), [("relative_attention_num_buckets", 64), ("pad_token_id", 0), ("type_vocab_size", 2)]
)
def test_what_transformers_would_compute_otherwise_is_refused(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{key} = {value}"):
        MpnetConfig.from_dict({key: value})


def test_the_configuration_of_all_mpnet_base_v2_is_read() -> None:
    config = MpnetConfig.from_dict(
        {
            "_name_or_path": "microsoft/mpnet-base",
            "architectures": ["MPNetForMaskedLM"],
            "bos_token_id": 0,
            "eos_token_id": 2,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 514,
            "model_type": "mpnet",
            "pad_token_id": 1,
            "relative_attention_num_buckets": 32,
            "transformers_version": "4.8.2",
            "vocab_size": 30527,
        }
    )
    assert (config.max_positions, config.layer_norm_eps) == (512, 1e-5)
