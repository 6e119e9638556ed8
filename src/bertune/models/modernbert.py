"""ModernBERT: rotary positions, attention in local windows with whole sequences every few layers, gated feed-forward.

Source: Warner et al., 2024 (https://arxiv.org/abs/2412.13663).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from bertune.errors import ConfigError
from bertune.models.encoder_config import EncoderConfig, Pooling
from bertune.models.family import Family
from bertune.models.names import NameTable

if TYPE_CHECKING:
    from bertune.nn.embeddings import Embeddings
    from bertune.nn.norm import Norm, NormOptions
    from bertune.nn.pooling import Pooler
    from bertune.nn.pre_norm_layer import PreNormLayer

_GLOBAL: Final = "full_attention"
_LOCAL: Final = "sliding_attention"
_GLOBAL_EVERY: Final = 3
_MOST_LAYERS: Final = 10_000
_HEAD_ACTIVATIONS: Final = ("gelu", "relu", "tanh")


@dataclass(frozen=True)
class ModernBertConfig(EncoderConfig):
    """The sizes of a ModernBERT encoder; defaults are those of ModernBERT-base.

    Args:
        num_attention_heads: into which the width is divided; a head has an even number of columns.
        intermediate_size: width inside the feed-forward part of a layer, of the activated half and of the gate each.
        hidden_act: one of `ACTIVATION_NAMES`, `hidden_activation` in the file.
        hidden_dropout_prob: behind the embeddings, `embedding_dropout` in the file.
        attention_probs_dropout_prob: of the probabilities in attention and behind it, `attention_dropout` in the file.
        max_position_embeddings: tokens that a sequence may have.
        type_vocab_size: 0: there are no token types.
        layer_norm_eps: in the denominator of norms, `norm_eps` in the file.
        mlp_dropout: inside the feed-forward part.
        classifier_dropout: before the last dense layer of a classifier.
        local_attention: tokens of the window in local layers: half as many on each side of a token.
        global_rope_theta: base of the angles of positions in global layers.
        local_rope_theta: the same in local layers.
        layer_types: `full_attention` or `sliding_attention` for each layer; empty for every third global, from the
            first.
        attention_bias: whether the dense layers of attention add something.
        mlp_bias: the same of the feed-forward part.
        norm_bias: the same of norms.
        classifier_bias: the same of the dense layer before the classifier's last.
        classifier_activation: behind that layer: gelu, relu or tanh.
        classifier_pooling: cls or mean, which a classifier has unless it is given one.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("modernbert",),
        "is_decoder": (False,),
        "is_causal": (False,),
        "causal_mask": (False,),
        "add_cross_attention": (False,),
    }
    file_keys: ClassVar = {
        "hidden_act": "hidden_activation",
        "hidden_dropout_prob": "embedding_dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "layer_norm_eps": "norm_eps",
    }
    # How it is computed or pre-trained; names of BERT's beside this family's own; and what `from_dict` reads itself.
    harmless: ClassVar = frozenset(
        (
            "decoder_bias",
            "deterministic_flash_attn",
            "global_attn_every_n_layers",
            "initializer_cutoff_factor",
            "layer_norm_eps",
            "position_embedding_type",
            "reference_compile",
            "repad_logits_with_grad",
            "rope_parameters",
            "rope_scaling",
            "sparse_pred_ignore_index",
            "sparse_prediction",
        )
    )

    vocab_size: int = 50368
    num_hidden_layers: int = 22
    intermediate_size: int = 1152
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 8192
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 50283
    mlp_dropout: float = 0.0
    classifier_dropout: float = 0.0
    local_attention: int = 128
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0
    layer_types: tuple[str, ...] = ()
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    classifier_pooling: str = "cls"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(
            self, "layer_types", tuple(self.layer_types) or _every(_GLOBAL_EVERY, self.num_hidden_layers)
        )
        _check(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a configuration, in today's keys of transformers or in those of its version 4.

        Raises:
            ConfigError: another architecture, a size of the wrong kind, or a key of the encoder that is not known.
        """
        return super().from_dict({**values, **_thetas(values), "layer_types": _layer_types(values)})

    def file_values(self) -> dict[str, Any]:
        """Returns all sizes by their keys in `config.json`, for transformers from version 4.48 on."""
        values = super().file_values() | {
            "layer_types": list(self.layer_types),
            "rope_parameters": {
                _GLOBAL: {"rope_type": "default", "rope_theta": self.global_rope_theta},
                _LOCAL: {"rope_type": "default", "rope_theta": self.local_rope_theta},
            },
        }
        layers = self.num_hidden_layers
        every = next((every for every in range(1, layers + 1) if _every(every, layers) == self.layer_types), None)
        return values if every is None else values | {"global_attn_every_n_layers": every}

    def with_layers(self, count: int) -> Self:
        """Returns the sizes of an encoder of so many of the lowest layers."""
        return replace(self, num_hidden_layers=count, layer_types=self.layer_types[:count])

    @property
    def pooling(self) -> Pooling:
        """Pooling that a classifier has, unless it is given one."""
        return "mean" if self.classifier_pooling == "mean" else "cls"

    @property
    def head_dropout(self) -> float:
        """Dropout before the last dense layer of a classifier, unless it is given one."""
        return self.classifier_dropout


def _every(number: int, layers: int) -> tuple[str, ...]:
    return tuple(_LOCAL if index % number else _GLOBAL for index in range(layers))


def _layer_types(values: Mapping[str, Any]) -> tuple[Any, ...]:
    if (given := values.get("layer_types")) is not None:
        if not isinstance(given, list | tuple) or not given:
            raise ConfigError(f"layer_types must be a list with a word for each layer, not {given!r:.80}")
        return tuple(given)
    every = values.get("global_attn_every_n_layers")
    every = _GLOBAL_EVERY if every is None else every
    layers = values.get("num_hidden_layers")
    layers = ModernBertConfig.num_hidden_layers if layers is None else layers
    if type(every) is not int or every < 1:
        raise ConfigError(f"global_attn_every_n_layers must be a whole number above 0, not {every!r:.80}")
    # Another kind of number of layers, or a hostile one, is refused with the sizes.
    return _every(every, layers) if type(layers) is int and 0 < layers <= _MOST_LAYERS else ()


def _thetas(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the bases of the angles; other kinds of rotary positions than the plain ones are refused."""
    if values.get("rope_scaling") is not None:
        raise ConfigError("the configuration says rope_scaling, which is not computed", hint=EncoderConfig.instead)
    parameters = values.get("rope_parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping) or not parameters.keys() <= {_GLOBAL, _LOCAL}:
        raise ConfigError(
            f"rope_parameters must be an object for each of {_GLOBAL} and {_LOCAL}", hint=EncoderConfig.instead
        )
    found = {}
    for kind, name in ((_GLOBAL, "global_rope_theta"), (_LOCAL, "local_rope_theta")):
        given = parameters.get(kind)
        if given is None:
            continue
        if not isinstance(given, Mapping) or given.get("rope_type", "default") != "default":
            raise ConfigError(
                f"rope_parameters of {kind} are {given!r:.80}; rope_type is 'default' only", hint=EncoderConfig.instead
            )
        if others := given.keys() - {"rope_type", "rope_theta"}:
            raise ConfigError(
                f"rope_parameters of {kind} have {min(map(str, others))}, which is not known",
                hint=EncoderConfig.instead,
            )
        if given.get("rope_theta") is not None:
            found[name] = given["rope_theta"]
    return found


def _check(config: ModernBertConfig) -> None:
    are_known = all(kind in (_GLOBAL, _LOCAL) for kind in config.layer_types)
    if len(config.layer_types) != config.num_hidden_layers or not are_known:
        raise ConfigError(
            f"layer_types must say {_GLOBAL} or {_LOCAL} for each of {config.num_hidden_layers} layers, "
            f"not {list(config.layer_types)!r:.80}"
        )
    for name in ("mlp_dropout", "classifier_dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} must lie in [0, 1), not {getattr(config, name)}")
    for name in ("global_rope_theta", "local_rope_theta"):
        if not getattr(config, name) > 1:
            raise ConfigError(f"{name} must be above 1, not {getattr(config, name)}")
    if config.local_attention < 1:
        raise ConfigError(f"local_attention must be at least 1, not {config.local_attention}")
    if config.hidden_size // config.num_attention_heads % 2:
        raise ConfigError("hidden_size / num_attention_heads must be even: rotary positions turn pairs of columns")
    for name, known in (("classifier_activation", _HEAD_ACTIVATIONS), ("classifier_pooling", ("cls", "mean"))):
        if getattr(config, name) not in known:
            raise ConfigError(f"{name} {getattr(config, name)!r} is not known; known: {', '.join(known)}")


def _norm(config: ModernBertConfig) -> "NormOptions":
    from bertune.nn.norm import NormOptions

    return NormOptions(config.layer_norm_eps, config.norm_bias)


def _embeddings(config: ModernBertConfig) -> "Embeddings":
    from bertune.nn.embeddings import Embeddings, Positions

    return Embeddings(
        config.vocab_size,
        config.hidden_size,
        positions=Positions(config.max_position_embeddings, learned=False),
        num_types=0,
        norm=_norm(config),
        dropout=config.hidden_dropout_prob,
    )


def _layer(config: ModernBertConfig, index: int) -> "PreNormLayer":
    from bertune.nn.gated_feed_forward import GatedFeedForward
    from bertune.nn.pre_norm_layer import PreNormLayer
    from bertune.nn.rotary_attention import RotaryAttention

    is_global = config.layer_types[index] == _GLOBAL
    return PreNormLayer(
        config.hidden_size,
        attention=RotaryAttention(
            config.hidden_size,
            config.num_attention_heads,
            theta=config.global_rope_theta if is_global else config.local_rope_theta,
            reach=None if is_global else config.local_attention // 2,
            dropout=config.attention_probs_dropout_prob,
            bias=config.attention_bias,
        ),
        feed_forward=GatedFeedForward(
            config.hidden_size,
            config.intermediate_size,
            activation=config.hidden_act,
            dropout=config.mlp_dropout,
            bias=config.mlp_bias,
        ),
        norm=_norm(config),
        normalize_first=index > 0,
        attention_dropout=config.attention_probs_dropout_prob,
    )


def _final_norm(config: ModernBertConfig) -> "Norm":
    return _norm(config).norm(config.hidden_size)


def _pooler(config: ModernBertConfig) -> "Pooler":
    from bertune.nn.pooling import Pooler, PoolerActivation

    activation = cast(PoolerActivation, config.classifier_activation)
    return Pooler(config.hidden_size, activation=activation, bias=config.classifier_bias, norm=_norm(config))


MODERNBERT: Final = Family(
    name="ModernBERT",
    model_types=("modernbert",),
    mean_pooling_type="",
    config=ModernBertConfig,
    embeddings=_embeddings,
    layer=_layer,
    pooler=_pooler,
    names=NameTable(
        {
            "embeddings.token.weight": ("embeddings.tok_embeddings.weight",),
            "embeddings.norm.{kind}": ("embeddings.norm.{kind}",),
            "layers.{layer}.attention_norm.{kind}": ("layers.{layer}.attn_norm.{kind}",),
            "layers.{layer}.attention.qkv.{kind}": ("layers.{layer}.attn.Wqkv.{kind}",),
            "layers.{layer}.attention.output.{kind}": ("layers.{layer}.attn.Wo.{kind}",),
            "layers.{layer}.feed_forward_norm.{kind}": ("layers.{layer}.mlp_norm.{kind}",),
            "layers.{layer}.feed_forward.input_and_gate.{kind}": ("layers.{layer}.mlp.Wi.{kind}",),
            "layers.{layer}.feed_forward.output.{kind}": ("layers.{layer}.mlp.Wo.{kind}",),
            "final_norm.{kind}": ("final_norm.{kind}",),
        }
    ),
    prefix="model.",
    head_names=NameTable(
        {
            "encoder.pooler.dense.weight": ("head.dense.weight",),
            "encoder.pooler.dense.bias": ("head.dense.bias",),
            "encoder.pooler.norm.weight": ("head.norm.weight",),
            "encoder.pooler.norm.bias": ("head.norm.bias",),
            "classifier.weight": ("classifier.weight",),
            "classifier.bias": ("classifier.bias",),
        }
    ),
    architecture="ModernBertForSequenceClassification",
    fixed_keys={},
    unused=(
        (r"(model\.)?(layers\.\d+\.attn\.)?rotary_emb\..*", "a buffer of transformers, not a parameter"),
        (r"(head|decoder)\..*", "pre-training head"),
        (r"classifier\..*", "head of an earlier task"),
    ),
    pooling_key="classifier_pooling",
    final_norm=_final_norm,
    head_is_pretrained=True,
)
