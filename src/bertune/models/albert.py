"""ALBERT: BERT with one layer, computed many times, and narrower embeddings.

Its layers share their weights: the encoder has one, with as many parameters, optimizer moments and tensors in a file.
As in google-research/albert, dropout also follows on the feed-forward part; in the released models it is 0.

Source: Lan et al., 2019 (https://arxiv.org/abs/1909.11942).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from bertune.models import parts
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable

if TYPE_CHECKING:
    from bertune.nn.embeddings import Embeddings

_GROUP: Final = "encoder.albert_layer_groups.{layer}.albert_layers.0"


@dataclass(frozen=True)
class AlbertConfig(EncoderConfig):
    """The sizes of an ALBERT encoder; what a file lacks is what transformers takes: albert-xxlarge-v2.

    Args:
        num_hidden_layers: how often the one layer is computed.
        type_vocab_size: rows of the token type table.
        embedding_size: width of the embeddings, of which a dense layer makes hidden states.
        classifier_dropout_prob: before the last dense layer of a classifier.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("albert", "bertune_mean_pooling_albert"),
        "position_embedding_type": ("absolute",),
        # Several groups would be layers with weights of their own, several inner layers a group of more than one.
        "num_hidden_groups": (1,),
        "inner_group_num": (1,),
        # Of research that was not released; the published files have these values.
        "down_scale_factor": (1,),
        "gap_size": (0,),
        "net_structure_type": (0,),
        "num_memory_blocks": (0,),
    }
    instead: ClassVar = "take one of the released models, for instance albert-base-v2, whose layers share one group"
    least: ClassVar = {"type_vocab_size": 1, "embedding_size": 1}

    vocab_size: int = 30000
    hidden_size: int = 4096
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    embedding_size: int = 128
    classifier_dropout_prob: float = 0.1

    @property
    def num_stored_layers(self) -> int:
        """Layers with weights of their own: one."""
        return 1

    @property
    def head_dropout(self) -> float:
        """Dropout before the last dense layer of a classifier, unless it is given one."""
        return self.classifier_dropout_prob


def _embeddings(config: AlbertConfig) -> "Embeddings":
    from bertune.nn.dense import Dense

    embeddings = parts.embeddings(config)
    if embeddings.projection is None:  # there also where both are as wide
        embeddings.projection = Dense(config.embedding_size, config.hidden_size)
    return embeddings


ALBERT: Final = Family(
    name="ALBERT",
    model_types=("albert",),
    mean_pooling_type="bertune_mean_pooling_albert",
    config=AlbertConfig,
    embeddings=_embeddings,
    layer=parts.post_norm_layer,
    pooler=parts.pooler,
    names=NameTable(
        {
            "embeddings.token.weight": ("embeddings.word_embeddings.weight",),
            "embeddings.position.weight": ("embeddings.position_embeddings.weight",),
            "embeddings.token_type.weight": ("embeddings.token_type_embeddings.weight",),
            "embeddings.norm.{kind}": ("embeddings.LayerNorm.{kind}",),
            "embeddings.projection.{kind}": ("encoder.embedding_hidden_mapping_in.{kind}",),
            "layers.{layer}.attention.qkv.{kind}": (
                f"{_GROUP}.attention.query.{{kind}}",
                f"{_GROUP}.attention.key.{{kind}}",
                f"{_GROUP}.attention.value.{{kind}}",
            ),
            "layers.{layer}.attention.output.{kind}": (f"{_GROUP}.attention.dense.{{kind}}",),
            "layers.{layer}.attention_norm.{kind}": (f"{_GROUP}.attention.LayerNorm.{{kind}}",),
            "layers.{layer}.feed_forward.intermediate.{kind}": (f"{_GROUP}.ffn.{{kind}}",),
            "layers.{layer}.feed_forward.output.{kind}": (f"{_GROUP}.ffn_output.{{kind}}",),
            "layers.{layer}.output_norm.{kind}": (f"{_GROUP}.full_layer_layer_norm.{{kind}}",),
            "pooler.dense.{kind}": ("pooler.{kind}",),
        }
    ),
    prefix="albert.",
    head_names=NameTable({"classifier.weight": ("classifier.weight",), "classifier.bias": ("classifier.bias",)}),
    architecture="AlbertForSequenceClassification",
    fixed_keys={"position_embedding_type": "absolute", "num_hidden_groups": 1, "inner_group_num": 1},
    unused=(
        (r"(albert\.)?embeddings\.(position_ids|token_type_ids)", "a buffer of transformers, not a parameter"),
        (r"(predictions|sop_classifier)\..*", "pre-training head"),
        (r"classifier\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
)
