"""Folders prepared by tensorflow-datasets (tests/golden/make_tfrecords.py) as data."""

import json
import shutil
from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.formats.record_file import read_records_of
from bertune.data.formats.tf_example import parse_example
from bertune.data.splits import find_splits, glue_task, read_split, stream_split
from bertune.errors import ConfigError, DataError

PREPARED = Path(__file__).parents[2] / "golden" / "tfrecords" / "tfds"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PREPARED / "glue" / "mrpc" / "2.0.0", tmp_path / "mrpc" / "2.0.0"))


@pytest.mark.parametrize("where", ["glue/mrpc/2.0.0", "glue/mrpc", "glue", "."])
def test_a_task_is_found_from_the_version_up_to_the_root(where: str) -> None:
    found = find_splits(PREPARED / where, glue_task("mrpc"))
    assert [(name, len(split.paths)) for name, split in found.items()] == [("train", 2), ("validation", 1)]


def test_rows_labels_and_order_are_those_of_the_records(folder: Path) -> None:
    examples = read_split(find_splits(folder, glue_task("mrpc"))["train"])
    shards = sorted(folder.glob("glue-train*"))
    records = [parse_example(content) for path in shards for _, content in read_records_of(path)]
    assert len(examples) == 48
    assert examples.texts_a == [record["sentence1"][0].decode() for record in records]
    assert examples.texts_b == [record["sentence2"][0].decode() for record in records]
    words = ["not_equivalent", "equivalent"]
    assert examples.labels == [words[record["label"][0]] for record in records]
    assert examples.where(30) == f"{shards[1]}:1"


def test_columns_of_the_users_own_read_the_same(folder: Path) -> None:
    split = find_splits(folder)["validation"]
    examples = read_split(split, columns=Columns("sentence1", None, "label"))
    assert examples.texts_b is None
    assert set(examples.labels or ()) == {"not_equivalent", "equivalent"}


def test_a_regression_keeps_the_digits_of_its_targets() -> None:
    examples = read_split(find_splits(PREPARED, glue_task("stsb"))["train"])
    assert len(examples) == 24
    assert all(len(word) <= 5 for word in examples.labels or ())
    assert 0 <= examples.targets().min() < examples.targets().max() <= 5


def test_a_stream_gives_the_same_rows_in_chunks(folder: Path) -> None:
    split = find_splits(folder, glue_task("mrpc"))["train"]
    chunks = list(stream_split(split, rows_per_chunk=7))
    whole = read_split(split)
    assert [text for chunk in chunks for text in chunk.texts_a] == whole.texts_a
    assert [word for chunk in chunks for word in chunk.labels or ()] == whole.labels
    assert max(map(len, chunks)) == 7
    assert sum(chunk.report.rows_in for chunk in chunks) == 48


def test_the_highest_version_is_taken(folder: Path) -> None:
    newer = Path(shutil.copytree(folder, folder.parent / "10.0.0"))
    assert find_splits(folder.parent)["train"].paths[0].parent == newer


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "glue-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(DataError, match=r"glue-train\.tfrecord-00001-of-00002 is missing"):
        find_splits(folder)


def test_a_shard_cut_between_records_is_refused(folder: Path) -> None:
    path = folder / "glue-validation.tfrecord-00000-of-00001"
    last = [offset for offset, _ in read_records_of(path)][-1]
    path.write_bytes(path.read_bytes()[:last])
    with pytest.raises(DataError, match=r"15 records, but dataset_info\.json says 16"):
        read_split(find_splits(folder, glue_task("mrpc"))["validation"])


def test_a_damaged_record_is_named_by_file_and_offset(folder: Path) -> None:
    path = folder / "glue-validation.tfrecord-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[-30] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.name}: corrupted record at \d+"):
        read_split(find_splits(folder, glue_task("mrpc"))["validation"])


def test_another_file_format_is_refused(folder: Path) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "array_record"}))
    with pytest.raises(DataError, match="the data are in the format 'array_record', expected 'tfrecord'"):
        find_splits(folder)


def test_a_text_column_must_hold_text(folder: Path) -> None:
    with pytest.raises(ConfigError, match="feature 'idx' holds no text"):
        read_split(find_splits(folder)["train"], columns=Columns("idx", None, "label"))


def test_a_broken_description_is_refused(folder: Path) -> None:
    (folder / "features.json").write_text("{}")
    with pytest.raises(DataError, match=r"features\.json is not as expected"):
        find_splits(folder)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "../x"])
def test_a_name_of_a_split_that_is_no_file_name_is_refused(folder: Path, name: str) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["name"] = name
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="is not as expected"):
        find_splits(folder)
