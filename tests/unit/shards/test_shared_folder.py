"""Several processes that make one folder: its files are those of one process, and nothing is made twice or lost."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertune.data.examples import Columns, Task
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.errors import ConfigError, DataError
from bertune.shards.manifest import MANIFEST_NAME, read_manifest
from bertune.shards.read_records import read_records
from bertune.shards.reencode import ReencodeProgress, reencode
from bertune.shards.shard_file import partial_name
from bertune.shards.shared_manifest import missing_of
from bertune.shards.shared_parts import PARTS_NAME
from bertune.tokenization.tokenizer import BertTokenizer

VOCABULARY = Path(__file__).parents[2] / "golden" / "small_cased_vocab.txt"


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCABULARY)


@pytest.fixture
def source(tmp_path: Path) -> RowSource:
    """Three files of 60, 61 and 62 rows, which were written long ago."""
    words = random.Random(3)
    for number in range(3):
        rows = [
            f"{' '.join(words.choices(['the', 'run', 'aa', 'café'], k=words.randint(1, 9)))},{words.choice('abc')}"
            for _ in range(60 + number)
        ]
        path = tmp_path / f"part-{number}.csv"
        path.write_text("\n".join(["text,label", *rows]) + "\n")
        os.utime(path, (time.time() - 60, time.time() - 60))
    task = Task.for_columns(Columns("text", None, "label"))
    return RowSource(find_splits(tmp_path / "part-*.csv", task)["train"], task, task.columns)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != PARTS_NAME}


@pytest.mark.parametrize("format", ["tfrecord", "store"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_union_is_what_one_process_writes(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer, format: Any, count: int
) -> None:
    settings = {"format": format, "max_length": 16, "shards": 5, "processes": 1}
    reencode(source, tokenizer, tmp_path / "one", **settings)
    numbers = random.Random(count).sample(range(count), count)
    for number in numbers:
        manifest = reencode(source, tokenizer, tmp_path / "many", shard=f"{number}/{count}", **settings)
        assert manifest.complete == (number == numbers[-1])
    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_a_row_is_encoded_the_same_however_many_files_there_are(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer
) -> None:
    for count in (1, 3):
        for number in range(count):
            reencode(source, tokenizer, tmp_path / f"{count}", shards=count, shard=f"{number}/{count}")
    one, three = read_records(tmp_path / "1"), read_records(tmp_path / "3")
    for name in ("token_ids", "offsets", "first_lengths"):
        np.testing.assert_array_equal(getattr(one.encoded, name), getattr(three.encoded, name))
    np.testing.assert_array_equal(one.targets, three.targets)
    np.testing.assert_array_equal(one.example_ids, three.example_ids)


def test_each_file_is_counted_by_one_process_and_a_finished_shard_reads_none(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    chunks = RowSource.chunks

    def counted(self: RowSource, rows: int) -> Any:
        read.append(self.split.paths[0].name)
        return chunks(self, rows)

    monkeypatch.setattr(RowSource, "chunks", counted)

    def run(number: int) -> tuple[str, ...]:
        read.clear()
        return reencode(source, tokenizer, tmp_path / "out", shards=3, shard=f"{number}/3", processes=1).kept

    names = [f"part-{number}.csv" for number in range(3)]
    assert run(2) == ()
    # Rows 122 to 183 begin in the last file: the others were only counted.
    assert read == [*names, names[2]]
    assert run(0) == ()
    assert read == [names[0], names[1]]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run(0) == ("records-00000-of-00003.tfrecord",)
    assert read == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if not path.is_dir()} == {
        path: at for path, at in before.items() if not path.is_dir()
    }
    damaged = tmp_path / "out" / "records-00000-of-00003.tfrecord"
    original = damaged.read_bytes()
    damaged.write_bytes(original[:-1] + b"\x00")
    assert run(0) == ()
    assert damaged.read_bytes() == original


def test_a_second_process_of_the_same_number_is_refused_and_one_of_another_is_not(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer
) -> None:
    told: list[str] = []

    def others(progress: ReencodeProgress) -> None:
        if told or progress.stage == "reading":
            return
        with pytest.raises(ConfigError, match="another process is making shard 0/2 of") as raised:
            reencode(source, tokenizer, tmp_path / "out", shards=2, shard="0/2")
        told.append(raised.value.message)
        with pytest.raises(ConfigError, match="another run is writing into"):
            reencode(source, tokenizer, tmp_path / "out", shards=2)
        assert len(reencode(source, tokenizer, tmp_path / "out", shards=2, shard="1/2").shards) == 1

    manifest = reencode(source, tokenizer, tmp_path / "out", shards=2, shard="0/2", processes=1, on_progress=others)
    assert told
    assert manifest.complete
    assert read_manifest(tmp_path / "out") == manifest
    assert not list((tmp_path / "out").glob(".lock-*"))


def test_shards_that_no_manifest_lists_yet_are_found(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer
) -> None:
    """As where a process is killed between telling of its shard and writing the manifest, or writes an older one."""
    out = tmp_path / "out"
    reencode(source, tokenizer, out, shards=2, shard="0/2")
    older = (out / MANIFEST_NAME).read_bytes()
    complete = reencode(source, tokenizer, out, shards=2, shard="1/2")
    (out / MANIFEST_NAME).write_bytes(older)
    assert read_manifest(out) == complete
    assert len(read_records(out)) == 183
    part = out / PARTS_NAME / f"{complete.shards[1].name}.json"
    part.write_text(part.read_text().replace('"rows": ', '"rows": 1'))
    assert missing_of(read_manifest(out)) == (1,)
    with pytest.raises(DataError, match="1 of 2 shards are finished, missing are 1"):
        read_records(out)
    assert reencode(source, tokenizer, out, shards=2, processes=1).complete
    shutil.rmtree(out / PARTS_NAME)
    assert read_manifest(out) == complete


def test_a_source_that_changes_is_noticed_before_a_shard_has_its_name(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer
) -> None:
    path = source.split.paths[2]

    def change(progress: ReencodeProgress) -> None:
        if progress.stage == "encoding" and progress.rows == 61:
            path.write_text(path.read_text().replace("run", "aa"))

    with pytest.raises(DataError, match="changed while it was read"):
        reencode(source, tokenizer, tmp_path / "out", shards=3, shard="2/3", on_progress=change)
    assert content(tmp_path / "out") == {}


def test_what_a_killed_process_left_is_removed_and_what_another_machine_writes_is_not(
    tmp_path: Path, source: RowSource, tokenizer: BertTokenizer
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    name = "records-00000-of-00002.tfrecord"
    own = partial_name(out / name).name
    dead, foreign = own.rpartition("-")[0] + "-999999999", f".partial-{name}-elsewhere-17"
    for left in (dead, foreign):
        (out / left).write_bytes(b"half")
    reencode(source, tokenizer, out, shards=2, shard="0/2")
    assert sorted(path.name for path in out.glob(".partial*")) == [foreign]


def test_more_processes_than_files_are_refused(tmp_path: Path, source: RowSource, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ConfigError, match="--shard 0/4 of 2 files: a process without a file"):
        reencode(source, tokenizer, tmp_path / "out", shards=2, shard="0/4")
