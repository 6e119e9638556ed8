"""DistilBERT: BERT's layers, half as many, without token types and without a pooler.

Source: Sanh et al., 2019 (https://arxiv.org/abs/1910.01108).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from bertune.models import parts
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable


@dataclass(frozen=True)
class DistilBertConfig(EncoderConfig):
    """The sizes of a DistilBERT encoder; defaults are those of distilbert-base-uncased.

    Args:
        hidden_size: width of each token's hidden state, `dim` in the file.
        num_hidden_layers: layers, `n_layers` in the file.
        num_attention_heads: into which the width is divided, `n_heads` in the file.
        intermediate_size: width inside the feed-forward part of a layer, `hidden_dim` in the file.
        hidden_act: one of `ACTIVATION_NAMES`, `activation` in the file.
        hidden_dropout_prob: behind embeddings and feed-forward, `dropout` in the file.
        attention_probs_dropout_prob: of the probabilities in attention, `attention_dropout` in the file.
        type_vocab_size: 0: there are no token types.
        layer_norm_eps: in the denominator of norms; no file has another than the default.
        seq_classif_dropout: before the last dense layer of a classifier.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {"model_type": ("distilbert", "bertune_mean_pooling_distilbert")}
    file_keys: ClassVar = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    }
    # How positions were drawn before training does not matter to the table in the file.
    harmless: ClassVar = frozenset(("qa_dropout", "sinusoidal_pos_embds", "tie_weights_"))

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    seq_classif_dropout: float = 0.2

    @property
    def head_dropout(self) -> float:
        """Dropout before the last dense layer of a classifier, unless it is given one."""
        return self.seq_classif_dropout


DISTILBERT: Final = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    mean_pooling_type="bertune_mean_pooling_distilbert",
    config=DistilBertConfig,
    embeddings=parts.embeddings,
    layer=parts.post_norm_layer,
    pooler=lambda config: parts.pooler(config, "relu"),
    names=NameTable(
        {
            "embeddings.token.weight": ("embeddings.word_embeddings.weight",),
            "embeddings.position.weight": ("embeddings.position_embeddings.weight",),
            "embeddings.norm.{kind}": ("embeddings.LayerNorm.{kind}",),
            "layers.{layer}.attention.qkv.{kind}": (
                "transformer.layer.{layer}.attention.q_lin.{kind}",
                "transformer.layer.{layer}.attention.k_lin.{kind}",
                "transformer.layer.{layer}.attention.v_lin.{kind}",
            ),
            "layers.{layer}.attention.output.{kind}": ("transformer.layer.{layer}.attention.out_lin.{kind}",),
            "layers.{layer}.attention_norm.{kind}": ("transformer.layer.{layer}.sa_layer_norm.{kind}",),
            "layers.{layer}.feed_forward.intermediate.{kind}": ("transformer.layer.{layer}.ffn.lin1.{kind}",),
            "layers.{layer}.feed_forward.output.{kind}": ("transformer.layer.{layer}.ffn.lin2.{kind}",),
            "layers.{layer}.output_norm.{kind}": ("transformer.layer.{layer}.output_layer_norm.{kind}",),
        }
    ),
    prefix="distilbert.",
    head_names=NameTable(
        {
            "encoder.pooler.dense.weight": ("pre_classifier.weight",),
            "encoder.pooler.dense.bias": ("pre_classifier.bias",),
            "classifier.weight": ("classifier.weight",),
            "classifier.bias": ("classifier.bias",),
        }
    ),
    architecture="DistilBertForSequenceClassification",
    fixed_keys={},
    unused=(
        (r"vocab_(transform|layer_norm|projector)\..*", "pre-training head"),
        (r"(pre_)?classifier\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
)
