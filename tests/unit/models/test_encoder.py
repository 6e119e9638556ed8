import numpy as np
import pytest
import torch

from bertune.batches.batch import Batch
from bertune.batches.layout import Layout
from bertune.errors import ConfigError, DataError
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.nn.attention import SelfAttention

SIZES = BertConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=16,
)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder.from_config(SIZES).eval()


def batch_of(lengths: list[int], token: int = 7, token_type: int = 0) -> Batch:
    total = sum(lengths)
    return Batch(
        torch.full((total,), token),
        torch.full((total,), token_type),
        torch.cat([torch.arange(length) for length in lengths]),
        Layout(np.array(lengths)),
    )


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (batch_of([3], token=50), r"token id 50 is outside 0\.\.49"),
        (batch_of([3], token=-1), r"token id -1 is outside"),
        (batch_of([3], token_type=2), r"token type id 2 is outside 0\.\.1"),
        (batch_of([3, 17]), r"position 16 is outside 0\.\.15"),
    ],
)
def test_an_id_beyond_its_table_is_refused_with_the_limit(encoder: Encoder, batch: Batch, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        encoder(batch)
    assert caught.value.hint


def test_an_encoder_without_pooler_has_no_pooled_output() -> None:
    output = Encoder.from_config(SIZES, pooler=False)(batch_of([2, 3]))
    assert output.pooled is None
    assert output.last_hidden_state.shape == (5, 32)


def test_pooled_is_of_the_first_token_of_each_sequence(encoder: Encoder) -> None:
    output = encoder(batch_of([2, 3]))
    assert encoder.pooler is not None
    assert output.pooled is not None
    torch.testing.assert_close(output.pooled, torch.tanh(encoder.pooler.dense(output.last_hidden_state[[0, 2]])))


def test_bf16_layers_give_fp32_outputs_near_those_of_fp32(encoder: Encoder) -> None:
    batch = batch_of([2, 9, 5])
    exact = encoder(batch).last_hidden_state
    encoder.compute_dtype = torch.bfloat16
    rough = encoder(batch).last_hidden_state
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).detach().abs().max()) < 0.1
    rough.square().mean().backward()
    assert all(parameter.grad is None or parameter.grad.dtype == torch.float32 for parameter in encoder.parameters())


def test_training_draws_dropout_in_three_places_and_evaluation_none(encoder: Encoder) -> None:
    batch = batch_of([4, 6])
    assert torch.equal(encoder(batch).last_hidden_state, encoder(batch).last_hidden_state)
    encoder.train()
    torch.manual_seed(1)
    first = encoder(batch).last_hidden_state
    assert not torch.equal(first, encoder(batch).last_hidden_state)
    torch.manual_seed(1)
    assert torch.equal(first, encoder(batch).last_hidden_state)


def test_attention_with_dropout_0_while_training_equals_evaluation() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(32, 4, dropout=0.3)
    layout = Layout(np.array([3, 7, 7, 1]))
    hidden = torch.randn(18, 32)
    expected = attention.eval()(hidden, layout)
    attention.train()
    # The path with dropout, with a probability that rounds to no dropped level.
    attention.dropout.probability = 1e-9
    torch.testing.assert_close(attention(hidden, layout), expected, rtol=0, atol=1e-6)


def test_a_sequence_never_gets_a_gradient_from_its_neighbour(encoder: Encoder) -> None:
    attention = encoder.layers[0].attention
    hidden = torch.randn(12, 32, requires_grad=True)
    attention(hidden, Layout(np.array([3, 8, 1])))[3:11].sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad.abs().sum(1) > 0, torch.tensor([False] * 3 + [True] * 8 + [False]))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="multiple of num_heads"):
        SelfAttention(10, 3, dropout=0.1)


@pytest.mark.parametrize(
    ("layers", "width", "heads", "parameters"),
    [(2, 128, 2, 4_385_920), (4, 256, 4, 11_170_560), (6, 384, 12, 22_713_216)],
)
def test_published_sizes_have_the_published_number_of_parameters(
    layers: int, width: int, heads: int, parameters: int
) -> None:
    config = BertConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * width
    )
    with torch.device("meta"):
        encoder = Encoder.from_config(config)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


def test_depth_counts_from_the_embeddings_to_what_stands_above_the_layers(encoder: Encoder) -> None:
    depths = {name: encoder.depth_of(name) for name, _ in encoder.named_parameters()}
    assert {depth for name, depth in depths.items() if name.startswith("embeddings.")} == {0}
    assert {depth for name, depth in depths.items() if name.startswith("layers.0.")} == {1}
    assert {depth for name, depth in depths.items() if name.startswith("layers.1.")} == {2}
    assert {depth for name, depth in depths.items() if name.startswith("pooler.")} == {2}
    assert encoder.depth_of("layers.10.output_norm.bias") == 11
