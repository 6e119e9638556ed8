"""Parts that several families are built of: embeddings with learned positions, and layers that normalize at the end.

torch is imported when a model is built: configurations are read where it is not wanted.
"""

from typing import TYPE_CHECKING

from bertune.models.encoder_config import EncoderConfig

if TYPE_CHECKING:
    from bertune.nn.attention import SelfAttention
    from bertune.nn.disentangled_attention import DisentangledSelfAttention
    from bertune.nn.embeddings import Embeddings
    from bertune.nn.layer import TransformerLayer
    from bertune.nn.pooling import Pooler, PoolerActivation


def embeddings(config: EncoderConfig, *, with_positions: bool = True) -> "Embeddings":
    """Makes embeddings of tokens and, where there are any, positions and types."""
    from bertune.nn.embeddings import Embeddings, Positions
    from bertune.nn.norm import NormOptions

    return Embeddings(
        config.vocab_size,
        config.embedding_size,
        positions=Positions(
            config.max_position_embeddings,
            config.max_position_embeddings - config.max_positions,
            learned=with_positions,
        ),
        num_types=config.type_vocab_size,
        norm=NormOptions(config.layer_norm_eps),
        dropout=config.hidden_dropout_prob,
        output_size=config.hidden_size,
    )


def post_norm_layer(config: EncoderConfig, _index: int) -> "TransformerLayer":
    """Makes a layer of BERT's kind, by its number."""
    from bertune.nn.attention import SelfAttention

    attention = SelfAttention(
        config.hidden_size, config.num_attention_heads, dropout=config.attention_probs_dropout_prob
    )
    return around_attention(attention, config)


def around_attention(
    attention: "SelfAttention | DisentangledSelfAttention", config: EncoderConfig
) -> "TransformerLayer":
    """Makes a layer of BERT's kind around its attention."""
    from bertune.nn.layer import TransformerLayer

    return TransformerLayer(
        attention,
        config.intermediate_size,
        activation=config.hidden_act,
        dropout=config.hidden_dropout_prob,
        norm_eps=config.layer_norm_eps,
    )


def pooler(config: EncoderConfig, activation: "PoolerActivation" = "tanh", *, dropout: float = 0.0) -> "Pooler":
    """Makes the dense layer on the first token, with dropout before it and an activation behind it."""
    from bertune.nn.pooling import Pooler

    return Pooler(config.hidden_size, activation=activation, dropout=dropout)
