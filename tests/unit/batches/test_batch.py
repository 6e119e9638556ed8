from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertune.batches.batch import pack, pack_padded
from bertune.errors import ConfigError, DataError
from bertune.tokenization.encode_texts import EncodedExamples, pad


def encoded_examples(lengths: list[int], first_lengths: list[int]) -> EncodedExamples:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return EncodedExamples(
        token_ids=(np.arange(offsets[-1]) + 1).astype(np.uint16),
        offsets=offsets,
        first_lengths=np.array(first_lengths, np.int32),
        truncated=np.zeros(len(lengths), bool),
        max_length=16,
    )


def padded(rows: list[list[int]], kind: Any = np.int32) -> dict[str, Any]:
    """Ids as given; the mask hides the zeros."""
    ids = np.array(rows, kind)
    return {"input_word_ids": ids, "input_mask": (ids != 0).astype(kind), "input_type_ids": np.zeros_like(ids)}


def test_picked_examples_lie_one_after_another_in_the_order_asked_for() -> None:
    batch = pack(encoded_examples([3, 2, 4], [2, 2, 1]), np.array([2, 0]), np.array([7, 8, 9]))
    assert batch.token_ids.tolist() == [6, 7, 8, 9, 1, 2, 3]
    assert batch.position_ids.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.token_type_ids.tolist() == [0, 1, 1, 1, 0, 0, 1]
    assert batch.layout.cu_seqlens.tolist() == [0, 4, 7]
    assert batch.targets is not None
    assert batch.targets.tolist() == [9, 7]
    assert len(batch) == 2


def test_packing_an_encoded_set_equals_packing_its_padded_arrays() -> None:
    encoded = encoded_examples([3, 1, 5], [2, 1, 5])
    direct, (from_padded, shape) = pack(encoded), pack_padded(pad(encoded))
    for name in ("token_ids", "token_type_ids", "position_ids"):
        assert torch.equal(getattr(direct, name), getattr(from_padded, name)), name
    assert direct.layout.lengths.tolist() == from_padded.layout.lengths.tolist()
    rectangle = shape.unpack(direct.token_ids[:, None].float())[..., 0]
    assert torch.equal(rectangle.long(), torch.from_numpy(pad(encoded)["input_word_ids"]).long())


def test_arrays_of_a_mapped_file_pack_without_a_warning(tmp_path: Path) -> None:
    encoded = encoded_examples([3, 2], [2, 2])
    np.save(tmp_path / "targets.npy", np.array([1, 0]))
    targets = np.load(tmp_path / "targets.npy", mmap_mode="r")
    read_only = encoded.token_ids.copy()
    read_only.flags.writeable = False
    mapped = EncodedExamples(read_only, encoded.offsets, encoded.first_lengths, encoded.truncated, 16)
    batch = pack(mapped, targets=targets)
    assert batch.targets is not None
    assert batch.targets.tolist() == [1, 0]
    arrays = pad(mapped)
    for array in arrays.values():
        array.flags.writeable = False
    assert pack_padded(arrays)[0].token_ids.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, lambda array: array.tolist()])
def test_padded_arrays_may_be_numpy_torch_or_lists(make: Any) -> None:
    batch, _ = pack_padded({name: make(array) for name, array in padded([[5, 6, 0], [7, 0, 0]]).items()})
    assert batch.token_ids.tolist() == [5, 6, 7]


@pytest.mark.parametrize("kind", [np.int64, np.int16, np.uint8, np.uint16, np.uint32])
def test_every_integer_type_packs(kind: Any) -> None:
    batch, _ = pack_padded(padded([[5, 6, 0], [7, 0, 0]], kind))
    assert batch.token_ids.dtype == torch.int64
    assert batch.token_ids.tolist() == [5, 6, 7]


def test_a_mask_with_holes_keeps_the_positions() -> None:
    arrays = padded([[5, 6, 7, 8]]) | {"input_mask": np.array([[1, 0, 0, 1]])}
    batch, shape = pack_padded(arrays)
    assert batch.token_ids.tolist() == [5, 8]
    assert batch.position_ids.tolist() == [0, 3]
    assert shape.unpack(torch.tensor([[1.0], [2.0]]))[0, :, 0].tolist() == [1, 0, 0, 2]


def test_a_row_without_a_token_is_refused_by_number() -> None:
    with pytest.raises(DataError, match="row 1 of input_mask is all zero"):
        pack_padded(padded([[5, 6], [0, 0], [7, 0]]))


@pytest.mark.parametrize("value", [2, -1, -10000])
def test_a_mask_of_other_numbers_than_0_and_1_is_refused(value: int) -> None:
    arrays = padded([[5, 6]]) | {"input_mask": np.array([[1, value]])}
    with pytest.raises(DataError, match="other numbers than 0"):
        pack_padded(arrays)


def test_missing_arrays_are_named() -> None:
    with pytest.raises(ConfigError, match="lack input_mask, input_type_ids"):
        pack_padded({"input_word_ids": np.ones((1, 2))})


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 2, 1)])
def test_arrays_of_different_shapes_are_refused(shape: tuple[int, ...]) -> None:
    arrays = {name: array.tolist() for name, array in padded([[5, 6]]).items()}
    with pytest.raises(ConfigError, match="must have one shape"):
        pack_padded(arrays | {"input_type_ids": np.zeros(shape, np.int32)})


@pytest.mark.parametrize("name", ["input_word_ids", "input_type_ids"])
def test_ids_that_are_not_whole_numbers_are_refused(name: str) -> None:
    arrays = padded([[5, 6]])
    with pytest.raises(ConfigError, match=f"{name} is torch.float32"):
        pack_padded(arrays | {name: arrays[name].astype(np.float32)})


def test_no_row_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="at least one sequence"):
        pack_padded({name: np.zeros((0, 4), np.int64) for name in padded([[1]])})
