"""Embeddings and lowest layers that do not train: bit for bit as they were, by both engines, in every family."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from tests.unit.training.test_engine import CONFIG, Watcher, assert_same_training, losses, run

from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError
from bertune.models.albert import AlbertConfig
from bertune.models.classifier import Classifier
from bertune.models.deberta import DebertaV2Config
from bertune.models.distilbert import DistilBertConfig
from bertune.models.electra import ElectraConfig
from bertune.models.encoder_config import EncoderConfig
from bertune.models.modernbert import ModernBertConfig
from bertune.models.mpnet import MpnetConfig
from bertune.training import frozen_layers
from bertune.training.config import TrainingConfig
from bertune.training.loop import fit

THREE = replace(SIZES, num_hidden_layers=3, vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SHAPE: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 34,
}
FAMILIES: dict[str, EncoderConfig] = {
    "bert": THREE,
    "distilbert": DistilBertConfig(**SHAPE, seq_classif_dropout=0.0),
    "electra": ElectraConfig(**SHAPE, embedding_size=32),
    "mpnet": MpnetConfig(**SHAPE),
    "modernbert": ModernBertConfig(**SHAPE, pad_token_id=0, local_attention=8),
    "deberta": DebertaV2Config(**SHAPE, position_buckets=8),
}
EPOCH = replace(CONFIG, epochs=2)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(100, 1)


def changed(before: Classifier, after: Classifier) -> set[str]:
    old = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(value, old[name])}


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("removed", ["", "kernels"], ids=["compiled", "torch"])
@pytest.mark.parametrize("freeze", [0, 1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_frozen_keeps_its_bits_and_all_else_trains(
    family: str, freeze: int, removed: str, train: Dataset
) -> None:
    sizes = FAMILIES[family]
    _, after, watcher = run(train, removed, config=replace(EPOCH, freeze=freeze), sizes=sizes)
    assert watcher.how.endswith("compiled kernels") == (not removed)
    frozen = ("encoder.embeddings.", "encoder.relative", *(f"encoder.layers.{number}." for number in range(freeze)))
    expected = {
        name
        for name, _ in after.named_parameters()
        if not name.startswith(frozen) and (after.uses_pooler or not name.startswith("encoder.pooler."))
    }
    assert changed(make_classifier(config=sizes), after) == expected
    assert all(parameter.requires_grad for parameter in after.parameters())


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("changes", [{}, {"micro_batch_size": 3}, {"layer_decay": 0.5}, {"optimizer": "adamw_torch"}])
@pytest.mark.parametrize("freeze", [0, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_train_the_same(family: str, freeze: int, changes: dict[str, Any], train: Dataset) -> None:
    if changes and family not in ("bert", "deberta"):
        pytest.skip("these settings do not depend on the family")
    config = replace(EPOCH, freeze=freeze, **changes)
    one, other = (run(train, removed, config=config, sizes=FAMILIES[family]) for removed in ("", "kernels"))
    assert_same_training(one, other, key_biases="optimizer" not in changes)
