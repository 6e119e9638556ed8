import pytest
import torch
from torch import nn

from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder

# A normal distribution cut at two deviations keeps this share of its deviation.
CUT_DEVIATION = 0.8796


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(vocab_size=500, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256)


def test_weights_are_normal_and_cut_at_two_deviations(encoder: Encoder) -> None:
    weights = [part.weight.detach() for part in encoder.modules() if isinstance(part, nn.Linear | nn.Embedding)]
    # Three embeddings, four products in each of two layers, the pooler.
    assert len(weights) == 12
    for weight in weights:
        assert weight.abs().max() <= 0.04
        spread = 6 * 0.02 / weight.numel() ** 0.5
        assert abs(float(weight.mean())) < spread
        assert abs(float(weight.std()) - 0.02 * CUT_DEVIATION) < spread
    joined = torch.cat([weight.flatten() for weight in weights])
    assert joined.abs().max() > 0.0399, "the cut lies at two deviations, not before"


def test_biases_are_0_and_norms_1(encoder: Encoder) -> None:
    for part in encoder.modules():
        if isinstance(part, nn.LayerNorm):
            assert torch.equal(part.weight, torch.ones_like(part.weight))
        if isinstance(part, nn.LayerNorm | nn.Linear):
            assert torch.equal(part.bias, torch.zeros_like(part.bias))


def test_the_range_of_the_configuration_is_used() -> None:
    config = BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    wide = Encoder(**(config.to_dict() | {"initializer_range": 0.5}))
    assert 0.9 < float(wide.embeddings.token.weight.detach().abs().max()) <= 1


def test_the_seed_decides_the_weights() -> None:
    sizes = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(Encoder.from_config(sizes).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["embeddings.token.weight"], states[2]["embeddings.token.weight"])
