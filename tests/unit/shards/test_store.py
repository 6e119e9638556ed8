from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertune.errors import CheckpointError, DataError, ResourceError
from bertune.shards.store import FORMAT, _content_digest, load_store, save_store, store_key
from bertune.tokenization.encode_texts import EncodedExamples, encode_examples
from bertune.tokenization.tokenizer import BertTokenizer


@pytest.fixture
def encoded(tokenizer: BertTokenizer) -> EncodedExamples:
    return encode_examples(["a b c", "ab", ""], ["c", "a b c a b", "b"], tokenizer, 7)


@pytest.mark.parametrize("labels", [None, np.array([1, 0, 1]), np.array([0.5, 1.0, 5.0], np.float32)])
def test_a_store_comes_back_as_it_was(tmp_path: Path, encoded: EncodedExamples, labels: np.ndarray | None) -> None:
    save_store(encoded, labels, tmp_path / "new" / "train.store", metadata={"key": "k", "tokenizer_digest": "t"})
    store = load_store(tmp_path / "new" / "train.store", key="k")
    for name in ("token_ids", "offsets", "first_lengths", "truncated"):
        before, after = getattr(encoded, name), getattr(store.encoded, name)
        assert (after.dtype, after.tolist()) == (before.dtype, before.tolist())
    assert store.encoded.max_length == 7
    assert store.metadata["tokenizer_digest"] == "t"
    assert (None if store.labels is None else store.labels.tolist()) == (None if labels is None else labels.tolist())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["train.store"]


def test_a_store_is_read_where_it_lies(tmp_path: Path, encoded: EncodedExamples) -> None:
    save_store(encoded, None, tmp_path / "s", metadata={})
    loaded = load_store(tmp_path / "s").encoded
    assert isinstance(loaded.token_ids, np.memmap)
    assert not loaded.token_ids.flags.writeable
    assert loaded.take([1]).token_ids.tolist() == encoded.take([1]).token_ids.tolist()


def test_an_empty_store_comes_back_empty(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    save_store(encode_examples([], None, tokenizer, 7), None, tmp_path / "s", metadata={})
    assert len(load_store(tmp_path / "s").encoded) == 0


def test_every_changed_or_missing_byte_is_noticed(tmp_path: Path, encoded: EncodedExamples) -> None:
    path = tmp_path / "s"
    save_store(encoded, np.array([1, 0, 1]), path, metadata={"key": "k"})
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises((CheckpointError, DataError)):
            load_store(path, key="k")
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_store(path)


def test_a_missing_file_and_another_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a readable store"):
        load_store(tmp_path / "gone")
    save_file({"weight": np.zeros(2, np.float32)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="not a store of this version"):
        load_store(tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("labels", np.zeros((3, 2))),
        ("labels", np.zeros(2)),
        ("more", np.zeros(3)),
        ("truncated", np.zeros((3, 1), bool)),
    ],
)
def test_arrays_that_no_store_has_are_refused_with_whatever_digest(
    tmp_path: Path, encoded: EncodedExamples, name: str, array: np.ndarray
) -> None:
    arrays = {each: getattr(encoded, each) for each in ("token_ids", "offsets", "first_lengths", "truncated")}
    arrays[name] = array
    metadata = {"format": FORMAT, "max_length": "7", "content_digest": _content_digest(arrays, 7)}
    save_file(arrays, tmp_path / "s", metadata)
    with pytest.raises(CheckpointError, match=r"other arrays than a store|2 labels for 3 examples"):
        load_store(tmp_path / "s")


def test_a_store_of_other_texts_is_refused(tmp_path: Path, encoded: EncodedExamples) -> None:
    save_store(encoded, None, tmp_path / "s", metadata={"key": "k"})
    with pytest.raises(DataError, match="made from other texts"):
        load_store(tmp_path / "s", key="another")


def test_labels_and_metadata_must_fit(tmp_path: Path, encoded: EncodedExamples) -> None:
    with pytest.raises(DataError, match="2 labels for 3 examples"):
        save_store(encoded, np.array([1, 0]), tmp_path / "s", metadata={})
    with pytest.raises(DataError, match="metadata may not set max_length"):
        save_store(encoded, None, tmp_path / "s", metadata={"max_length": "9"})


def test_a_failed_write_leaves_the_old_store(
    tmp_path: Path, encoded: EncodedExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    save_store(encoded, None, path, metadata={"key": "old"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bertune.shards.store.save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        save_store(encoded, None, path, metadata={"key": "new"})
    assert load_store(path).metadata["key"] == "old"
    assert list(tmp_path.glob(".s.*")) == []


def test_the_key_depends_on_all_that_decides_the_content() -> None:
    def key(a=("x", "y"), b=None, digest="t", code="c", max_length=8) -> str:
        return store_key(a, b, tokenizer_digest=digest, code_digest=code, max_length=max_length)

    others = [
        key(a=("xy",)),
        key(a=("x", "y", "")),
        key(a=("y", "x")),
        key(a=("x",), b=("y",)),
        key(b=()),
        key(digest="u"),
        key(code="d"),
        key(max_length=9),
        key(a=("x", "\ud800")),
    ]
    assert len({key(), *others}) == len(others) + 1
    assert key() == key()
