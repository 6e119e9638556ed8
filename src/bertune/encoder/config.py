"""The sizes of a BERT encoder, as `bert_config.json` and `config.json` hold them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

from bertune.errors import ConfigError
from bertune.json_file import MAX_FOREIGN_INTEGER, read_json_object

Pooling = Literal["cls", "mean"]

# Names alone: the functions are in `feed_forward`, and a configuration is read where torch is not wanted.
ACTIVATION_NAMES: Final = ("gelu", "gelu_tanh", "gelu_new", "gelu_pytorch_tanh", "relu")
# transformers has no BERT classifier with mean pooling. Under a name it does not know it refuses the folder of one, and
# under `bert` it would load it with a new, random pooler and answer nonsense. The encoder in it is an ordinary BERT.
MEAN_POOLING_TYPE = "bertune_mean_pooling"
# Keys that would change what the encoder computes, with the only values this encoder computes.
_REQUIRED_VALUES: dict[str, tuple[str | bool, ...]] = {
    "model_type": ("bert", MEAN_POOLING_TYPE),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
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
_MAX_WEIGHTS = 10_000_000_000
_MAX_NUMBER = 1 << 31


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a BERT encoder; defaults are those of BERT-base uncased.

    The activation `gelu` is the exact one (erf), as in the paper and in transformers. The Model Garden computes its
    tanh approximation under the same name; here that one is called `gelu_tanh`, see `from_json_file`.

    Args:
        vocab_size: number of token embeddings.
        hidden_size: width of the hidden states, a multiple of `num_attention_heads`.
        num_hidden_layers: number of transformer layers.
        num_attention_heads: attention heads of each layer.
        intermediate_size: width of the feed-forward layers.
        hidden_act: activation of the feed-forward layers.
        hidden_dropout_prob: dropout of embeddings and dense outputs.
        attention_probs_dropout_prob: dropout of attention probabilities.
        max_position_embeddings: number of position embeddings, the longest sequence in tokens.
        type_vocab_size: number of type embeddings.
        initializer_range: standard deviation of new weights.
        layer_norm_eps: added to the variance in layer norms.
        pad_token_id: id of [PAD].

    Raises:
        ConfigError: a size that cannot work.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> config.hidden_size, config.num_hidden_layers
        (32, 2)
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        _check_sizes(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a configuration; keys that do not concern the encoder's sizes (labels, versions) are left aside.

        Raises:
            ConfigError: another architecture than BERT, or a size of the wrong kind.
        """
        for key, expected in _REQUIRED_VALUES.items():
            if values.get(key) not in (*expected, None):
                raise ConfigError(
                    f"the configuration says {key} = {values[key]!r:.80}; this encoder is {expected[0]!r} only",
                    hint="take a BERT encoder with WordPiece, for instance bert-base-uncased or all-MiniLM-L6-v2",
                )
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known and value is not None})

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
        values = read_json_object(path, max_integer=MAX_FOREIGN_INTEGER)
        keys = {"model_type", *_KEYS_OF_TRANSFORMERS}
        if Path(path).name == "config.json":
            # The exports of bertune have it in a bert_config.json as Google computes it.
            keys.add("layer_norm_eps")
        if not keys & values.keys() and values.get("hidden_act", "gelu") == "gelu":
            values["hidden_act"] = "gelu_tanh"
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all sizes by name."""
        return asdict(self)


def _check_sizes(config: BertConfig) -> None:
    _check_types(config)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(config, name)}")
    for name in ("max_position_embeddings", "type_vocab_size"):
        if getattr(config, name) < 2:
            raise ConfigError(f"{name} must be at least 2, not {getattr(config, name)}")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} must lie in [0, 1), not {getattr(config, name)}")
    for name in ("initializer_range", "layer_norm_eps"):
        if not 0 < getattr(config, name) < 1:
            raise ConfigError(f"{name} must lie between 0 and 1, not {getattr(config, name)}")
    if not 0 <= config.pad_token_id < config.vocab_size:
        raise ConfigError(f"pad_token_id must lie in 0..{config.vocab_size - 1}, not {config.pad_token_id}")
    if config.hidden_size % config.num_attention_heads:
        raise ConfigError(
            f"hidden_size ({config.hidden_size}) must be a multiple of "
            f"num_attention_heads ({config.num_attention_heads})"
        )
    if config.hidden_act not in ACTIVATION_NAMES:
        raise ConfigError(f"hidden_act {config.hidden_act!r} is not known; known: {', '.join(ACTIVATION_NAMES)}")
    _check_total(config)


def _check_types(config: BertConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.type is int and (isinstance(value, bool) or not isinstance(value, int)):
            raise ConfigError(f"{field.name} must be a whole number, not {value!r}")
        if field.type is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"{field.name} must be a number, not {value!r}")
        # A comparison, because math.isfinite fails on integers beyond the largest float.
        if field.type is not str and not -_MAX_NUMBER < value < _MAX_NUMBER:
            raise ConfigError(f"{field.name} must be a number below {_MAX_NUMBER:,} in size")
        if field.type is str and not isinstance(value, str):
            raise ConfigError(f"{field.name} must be a word, not {value!r}")


def _check_total(config: BertConfig) -> None:
    """Refuses sizes that no BERT has, before the memory for them is asked for."""
    rows = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    weights = rows * config.hidden_size + config.num_hidden_layers * layer
    if weights > _MAX_WEIGHTS:
        raise ConfigError(
            f"these sizes make an encoder of {weights:,} weights; at most {_MAX_WEIGHTS:,} are supported",
            hint="is a size in the configuration wrong? BERT-large has 335 million weights",
        )
