"""What an interrupted study or sweep compares: every part of the data that decides a run."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from tests.unit.training.conftest import make_dataset

from bertune.batches.dataset import Dataset
from bertune.experiments.data_digest import digest_of_data
from bertune.training.prepare import PreparedRun


def digest(train: Dataset, validation: Dataset) -> str:
    return digest_of_data(cast("PreparedRun", SimpleNamespace(train=train, validation=validation)))


def made(examples: int, seed: int) -> Dataset:
    """Pairs of texts, the first of two tokens."""
    data = make_dataset(examples, seed)
    return Dataset(replace(data.encoded, first_lengths=np.full(examples, 2, np.int32)), data.targets)


def changed(data: Dataset, what: str) -> Dataset:
    encoded = data.encoded
    assert data.targets is not None
    if what == "targets":
        return Dataset(encoded, np.append(data.targets[:-1], 1 - data.targets[-1]))
    values = getattr(encoded, what).copy()
    values[1] += 1
    return Dataset(replace(encoded, **{what: values}), data.targets)


@pytest.mark.parametrize("what", ["token_ids", "offsets", "first_lengths", "targets"])
def test_a_change_of_anything_in_train_or_validation_is_seen(what: str) -> None:
    train, validation = made(20, 1), made(10, 2)
    before = digest(train, validation)
    assert digest(made(20, 1), made(10, 2)) == before
    assert digest(changed(train, what), validation) != before
    assert digest(train, changed(validation, what)) != before
