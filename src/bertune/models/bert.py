"""BERT.

Source: Devlin et al., 2018 (https://arxiv.org/abs/1810.04805).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from bertune.models import parts
from bertune.models.config_keys import ENCODER_ONLY
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable

_MODEL_TYPES: Final = ("bert",)
_MEAN_POOLING_TYPE: Final = "bertune_mean_pooling"
# Keys that no file of Google's has. Until its version 2.4, transformers wrote no `model_type`.
_KEYS_OF_TRANSFORMERS = frozenset(
    (
        "_name_or_path",
        "architectures",
        "dtype",
        "finetuning_task",
        "id2label",
        "label2id",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "pruned_heads",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "use_bfloat16",
    )
)


@dataclass(frozen=True)
class BertConfig(EncoderConfig):
    """The sizes of a BERT encoder; defaults are those of BERT-base uncased.

    The activation `gelu` is the exact one (erf), as in the paper and in transformers. The Model Garden computes its
    tanh approximation under the same name; here that one is called `gelu_tanh`, see `from_json_file`.

    Raises:
        ConfigError: a size that cannot work.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> config.hidden_size, config.num_hidden_layers
        (32, 2)
    """

    accepted: ClassVar = {
        "model_type": (*_MODEL_TYPES, _MEAN_POOLING_TYPE),
        **ENCODER_ONLY,
    }
    instead: ClassVar = "take an encoder of one of these families, for instance bert-base-uncased or all-MiniLM-L6-v2"
    least: ClassVar = {"type_vocab_size": 1}
    harmless: ClassVar = None

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Reads `bert_config.json` or `config.json`.

        A file without `model_type`, and without any other key that only transformers writes, is Google's:
        google-research/bert and the Model Garden compute the tanh approximation under the name `gelu`, so it becomes
        `gelu_tanh` here.

        Raises:
            CheckpointError: the file is missing or is not a JSON object.
            ConfigError: see `from_dict`.
        """
        return super().from_json_file(path)

    @classmethod
    def from_file(cls, values: Mapping[str, Any], file_name: str) -> Self:
        """See `from_json_file`."""
        keys = {"model_type", *_KEYS_OF_TRANSFORMERS}
        if file_name == "config.json":
            # The exports of bertune have it in a bert_config.json as Google computes it.
            keys.add("layer_norm_eps")
        if not keys & values.keys() and values.get("hidden_act", "gelu") == "gelu":
            values = {**values, "hidden_act": "gelu_tanh"}
        return cls.from_dict(values)


BERT_NAMES: Final = NameTable(
    {
        "embeddings.token.weight": ("embeddings.word_embeddings.weight",),
        "embeddings.position.weight": ("embeddings.position_embeddings.weight",),
        "embeddings.token_type.weight": ("embeddings.token_type_embeddings.weight",),
        "embeddings.norm.{kind}": ("embeddings.LayerNorm.{kind}",),
        "layers.{layer}.attention.qkv.{kind}": (
            "encoder.layer.{layer}.attention.self.query.{kind}",
            "encoder.layer.{layer}.attention.self.key.{kind}",
            "encoder.layer.{layer}.attention.self.value.{kind}",
        ),
        "layers.{layer}.attention.output.{kind}": ("encoder.layer.{layer}.attention.output.dense.{kind}",),
        "layers.{layer}.attention_norm.{kind}": ("encoder.layer.{layer}.attention.output.LayerNorm.{kind}",),
        "layers.{layer}.feed_forward.intermediate.{kind}": ("encoder.layer.{layer}.intermediate.dense.{kind}",),
        "layers.{layer}.feed_forward.output.{kind}": ("encoder.layer.{layer}.output.dense.{kind}",),
        "layers.{layer}.output_norm.{kind}": ("encoder.layer.{layer}.output.LayerNorm.{kind}",),
        "pooler.dense.{kind}": ("pooler.dense.{kind}",),
    }
)

# Those of google-research/bert, without `bert/`; kernels are (inputs, outputs).
TENSORFLOW_NAMES: Final = NameTable(
    {
        "embeddings.token.weight": ("embeddings/word_embeddings",),
        "embeddings.position.weight": ("embeddings/position_embeddings",),
        "embeddings.token_type.weight": ("embeddings/token_type_embeddings",),
        "embeddings.norm.weight": ("embeddings/LayerNorm/gamma",),
        "embeddings.norm.bias": ("embeddings/LayerNorm/beta",),
        "layers.{layer}.attention.qkv.weight": (
            "encoder/layer_{layer}/attention/self/query/kernel",
            "encoder/layer_{layer}/attention/self/key/kernel",
            "encoder/layer_{layer}/attention/self/value/kernel",
        ),
        "layers.{layer}.attention.qkv.bias": (
            "encoder/layer_{layer}/attention/self/query/bias",
            "encoder/layer_{layer}/attention/self/key/bias",
            "encoder/layer_{layer}/attention/self/value/bias",
        ),
        "layers.{layer}.attention.output.weight": ("encoder/layer_{layer}/attention/output/dense/kernel",),
        "layers.{layer}.attention.output.bias": ("encoder/layer_{layer}/attention/output/dense/bias",),
        "layers.{layer}.attention_norm.weight": ("encoder/layer_{layer}/attention/output/LayerNorm/gamma",),
        "layers.{layer}.attention_norm.bias": ("encoder/layer_{layer}/attention/output/LayerNorm/beta",),
        "layers.{layer}.feed_forward.intermediate.weight": ("encoder/layer_{layer}/intermediate/dense/kernel",),
        "layers.{layer}.feed_forward.intermediate.bias": ("encoder/layer_{layer}/intermediate/dense/bias",),
        "layers.{layer}.feed_forward.output.weight": ("encoder/layer_{layer}/output/dense/kernel",),
        "layers.{layer}.feed_forward.output.bias": ("encoder/layer_{layer}/output/dense/bias",),
        "layers.{layer}.output_norm.weight": ("encoder/layer_{layer}/output/LayerNorm/gamma",),
        "layers.{layer}.output_norm.bias": ("encoder/layer_{layer}/output/LayerNorm/beta",),
        "pooler.dense.weight": ("pooler/dense/kernel",),
        "pooler.dense.bias": ("pooler/dense/bias",),
    }
)

BERT: Final = Family(
    name="BERT",
    model_types=_MODEL_TYPES,
    mean_pooling_type=_MEAN_POOLING_TYPE,
    config=BertConfig,
    embeddings=parts.embeddings,
    layer=parts.post_norm_layer,
    pooler=parts.pooler,
    names=BERT_NAMES,
    prefix="bert.",
    head_names=NameTable({"classifier.weight": ("classifier.weight",), "classifier.bias": ("classifier.bias",)}),
    architecture="BertForSequenceClassification",
    fixed_keys={"position_embedding_type": "absolute"},
    unused=(
        (r"(bert\.)?embeddings\.(position_ids|token_type_ids)", "a buffer of transformers, not a parameter"),
        (r"cls\..*", "pre-training head"),
        (r"classifier\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
)
