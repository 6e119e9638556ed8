"""The sizes of an encoder, as its family's `config.json` holds them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from bertune.errors import ConfigError
from bertune.models.config_keys import ALWAYS_FALSE, HARMLESS
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object

Pooling = Literal["cls", "mean"]

# Names alone: the functions are in `feed_forward`, and a configuration is read where torch is not wanted.
ACTIVATION_NAMES: Final = (
    *("gelu", "gelu_tanh", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    *("relu", "silu", "quick_gelu"),
)
_MAX_WEIGHTS = 10_000_000_000
_MAX_NUMBER = 1 << 31


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes that encoders of all families have, with BERT-base's as defaults; each family has a class of its own.

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
        type_vocab_size: rows of the token type table; 0 for none.
        initializer_range: standard deviation of new weights, before the cut at two.
        layer_norm_eps: in the denominator of norms.
        pad_token_id: id of the padding token.

    Attributes:
        accepted: keys of a file that would change what the encoder computes, with the only values it computes.
        instead: what to do where a file has others.
        least: sizes that must be larger than for other families.
        file_keys: of a file, where they are not the names of the sizes: name of a size to its key.
        harmless: further keys that a file of this family may have and that change nothing; None leaves every key aside
            that is not known.

    Raises:
        ConfigError: a size that cannot work.

    Example:
        >>> config: bertune.EncoderConfig = bertune.read_config("bert/config.json")
        >>> config.num_hidden_layers, config.max_positions
        (2, 128)
    """

    accepted: ClassVar[Mapping[str, tuple[str | int, ...]]]
    instead: ClassVar[str] = "take an encoder whose config.json says the family that its weights are of"
    least: ClassVar[Mapping[str, int]] = {}
    file_keys: ClassVar[Mapping[str, str]] = {}
    harmless: ClassVar[frozenset[str] | None] = frozenset()

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

    @property
    def max_positions(self) -> int:
        """Tokens that a sequence may have."""
        return self.max_position_embeddings

    @property
    def num_stored_layers(self) -> int:
        """Layers with weights of their own; a family whose layers share them has fewer than it computes."""
        return self.num_hidden_layers

    def with_layers(self, count: int) -> Self:
        """Returns the sizes of an encoder of so many of the lowest layers."""
        return replace(self, num_hidden_layers=count)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a configuration; keys that do not concern the encoder (labels, versions) are left aside.

        Raises:
            ConfigError: another architecture than this family's, a key that is not known and may change what is
                computed, or a size of the wrong kind.
        """
        for key, expected in cls.accepted.items():
            if values.get(key) not in (*expected, None):
                raise ConfigError(
                    f"the configuration says {key} = {values[key]!r:.80}; this encoder is {expected[0]!r} only",
                    hint=cls.instead,
                )
        keys = {field.name: cls.file_keys.get(field.name, field.name) for field in fields(cls)}
        if cls.harmless is not None:
            _check_keys(values, HARMLESS.union(cls.accepted, cls.harmless, keys.values()), cls.instead)
        return cls(**{name: values[key] for name, key in keys.items() if values.get(key) is not None})

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Reads `config.json`.

        Raises:
            CheckpointError: the file is missing or is not a JSON object.
            ConfigError: see `from_dict`; names the file.
        """
        with naming(path):
            return cls.from_file(read_json_object(path, max_integer=MAX_FOREIGN_INTEGER), Path(path).name)

    @classmethod
    def from_file(cls, values: Mapping[str, Any], file_name: str) -> Self:
        """Reads what a file holds, which may mean something else by its name.

        Raises:
            ConfigError: see `from_dict`.
        """
        del file_name
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all sizes by name."""
        return asdict(self)

    def file_values(self) -> dict[str, Any]:
        """Returns all sizes by their keys in `config.json`."""
        return {self.file_keys.get(name, name): value for name, value in self.to_dict().items()}

    @property
    def embedding_size(self) -> int:
        """Width of the embeddings, which a family may project to the hidden states."""
        return self.hidden_size

    @property
    def pooling(self) -> Pooling:
        """Pooling that a classifier has, unless it is given one."""
        return "cls"

    @property
    def head_dropout(self) -> float:
        """Dropout before the last dense layer of a classifier, unless it is given one."""
        return self.hidden_dropout_prob


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Lets errors of a configuration say which file it is."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def _check_keys(values: Mapping[str, Any], known: frozenset[str], instead: str) -> None:
    """Refuses keys that nobody has looked at; those without a value set nothing."""
    for key, value in values.items():
        if key in known or value in (None, {}, []) or (key in ALWAYS_FALSE and value is False):
            continue
        if key in ALWAYS_FALSE:
            raise ConfigError(f"the configuration says {key} = {value!r:.80}; this encoder is False only", hint=instead)
        raise ConfigError(
            f"the configuration says {key!r:.80} = {value!r:.80}, a key that is not known for this family of encoders",
            hint="it may change what the encoder computes; if it does not, take it out of config.json",
        )


def _check_sizes(config: EncoderConfig) -> None:
    _check_types(config)
    least = {"max_position_embeddings": 2, "type_vocab_size": 0} | dict(config.least)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        _check_least(config, name, 1)
    for name, number in least.items():
        _check_least(config, name, number)
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
        raise ConfigError(f"hidden_act {config.hidden_act!r:.80} is not known; known: {', '.join(ACTIVATION_NAMES)}")
    _check_total(config)


def _check_least(config: EncoderConfig, name: str, least: int) -> None:
    if getattr(config, name) < least:
        raise ConfigError(f"{name} must be at least {least}, not {getattr(config, name)}")


def _check_types(config: EncoderConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if value is None and field.default is None:
            continue
        if field.type is bool and not isinstance(value, bool):
            raise ConfigError(f"{field.name} must be true or false, not {value!r:.80}")
        if field.type is int and (isinstance(value, bool) or not isinstance(value, int)):
            raise ConfigError(f"{field.name} must be a whole number, not {value!r:.80}")
        if field.type in (float, float | None) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"{field.name} must be a number, not {value!r:.80}")
        # A comparison, because math.isfinite fails on integers beyond the largest float.
        if field.type in (int, float) and not -_MAX_NUMBER < value < _MAX_NUMBER:
            raise ConfigError(f"{field.name} must be a number below {_MAX_NUMBER:,} in size")
        if field.type is str and not isinstance(value, str):
            raise ConfigError(f"{field.name} must be a word, not {value!r:.80}")


def _check_total(config: EncoderConfig) -> None:
    """Refuses sizes that no encoder has, before the memory for them is asked for."""
    rows = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    weights = rows * config.hidden_size + config.num_hidden_layers * layer
    if weights > _MAX_WEIGHTS:
        raise ConfigError(
            f"these sizes make an encoder of {weights:,} weights; at most {_MAX_WEIGHTS:,} are supported",
            hint="is a size in the configuration wrong? BERT-large has 335 million weights",
        )
