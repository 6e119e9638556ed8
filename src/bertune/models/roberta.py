"""RoBERTa, and what shares its body: XLM-RoBERTa and CamemBERT.

The body is BERT's. Positions begin behind the padding token's id, there is one token type, and the head has a dense
layer of its own in the place of BERT's pooler.

Sources: Liu et al., 2019 (https://arxiv.org/abs/1907.11692); Conneau et al., 2020 (https://arxiv.org/abs/1911.02116);
Martin et al., 2020 (https://arxiv.org/abs/1911.03894).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from bertune.models import parts
from bertune.models.bert import BERT_NAMES
from bertune.models.config_keys import ENCODER_ONLY
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import ConfigT, Family
from bertune.models.names import NameTable


@dataclass(frozen=True)
class RobertaConfig(EncoderConfig):
    """The sizes of a RoBERTa encoder; defaults are those of roberta-base.

    Args:
        max_position_embeddings: rows of the position table: two more than a sequence may have tokens.
        type_vocab_size: rows of the token type table.
        pad_token_id: id of the padding token; positions begin behind it.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("roberta", "bertune_mean_pooling_roberta"),
        **ENCODER_ONLY,
    }
    least: ClassVar = {"type_vocab_size": 1, "max_position_embeddings": 4}

    vocab_size: int = 50265
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    @property
    def max_positions(self) -> int:
        """Tokens that a sequence may have."""
        return self.max_position_embeddings - self.pad_token_id - 1


@dataclass(frozen=True)
class XlmRobertaConfig(RobertaConfig):
    """The sizes of an XLM-RoBERTa encoder; defaults are those of xlm-roberta-base."""

    accepted: ClassVar = {
        **RobertaConfig.accepted,
        "model_type": ("xlm-roberta", "bertune_mean_pooling_xlm_roberta"),
    }
    vocab_size: int = 250002


@dataclass(frozen=True)
class CamembertConfig(RobertaConfig):
    """The sizes of a CamemBERT encoder; defaults are those of camembert-base."""

    accepted: ClassVar = {
        **RobertaConfig.accepted,
        "model_type": ("camembert", "bertune_mean_pooling_camembert"),
    }
    vocab_size: int = 32005


def _family(name: str, config: type[ConfigT], architecture: str) -> Family[ConfigT]:
    model_type, mean_pooling_type = config.accepted["model_type"]
    return Family(
        name=name,
        model_types=(str(model_type),),
        mean_pooling_type=str(mean_pooling_type),
        config=config,
        embeddings=parts.embeddings,
        layer=parts.post_norm_layer,
        pooler=lambda config: parts.pooler(config, dropout=config.hidden_dropout_prob),
        names=BERT_NAMES.without("pooler."),
        prefix="roberta.",
        head_names=NameTable(
            {
                "encoder.pooler.dense.weight": ("classifier.dense.weight",),
                "encoder.pooler.dense.bias": ("classifier.dense.bias",),
                "classifier.weight": ("classifier.out_proj.weight",),
                "classifier.bias": ("classifier.out_proj.bias",),
            }
        ),
        architecture=architecture,
        fixed_keys={"position_embedding_type": "absolute"},
        unused=(
            (r"(roberta\.)?embeddings\.(position_ids|token_type_ids)", "a buffer of transformers, not a parameter"),
            (r"(roberta\.)?pooler\.dense\.\w+", "a pooler that this family's classifiers do not have"),
            (r"lm_head\..*", "pre-training head"),
            (r"classifier\..*", "head of an earlier task"),
            (r"qa_outputs\..*", "head of an earlier task"),
        ),
    )


ROBERTA: Final = _family("RoBERTa", RobertaConfig, "RobertaForSequenceClassification")
XLM_ROBERTA: Final = _family("XLM-RoBERTa", XlmRobertaConfig, "XLMRobertaForSequenceClassification")
CAMEMBERT: Final = _family("CamemBERT", CamembertConfig, "CamembertForSequenceClassification")
