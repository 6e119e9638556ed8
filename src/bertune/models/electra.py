"""ELECTRA's discriminators: BERT's body, narrower embeddings in the small ones, and a head of its own.

Source: Clark et al., 2020 (https://arxiv.org/abs/2003.10555).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from bertune.models import parts
from bertune.models.bert import BERT_NAMES
from bertune.models.config_keys import ENCODER_ONLY
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable
from bertune.models.roberta import ROBERTA


@dataclass(frozen=True)
class ElectraConfig(EncoderConfig):
    """The sizes of an ELECTRA encoder; defaults are those of electra-small-discriminator.

    Args:
        embedding_size: width of the embeddings; a dense layer makes hidden states of narrower ones.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("electra", "bertune_mean_pooling_electra"),
        **ENCODER_ONLY,
    }
    least: ClassVar = {"type_vocab_size": 1, "embedding_size": 1}
    harmless: ClassVar = frozenset(
        # Of the head for choices between several texts.
        ("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj")
    )

    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
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
