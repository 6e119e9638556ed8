"""Dropout is drawn again for each row, each part of a batch, each step and each seed, by kernels and by torch."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.unit.training.conftest import SIZES, make_dataset
from torch import Tensor

from bertune.batches.dataset import Dataset
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.loop import fit

pytestmark = pytest.mark.usefixtures("compiler")

DROPPED = replace(SIZES, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
WHOLE = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
ROWS = 6
# The rate is so small that every step sees the first weights.
CONFIG = TrainingConfig(
    recipe="lesson", epochs=3, batch_size=ROWS, learning_rate=1e-12, weight_decay=0.0, precision="fp32", seed=3
)


class Logits(Dynamics):
    """Keeps the logits of each part of each batch."""

    def __init__(self) -> None:
        super().__init__(ROWS, "classification")
        self.parts: list[Tensor] = []

    def record(self, indices: NDArray[np.int64], logits: Tensor, targets: Tensor) -> None:
        self.parts.append(logits.detach().clone())
        super().record(indices, logits, targets)


def logits_of(sizes: BertConfig, *, in_head: bool, **settings: object) -> list[Tensor]:
    """The logits of one example, repeated, with dropout in the encoder or before the head's dense layer."""
    one = make_dataset(1, 4)
    examples = Dataset(one.encoded.take(np.zeros(ROWS, np.int64)), np.zeros(ROWS, np.int64))
    torch.manual_seed(0)
    classifier = classifier_model(sizes, 2)[0]
    classifier.dropout.probability = 0.5 if in_head else 0.0
    watched = Logits()
    fit(classifier, examples, config=replace(CONFIG, **settings), dynamics=watched)
    return watched.parts


@pytest.fixture(params=["", "kernels"], ids=["kernels", "torch"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", request.param)


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize(("sizes", "in_head"), [(DROPPED, False), (WHOLE, True)], ids=["encoder", "head"])
def test_rows_parts_and_steps_have_masks_of_their_own(sizes: BertConfig, in_head: bool) -> None:
    parts = logits_of(sizes, in_head=in_head, micro_batch_size=3)
    assert [len(part) for part in parts] == [3, 3] * 3
    for one, other in combinations(torch.cat(parts), 2):
        assert not torch.equal(one, other)


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize(("sizes", "in_head"), [(DROPPED, False), (WHOLE, True)], ids=["encoder", "head"])
def test_seeds_have_masks_of_their_own_and_draw_them_again(sizes: BertConfig, in_head: bool) -> None:
    first, again, other = (torch.cat(logits_of(sizes, in_head=in_head, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not bool((first == other).any())


@pytest.mark.usefixtures("road")
def test_without_dropout_all_are_the_same() -> None:
    parts = torch.cat(logits_of(WHOLE, in_head=False, micro_batch_size=3))
    torch.testing.assert_close(parts, parts[:1].expand_as(parts), rtol=0, atol=1e-6)
