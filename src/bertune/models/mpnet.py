"""MPNet: BERT's layers, whose attention also minds how far two tokens lie apart.

Positions begin behind the padding token's id, there are no token types, and the head has a dense layer of its own, as
in RoBERTa. One table of relative positions, of the encoder, adds to the scores of every layer.

Source: Song et al., 2020 (https://arxiv.org/abs/2004.09297).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from bertune.models import parts
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable
from bertune.models.roberta import ROBERTA

if TYPE_CHECKING:
    from bertune.nn.relative_bias import RelativeBias

_BUCKETS: Final = 32


@dataclass(frozen=True)
class MpnetConfig(EncoderConfig):
    """The sizes of an MPNet encoder; what a file lacks is what transformers takes.

    Args:
        max_position_embeddings: rows of the position table: two more than a sequence may have tokens.
        type_vocab_size: 0: there are no token types.
        pad_token_id: id of the padding token, 1; positions begin behind it.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("mpnet", "bertune_mean_pooling_mpnet"),
        # Whatever the file says, transformers computes these.
        "pad_token_id": (1,),
        "relative_attention_num_buckets": (_BUCKETS,),
        "type_vocab_size": (0,),
    }
    least: ClassVar = {"max_position_embeddings": 4}

    vocab_size: int = 30527
    type_vocab_size: int = 0
    pad_token_id: int = 1

    @property
    def max_positions(self) -> int:
        """Tokens that a sequence may have."""
        return self.max_position_embeddings - self.pad_token_id - 1


def _relative(config: MpnetConfig) -> "RelativeBias":
    from bertune.nn.relative_bias import RelativeBias

    return RelativeBias(_BUCKETS, config.num_attention_heads)


MPNET: Final = Family(
    name="MPNet",
    model_types=("mpnet",),
    mean_pooling_type="bertune_mean_pooling_mpnet",
    config=MpnetConfig,
    embeddings=parts.embeddings,
    layer=parts.post_norm_layer,
    relative=_relative,
    pooler=lambda config: parts.pooler(config, dropout=config.hidden_dropout_prob),
    names=NameTable(
        {
            "embeddings.token.weight": ("embeddings.word_embeddings.weight",),
            "embeddings.position.weight": ("embeddings.position_embeddings.weight",),
            "embeddings.norm.{kind}": ("embeddings.LayerNorm.{kind}",),
            "relative.table.weight": ("encoder.relative_attention_bias.weight",),
            "layers.{layer}.attention.qkv.{kind}": (
                "encoder.layer.{layer}.attention.attn.q.{kind}",
                "encoder.layer.{layer}.attention.attn.k.{kind}",
                "encoder.layer.{layer}.attention.attn.v.{kind}",
            ),
            "layers.{layer}.attention.output.{kind}": ("encoder.layer.{layer}.attention.attn.o.{kind}",),
            "layers.{layer}.attention_norm.{kind}": ("encoder.layer.{layer}.attention.LayerNorm.{kind}",),
            "layers.{layer}.feed_forward.intermediate.{kind}": ("encoder.layer.{layer}.intermediate.dense.{kind}",),
            "layers.{layer}.feed_forward.output.{kind}": ("encoder.layer.{layer}.output.dense.{kind}",),
            "layers.{layer}.output_norm.{kind}": ("encoder.layer.{layer}.output.LayerNorm.{kind}",),
        }
    ),
    prefix="mpnet.",
    head_names=ROBERTA.head_names,
    architecture="MPNetForSequenceClassification",
    fixed_keys={"relative_attention_num_buckets": _BUCKETS},
    unused=(
        (r"(mpnet\.)?embeddings\.position_ids", "a buffer of transformers, not a parameter"),
        (r"(mpnet\.)?pooler\.dense\.\w+", "a pooler that this family's classifiers do not have"),
        (r"lm_head\..*", "pre-training head"),
        (r"classifier\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
)
