"""A family unlike BERT in what families differ by: names, positions, types, pooler."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from bertune.models import registry
from bertune.models.bert import BERT
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.names import NameTable
from bertune.nn.embeddings import Embeddings


@dataclass(frozen=True)
class ToyConfig(EncoderConfig):
    """Positions start behind the padding token's id, as in RoBERTa; there are no types, as in DistilBERT."""

    accepted: ClassVar = {"model_type": ("toy", "toy_mean")}
    instead: ClassVar = "take a toy"

    vocab_size: int = 1008
    hidden_size: int = 32
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 64
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 66
    type_vocab_size: int = 0
    initializer_range: float = 0.2
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    @property
    def max_positions(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1


def _embeddings(config: ToyConfig) -> Embeddings:
    return Embeddings(
        config.vocab_size,
        config.hidden_size,
        max_positions=config.max_position_embeddings,
        num_types=0,
        norm_eps=config.layer_norm_eps,
        dropout=config.hidden_dropout_prob,
        position_offset=config.pad_token_id + 1,
    )


_ROWS = {
    ours: tuple(name.replace("encoder.layer", "blocks") for name in stored)
    for ours, stored in BERT.names.rows.items()
    if "token_type" not in ours and "pooler" not in ours
}

TOY: Family[ToyConfig] = replace(
    BERT,
    name="Toy",
    model_types=("toy",),
    mean_pooling_type="toy_mean",
    config=ToyConfig,
    embeddings=_embeddings,
    pooler=None,
    names=NameTable(_ROWS),
    prefix="toy.",
    head_names=NameTable({"classifier.weight": ("out.weight",), "classifier.bias": ("out.bias",)}),
    architecture="ToyForSequenceClassification",
    fixed_keys={},
    unused=((r"lm_head\..*", "pre-training head"), (r"out\..*", "head of an earlier task")),
    why_not_kernels="nobody has computed a toy by kernels",
)


def know_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the family known, as the next one will be."""
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, TOY))
