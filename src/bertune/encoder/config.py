"""The sizes of a BERT encoder, as `bert_config.json` and `config.json` hold them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, Self

from bertune.encoder.feed_forward import ACTIVATIONS
from bertune.errors import CheckpointError, ConfigError

# Keys that would change what the encoder computes, with the only value this encoder computes.
_REQUIRED_VALUES = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
_MAX_WEIGHTS = 10_000_000_000
_MAX_NUMBER = 1 << 31


@dataclass(frozen=True)
class BertConfig:
    """The sizes of a BERT encoder; defaults are those of BERT-base uncased.

    The activation `gelu` is the exact one (erf), as in the paper and in transformers. The Model Garden computes its
    tanh approximation under the same name; here that one is called `gelu_tanh`, see `from_json_file`.

    Raises:
        ConfigError: a size that cannot work.
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
            if values.get(key, expected) not in (expected, None):
                raise ConfigError(
                    f"the configuration says {key} = {values[key]!r}; this encoder is {expected!r} only",
                    hint="take a BERT encoder with WordPiece, for instance bert-base-uncased or all-MiniLM-L6-v2",
                )
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known and value is not None})

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Reads `bert_config.json` or `config.json`.

        A file without `model_type` is Google's: google-research/bert and the Model Garden compute the tanh
        approximation under the name `gelu`, so it becomes `gelu_tanh` here.

        Raises:
            CheckpointError: the file is missing or is not a JSON object.
            ConfigError: see `from_dict`.
        """
        values = read_json_object(path)
        if "model_type" not in values and values.get("hidden_act", "gelu") == "gelu":
            values["hidden_act"] = "gelu_tanh"
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all sizes by name."""
        return asdict(self)


def read_json_object(path: str | Path, *, max_bytes: int = 16_000_000) -> dict[str, Any]:
    """Reads a JSON file that must hold one object.

    Args:
        path: the file.
        max_bytes: a larger file is refused unread.

    Raises:
        CheckpointError: the file is missing, too large, not UTF-8, not JSON, or holds something else.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: not a file")
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise CheckpointError(f"{path}: more than {max_bytes:,} bytes, too large for such a file")
        values = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    # ValueError: not UTF-8, not JSON, or a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return values


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


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
    if config.hidden_act not in ACTIVATIONS:
        raise ConfigError(f"hidden_act {config.hidden_act!r} is not known; known: {', '.join(ACTIVATIONS)}")
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
