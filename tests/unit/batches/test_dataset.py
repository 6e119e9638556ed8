from typing import Any

import numpy as np
import pytest
import torch

from bertune.batches.dataset import Dataset, as_dataset
from bertune.errors import ConfigError, DataError
from bertune.tokenization.encode_texts import EncodedExamples, pad

ENCODED = EncodedExamples(
    token_ids=np.array([2, 9, 3, 2, 8, 3, 7, 3], np.int32),
    offsets=np.array([0, 3, 8]),
    first_lengths=np.array([3, 3], np.int32),
    truncated=np.zeros(2, bool),
    max_length=8,
)


def test_padded_arrays_become_the_examples_they_were_made_of() -> None:
    back = as_dataset(pad(ENCODED)).encoded
    assert back.token_ids.tolist() == ENCODED.token_ids.tolist()
    assert back.offsets.tolist() == ENCODED.offsets.tolist()
    assert back.first_lengths.tolist() == ENCODED.first_lengths.tolist()


def test_torch_tensors_are_taken_too() -> None:
    arrays = {name: torch.from_numpy(array) for name, array in pad(ENCODED).items()}
    assert as_dataset(arrays).encoded.token_ids.tolist() == ENCODED.token_ids.tolist()


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        ([1, 0], np.int64),
        (np.array([1, 0], np.uint8), np.int64),
        ([True, False], np.int64),
        ([0.5, 2], np.float32),
        (torch.tensor([1, 0]), np.int64),
    ],
)
def test_whole_targets_become_class_ids_and_others_values(targets: Any, kind: Any) -> None:
    dataset = as_dataset((ENCODED, targets))
    assert dataset.targets is not None
    assert dataset.targets.dtype == kind
    assert len(dataset) == 2


def test_a_dataset_stays_itself() -> None:
    dataset = Dataset(ENCODED)
    assert as_dataset(dataset) is dataset


def test_more_targets_than_examples_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 targets for 2 examples"):
        as_dataset((ENCODED, [0, 1, 0]))


@pytest.mark.parametrize("targets", [["yes", "no"], [[1.0], [0.0]], 3, [object(), object()], [[[1]], [[0]]]])
def test_targets_that_are_not_one_number_each_are_refused(targets: Any) -> None:
    with pytest.raises(DataError, match="expected one number an example"):
        as_dataset((ENCODED, targets))


def test_rows_of_0_and_1_are_several_labels_an_example() -> None:
    targets = as_dataset((ENCODED, np.array([[True, False, True], [False, False, False]]))).targets
    assert targets is not None
    assert (targets.dtype, targets.tolist()) == (np.int64, [[1, 0, 1], [0, 0, 0]])
    with pytest.raises(DataError, match="target 1 holds 2, expected 0 or 1 for each label"):
        as_dataset((ENCODED, [[1, 0], [0, 2]]))


def test_a_target_that_is_not_a_number_is_named() -> None:
    with pytest.raises(DataError, match="target 1 is not a finite number"):
        as_dataset((ENCODED, [0.5, float("nan")]))


def test_three_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 3 parts"):
        as_dataset((ENCODED, [0, 1], "extra"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("input_mask", [1, 0, 1, 1, 1]),
        ("input_mask", [0, 0, 0, 0, 0]),
        ("input_type_ids", [0, 1, 0, 1, 1]),
        ("input_type_ids", [0, 0, 0, 2, 2]),
    ],
)
def test_arrays_that_bert_encode_cannot_make_are_refused(name: str, row: list[int]) -> None:
    arrays = pad(ENCODED)
    arrays[name][1] = row
    with pytest.raises(DataError, match="row 1: expected mask"):
        as_dataset(arrays)


def test_ids_beyond_32_bits_are_refused_not_wrapped() -> None:
    arrays = {name: array.astype(np.int64) for name, array in pad(ENCODED).items()}
    arrays["input_word_ids"][0, 1] = 1 << 32
    with pytest.raises(DataError, match="4294967296"):
        as_dataset(arrays)


def test_a_missing_array_is_named() -> None:
    arrays = pad(ENCODED)
    del arrays["input_mask"]
    with pytest.raises(ConfigError, match="lack input_mask"):
        as_dataset(arrays)
