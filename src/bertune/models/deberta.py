"""DeBERTa of the versions 2 and 3, and mDeBERTa: attention by contents and distances, mostly without positions.

Sources: He et al., 2020 (https://arxiv.org/abs/2006.03654) and 2021 (https://arxiv.org/abs/2111.09543).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from bertune.errors import ConfigError
from bertune.models import parts
from bertune.models.bert import BERT_NAMES
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable

if TYPE_CHECKING:
    from bertune.nn.embeddings import Embeddings
    from bertune.nn.layer import TransformerLayer
    from bertune.nn.pooling import Pooler, PoolerActivation
    from bertune.nn.relative_positions import RelativePositions

_TERMS: Final = ("c2p", "p2c")
_NORMS: Final = ("layer_norm", "none")
_POOLER_ACTIVATIONS: Final = ("gelu", "tanh", "relu")
# Tables of distances are as large as the configuration says, before the weights are looked at.
_MAX_DISTANCES: Final = 1 << 15
# What transformers takes where a file does not say.
_ABSENT: Final[Mapping[str, Any]] = {
    "relative_attention": False,
    "max_relative_positions": -1,
    "position_buckets": -1,
    "pos_att_type": "",
    "share_att_key": False,
    "norm_rel_ebd": "none",
    "position_biased_input": True,
}
# Sizes that no released encoder has otherwise than as wide as its hidden states, or its heads.
_AS_WIDE: Final = ("embedding_size", "pooler_hidden_size")


@dataclass(frozen=True)
class DebertaV2Config(EncoderConfig):
    """The sizes of a DeBERTa encoder of version 2 or 3; defaults are those of deberta-v3-base.

    Args:
        hidden_dropout_prob: behind embeddings, attention and feed-forward, and of the vectors of distances.
        max_position_embeddings: tokens that a sequence may have.
        max_relative_positions: distances beyond it are one; below 1 it is `max_position_embeddings`.
        position_buckets: on each side, into which distances are put; below 1 every distance has its own vector.
        pos_att_type: what distances add to the scores: `c2p`, `p2c`, or both with `|` between.
        share_att_key: whether the contents' dense layers make the keys and queries of distances too.
        norm_rel_ebd: `layer_norm` of the vectors of distances, or `none`.
        position_biased_input: whether the embeddings have a position table.
        pooler_hidden_act: `gelu`, `tanh` or `relu`.
        pooler_dropout: before the head's first dense layer.
        cls_dropout: before its last one; None for `hidden_dropout_prob`.

    Raises:
        ConfigError: a size that cannot work.
    """

    accepted: ClassVar = {
        "model_type": ("deberta-v2", "bertune_mean_pooling_deberta_v2"),
        "relative_attention": (True,),
    }
    # The convolution is refused by a sentence of its own; `legacy` is of the pre-training head.
    harmless: ClassVar = frozenset(
        ("conv_act", "conv_groups", "conv_kernel_size", "legacy", "attention_head_size", *_AS_WIDE)
    )
    instead: ClassVar = "take an encoder with the attention of its family, for instance microsoft/deberta-v3-base"

    vocab_size: int = 128100
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-7
    max_relative_positions: int = -1
    position_buckets: int = 256
    pos_att_type: str = "p2c|c2p"
    share_att_key: bool = True
    norm_rel_ebd: str = "layer_norm"
    position_biased_input: bool = False
    pooler_hidden_act: str = "gelu"
    pooler_dropout: float = 0.0
    cls_dropout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pooler_dropout", "cls_dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise ConfigError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        for name, known in (("norm_rel_ebd", _NORMS), ("pooler_hidden_act", _POOLER_ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} {getattr(self, name)!r:.80} is not known; known: {', '.join(known)}")
        if not self.terms or not self.terms <= set(_TERMS):
            raise ConfigError(f"pos_att_type must be c2p, p2c or c2p|p2c, not {self.pos_att_type!r:.80}")
        self._check_distances()

    def _check_distances(self) -> None:
        name = "position_buckets" if self.position_buckets > 0 else "max_relative_positions"
        if max(self.position_buckets, self.longest_distance) > _MAX_DISTANCES:
            raise ConfigError(f"{name} must be at most {_MAX_DISTANCES:,}")
        # Half of the buckets hold a distance each; the others share those up to the longest.
        near = self.position_buckets // 2
        if self.position_buckets > 0 and not 1 <= near < self.longest_distance - 1:
            raise ConfigError(
                f"position_buckets ({self.position_buckets}) do not fit {self.longest_distance} distances",
                hint="at least 2, and half of them fewer than the distances",
            )

    @property
    def terms(self) -> frozenset[str]:
        """What distances add to the scores."""
        return frozenset(part for part in self.pos_att_type.split("|") if part)

    @property
    def longest_distance(self) -> int:
        """Distances beyond it are one."""
        return self.max_relative_positions if self.max_relative_positions > 0 else self.max_position_embeddings

    @property
    def head_dropout(self) -> float:
        """Dropout before the last dense layer of a classifier, unless it is given one."""
        return self.hidden_dropout_prob if self.cls_dropout is None else self.cls_dropout

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a configuration; what it does not say is as in transformers.

        Raises:
            ConfigError: another architecture than this family's, or a size of the wrong kind.
        """
        values = {**values, **{key: value for key, value in _ABSENT.items() if values.get(key) is None}}
        _refuse_other_architectures(values)
        values["pos_att_type"] = _joined(values["pos_att_type"])
        if isinstance(values["norm_rel_ebd"], str):
            values["norm_rel_ebd"] = values["norm_rel_ebd"].strip().lower()
        return super().from_dict(values)

    def file_values(self) -> dict[str, Any]:
        """Returns all sizes by their keys in `config.json`."""
        return super().file_values() | {"relative_attention": True, "pooler_hidden_size": self.hidden_size}


def _joined(terms: object) -> object:
    """Returns `pos_att_type` as text, which files have as text or as a list."""
    if isinstance(terms, list) and all(isinstance(term, str) for term in terms):
        terms = "|".join(terms)
    return "|".join(term.strip() for term in terms.lower().split("|")) if isinstance(terms, str) else terms


def _refuse_other_architectures(values: Mapping[str, Any]) -> None:
    """Refuses what some encoders of this name have and no other.

    Raises:
        ConfigError: says what it is.
    """
    kernel = values.get("conv_kernel_size")
    if kernel not in (None, 0):
        raise ConfigError(
            f"the configuration says conv_kernel_size = {kernel!r:.80}: a convolution beside the first layer, as in "
            "deberta-v2-xlarge, is not computed",
            hint="take an encoder without one, for instance microsoft/deberta-v3-large",
        )
    hidden, heads = values.get("hidden_size"), values.get("num_attention_heads")
    for name in _AS_WIDE:
        if values.get(name) not in (None, hidden):
            raise ConfigError(
                f"the configuration says {name} = {values[name]!r:.80}; it must be hidden_size, {hidden!r:.80}",
                hint=DebertaV2Config.instead,
            )
    size = values.get("attention_head_size")
    if size is not None and (type(size) is not int or type(heads) is not int or size * heads != hidden):
        raise ConfigError(
            f"the configuration says attention_head_size = {size!r:.80}; {heads!r:.80} of them must be hidden_size, "
            f"{hidden!r:.80}",
            hint=DebertaV2Config.instead,
        )


def _embeddings(config: DebertaV2Config) -> "Embeddings":
    return parts.embeddings(config, with_positions=config.position_biased_input)


def _relative_positions(config: DebertaV2Config) -> "RelativePositions":
    from bertune.nn.relative_positions import Distances, RelativePositions

    buckets = config.position_buckets if config.position_buckets > 0 else None
    return RelativePositions(
        config.hidden_size,
        Distances(config.longest_distance, buckets),
        norm_eps=config.layer_norm_eps if config.norm_rel_ebd == "layer_norm" else None,
    )


def _layer(config: DebertaV2Config, _index: int) -> "TransformerLayer":
    from bertune.nn.disentangled_attention import DisentangledSelfAttention, PositionTerms

    attention = DisentangledSelfAttention(
        config.hidden_size,
        config.num_attention_heads,
        PositionTerms("c2p" in config.terms, "p2c" in config.terms, own_products=not config.share_att_key),
        dropout=config.attention_probs_dropout_prob,
        position_dropout=config.hidden_dropout_prob,
    )
    return parts.around_attention(attention, config)


def _pooler(config: DebertaV2Config) -> "Pooler":
    activation = cast("PoolerActivation", config.pooler_hidden_act)
    return parts.pooler(config, activation, dropout=config.pooler_dropout)


_IN_LAYERS: Final = "encoder.layer.{layer}.attention.self."

DEBERTA: Final = Family(
    name="DeBERTa-v2",
    model_types=("deberta-v2",),
    mean_pooling_type="bertune_mean_pooling_deberta_v2",
    config=DebertaV2Config,
    embeddings=_embeddings,
    layer=_layer,
    pooler=_pooler,
    names=NameTable(
        {
            **BERT_NAMES.without("pooler.").rows,
            "relative_positions.table.weight": ("encoder.rel_embeddings.weight",),
            "relative_positions.norm.{kind}": ("encoder.LayerNorm.{kind}",),
            "layers.{layer}.attention.qkv.{kind}": (
                _IN_LAYERS + "query_proj.{kind}",
                _IN_LAYERS + "key_proj.{kind}",
                _IN_LAYERS + "value_proj.{kind}",
            ),
            "layers.{layer}.attention.position_key.{kind}": (_IN_LAYERS + "pos_key_proj.{kind}",),
            "layers.{layer}.attention.position_query.{kind}": (_IN_LAYERS + "pos_query_proj.{kind}",),
        }
    ),
    prefix="deberta.",
    head_names=NameTable(
        {
            "encoder.pooler.dense.weight": ("pooler.dense.weight",),
            "encoder.pooler.dense.bias": ("pooler.dense.bias",),
            "classifier.weight": ("classifier.weight",),
            "classifier.bias": ("classifier.bias",),
        }
    ),
    architecture="DebertaV2ForSequenceClassification",
    fixed_keys={},
    unused=(
        (r"(deberta\.)?embeddings\.position_ids", "a buffer of transformers, not a parameter"),
        (r"(deberta\.)?embeddings\.position_embeddings\.weight", "positions, which only the pre-training head reads"),
        (r"(lm_predictions|mask_predictions|cls|lm_head)\..*", "pre-training head"),
        (r"(pooler|classifier)\..*", "head of an earlier task"),
        (r"qa_outputs\..*", "head of an earlier task"),
    ),
    relative_positions=_relative_positions,
)
