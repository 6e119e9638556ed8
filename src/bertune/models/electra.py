"""ELECTRA's discriminators: BERT's body, narrower embeddings in the small ones, and a head of its own.

Source: Clark et al., 2020 (https://arxiv.org/abs/2003.10555).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from bertune.models import parts
from bertune.models.bert import BERT_NAMES
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable
from bertune.models.roberta import ROBERTA


@dataclass(frozen=True)
class ElectraConfig(EncoderConfig):
    """The sizes of an ELECTRA encoder; defaults are those of electra-small-discriminator.

    Args:
        vocab_size: rows of the token table.
        hidden_size: width of each token's hidden state.
        num_hidden_layers: layers.
        num_attention_heads: into which the width is divided.
        intermediate_size: width inside the feed-forward part of a layer.
        hidden_act: one of `ACTIVATION_NAMES`.
        hidden_dropout_prob: behind embeddings, attention and feed-forward.
        attention_probs_dropout_prob: of the probabilities in attention.
        max_position_embeddings: rows of the position table.
        type_vocab_size: rows of the token type table.
        initializer_range: standard deviation of new weights, before the cut at two.
        layer_norm_eps: in the denominator of norms.
        pad_token_id: id of the padding token.
        embedding_size: width of the embeddings; a dense layer makes hidden states of narrower ones.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("electra", "bertune_mean_pooling_electra"),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }
    instead: ClassVar = "take an encoder whose config.json says the family that its weights are of"
    least: ClassVar = {"type_vocab_size": 1, "embedding_size": 1}
    harmless: ClassVar = frozenset(
        # Of the head for choices between several texts.
        ("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj")
    )

    vocab_size: int = 30522
    hidden_size: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    embedding_size: int = 128


ELECTRA: Final = Family(
    name="ELECTRA",
    model_types=("electra",),
    mean_pooling_type="bertune_mean_pooling_electra",
    config=ElectraConfig,
    embeddings=parts.embeddings,
    layer=parts.post_norm_layer,
    pooler=lambda config: parts.pooler(config, "gelu", dropout=config.hidden_dropout_prob),
    names=NameTable(
        {**BERT_NAMES.without("pooler.").rows, "embeddings.projection.{kind}": ("embeddings_project.{kind}",)}
    ),
    prefix="electra.",
    head_names=ROBERTA.head_names,
    architecture="ElectraForSequenceClassification",
    fixed_keys={"position_embedding_type": "absolute"},
    unused=(
        (r"(electra\.)?embeddings\.(position_ids|token_type_ids)", "a buffer of transformers, not a parameter"),
        (r"(discriminator|generator)_(predictions|lm_head)\..*", "pre-training head"),
        (r"classifier\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
)
