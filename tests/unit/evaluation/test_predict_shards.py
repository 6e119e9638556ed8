"""Predictions of any number of rows in Parquet files: the same whoever makes them, each row once and in its place."""

import csv
import gzip
import json
import os
import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from bertune.checkpoints.model_folder import LoadedModel, load, save
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Columns, Task
from bertune.data.read_options import ReadOptions
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, DataError
from bertune.evaluation.predict_shards import PredictionSettings, WhoPredicts, predict_shards
from bertune.evaluation.predict_texts import predict
from bertune.evaluation.prediction_manifest import (
    MANIFEST_NAME,
    ROWS_PER_BLOCK,
    PredictionManifest,
    read_prediction_manifest,
)
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.shards.shared_manifest import missing_of
from bertune.shards.shared_parts import PARTS_NAME
from bertune.system.shard_number import ShardNumber
from bertune.tokenization.tokenizer import BertTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
ROWS = 2 * ROWS_PER_BLOCK + 70


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), ModelSignature(("no", "yes"), is_pair=False, max_length=16))


def save_model(folder: Path, signature: ModelSignature) -> Path:
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    sizes = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.5,
    )
    classifier, _ = classifier_model(sizes, signature.num_outputs, seed=1)
    return save(classifier.eval(), folder / "m", tokenizer=BertTokenizer(folder / "vocab.txt"), signature=signature)


@pytest.fixture
def texts() -> list[str]:
    source = random.Random(5)
    return [" ".join(source.choices("abcdefgh", k=source.randint(1, 12))) for _ in range(ROWS)]


@pytest.fixture
def tables(tmp_path: Path, texts: list[str]) -> Path:
    """Three files that were written long ago, the second one packed."""
    places = [0, 100, 430, ROWS]
    for number, (start, stop) in enumerate(pairwise(places)):
        path = tmp_path / f"part-{number}.csv"
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "text"])
            writer.writerows([f"r{row}", texts[row]] for row in range(start, stop))
    (tmp_path / "part-1.csv.gz").write_bytes(gzip.compress((tmp_path / "part-1.csv").read_bytes()))
    (tmp_path / "part-1.csv").unlink()
    for path in tmp_path.glob("part-*"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    return tmp_path / "part-*.csv*"


def source_of(tables: Path, **reading: Any) -> RowSource:
    columns = Columns("text", None, None)
    task = Task.for_columns(columns)
    split = find_splits(tables, task)["train"]
    return RowSource(split, task, columns, ReadOptions(**reading), require_label=False)


def run(model: Path, source: RowSource, out: Path, who: WhoPredicts | None = None, **settings: Any) -> Any:
    signature = ModelSignature.read(model)
    settings = {"shards": 3} | settings
    return predict_shards(model, signature, source, out, PredictionSettings(**settings), who or WhoPredicts())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != PARTS_NAME}


def table_of(folder: Path) -> pyarrow.Table:
    manifest = read_prediction_manifest(folder)
    return pyarrow.concat_tables(pyarrow.parquet.read_table(folder / shard.name) for shard in manifest.shards)


def test_every_row_is_predicted_once_in_its_order_as_predict_does(
    tmp_path: Path, model_folder: Path, tables: Path, texts: list[str]
) -> None:
    manifest = run(model_folder, source_of(tables), tmp_path / "out")
    table = table_of(tmp_path / "out")
    assert table.schema.names == ["file", "row", "predicted_label", "probability", "probability_no", "probability_yes"]
    places = [(Path(row["file"]).name, row["row"]) for row in table.select(["file", "row"]).to_pylist()]
    assert places == [
        *(("part-0.csv", row) for row in range(1, 101)),
        *(("part-1.csv.gz", row) for row in range(1, 331)),
        *(("part-2.csv", row) for row in range(1, ROWS - 429)),
    ]
    expected = predict(load(model_folder), texts)
    np.testing.assert_allclose(table["probability_yes"].to_numpy(), expected.probabilities[:, 1], atol=1e-6)
    labels = table["predicted_label"].to_pylist()
    assert set(labels) == {"no", "yes"}
    assert sum(shard.counts["yes"] for shard in manifest.shards) == labels.count("yes")
    assert [shard.rows for shard in manifest.shards] == [256, 256, 70]


@pytest.mark.parametrize("count", [2, 3])
def test_the_union_is_what_one_process_writes(tmp_path: Path, model_folder: Path, tables: Path, count: int) -> None:
    run(model_folder, source_of(tables), tmp_path / "one")
    for number in random.Random(count).sample(range(count), count):
        run(model_folder, source_of(tables), tmp_path / "many", WhoPredicts(shard=ShardNumber(number, count)))
    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_a_rows_numbers_do_not_depend_on_how_many_files_there_are(
    tmp_path: Path, model_folder: Path, tables: Path
) -> None:
    """To the last bit; and a shard without a block of its own is an empty table of the same columns."""
    found = []
    for shards in (1, 2, 5):
        manifest = run(model_folder, source_of(tables), tmp_path / f"{shards}", shards=shards)
        assert len(manifest.shards) == shards
        found.append(table_of(tmp_path / f"{shards}").combine_chunks())
    assert found[0].num_rows == ROWS
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def test_a_finished_file_is_kept_and_a_damaged_one_made_again(
    tmp_path: Path, model_folder: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(model_folder, source_of(tables), out)
    before = content(out)
    chunks = RowSource.chunks
    monkeypatch.setattr(RowSource, "chunks", lambda *_: pytest.fail("read again"))
    assert len(run(model_folder, source_of(tables), out).kept) == 3
    monkeypatch.setattr(RowSource, "chunks", chunks)
    damaged = out / "predictions-00001-of-00003.parquet"
    damaged.write_bytes(before[damaged.name][:-1] + b"?")
    (out / "predictions-00002-of-00003.parquet").unlink()
    manifest = run(model_folder, source_of(tables), out, WhoPredicts(shard=ShardNumber(1, 3)))
    assert damaged.read_bytes() == before[damaged.name]
    assert manifest.kept == ()
    run(model_folder, source_of(tables), out)
    assert content(out) == before


def test_a_run_that_is_stopped_loses_no_finished_file(tmp_path: Path, model_folder: Path, tables: Path) -> None:
    done: list[int] = []

    def stop(rows: int) -> None:
        done.append(rows)
        if sum(done) > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model_folder, source_of(tables), tmp_path / "out", WhoPredicts(on_rows=stop))
    assert sorted(content(tmp_path / "out")) == [MANIFEST_NAME, "predictions-00000-of-00003.parquet"]
    assert missing_of(read_prediction_manifest(tmp_path / "out")) == (1, 2)
    assert run(model_folder, source_of(tables), tmp_path / "out").kept == ("predictions-00000-of-00003.parquet",)
    run(model_folder, source_of(tables), tmp_path / "one")
    assert content(tmp_path / "out") == content(tmp_path / "one")


def test_keys_keep_their_types_and_rows_that_cannot_be_read_their_places(tmp_path: Path, model_folder: Path) -> None:
    kept = {"id": pyarrow.array([7, None, 9], pyarrow.int32()), "at": pyarrow.array([1, 2, 3], pyarrow.timestamp("ns"))}
    table = pyarrow.table(kept | {"text": ["a b", None, "c"], "predicted_label": ["x", "y", "z"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [{"id": 7, "text": "a b"}, {"id": "x", "text": 5}, {"text": "c"}])
    )
    source = source_of(tmp_path / "t.parquet", on_bad_row="skip")
    run(model_folder, source, tmp_path / "a", shards=1, key=("id", "at", "predicted_label"))
    found = table_of(tmp_path / "a")
    assert found.schema.field("id").type == pyarrow.int32()
    assert found.select(["id", "at", "predicted_label"]).equals(table.select(["id", "at", "predicted_label"]))
    given = found["bertune_predicted_label"].to_pylist()
    assert given[1] is None
    assert {given[0], given[2]} <= {"no", "yes"}
    assert "text" in found["not_read"][1].as_py()
    run(model_folder, source_of(tmp_path / "t.jsonl", on_bad_row="skip"), tmp_path / "b", shards=1, key=("id",))
    assert table_of(tmp_path / "b")["id"].to_pylist()[0] == "7"
    assert table_of(tmp_path / "b")["probability"].to_pylist()[::2] == found["probability"].to_pylist()[::2]
    with pytest.raises(ConfigError, match="has no column 'nope'"):
        run(model_folder, source, tmp_path / "c", shards=1, key=("nope",))


@pytest.mark.parametrize("kind", [TaskKind.MULTI_LABEL, TaskKind.REGRESSION])
def test_other_kinds_of_task_have_their_own_columns(tmp_path: Path, tables: Path, kind: TaskKind) -> None:
    labels = ("x", "y", "z") if kind.has_labels else ()
    folder = save_model(tmp_path, ModelSignature(labels, is_pair=False, max_length=16, kind=kind))
    run(folder, source_of(tables), tmp_path / "out")
    table = table_of(tmp_path / "out")
    if kind is TaskKind.REGRESSION:
        assert table.schema.names == ["file", "row", "predicted_value"]
        assert table.schema.field("predicted_value").type == pyarrow.float64()
    else:
        assert table.schema.field("predicted_labels").type == pyarrow.list_(pyarrow.string())
        assert table.schema.names[-3:] == ["probability_x", "probability_y", "probability_z"]


def test_other_settings_rows_or_models_in_the_same_folder_are_refused(
    tmp_path: Path, model_folder: Path, tables: Path
) -> None:
    out = tmp_path / "out"
    run(model_folder, source_of(tables), out)
    before = content(out)
    for settings, said in (
        ({"shards": 2}, "another --shards: 3 there, 2 now"),
        ({"key": ("id",)}, "another --key: none there, id now"),
        ({"top_k": 1}, "another --top-k: none there, 1 now"),
        ({"precision": "bf16"}, "another --precision: fp32 there, bf16 now"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(model_folder, source_of(tables), out, **settings)
    with pytest.raises(ConfigError, match="of other rows, or of rows that are read otherwise"):
        run(model_folder, source_of(tables, on_bad_row="skip"), out)
    with pytest.raises(ConfigError, match="so --top-k is 2 at most, not 3"):
        run(model_folder, source_of(tables), tmp_path / "new", top_k=3)
    with pytest.raises(ConfigError, match="--shard 0/4 of 3 files"):
        run(model_folder, source_of(tables), tmp_path / "new", WhoPredicts(shard=ShardNumber(0, 4)))
    other = save_model(tmp_path, ModelSignature(("up", "yes"), is_pair=False, max_length=16))
    with pytest.raises(ConfigError, match="holds predictions by another model"):
        run(other, source_of(tables), out)
    with pytest.raises(ConfigError, match="holds something else: m, out, part-0"):
        run(model_folder, source_of(tables), tables.parent)
    (tmp_path / "encoded").mkdir()
    (tmp_path / "encoded" / MANIFEST_NAME).write_text('{"version": "bertune-reencoded-1"}')
    with pytest.raises(ConfigError, match=r"holds something else, of another manifest\.json"):
        run(model_folder, source_of(tables), tmp_path / "encoded")
    assert content(out) == before
    assert not (tmp_path / "new").exists()


def test_a_source_that_changes_is_noticed_before_a_file_has_its_name(
    tmp_path: Path, model_folder: Path, tables: Path
) -> None:
    source = source_of(tables)

    def change(_: int) -> None:
        source.split.paths[0].write_text("id,text\nr,a\n")

    with pytest.raises(DataError, match=r"part-0\.csv changed while it was read"):
        run(model_folder, source, tmp_path / "out", WhoPredicts(on_rows=change))
    assert sorted(content(tmp_path / "out")) == [MANIFEST_NAME]


def test_a_damaged_manifest_is_refused(tmp_path: Path, model_folder: Path, tables: Path) -> None:
    run(model_folder, source_of(tables), tmp_path / "out")
    path = tmp_path / "out" / MANIFEST_NAME
    path.write_text(path.read_text().replace('"rows": 256', '"rows": 257', 1))
    with pytest.raises(DataError, match="its digest differs"):
        PredictionManifest.written_in(tmp_path / "out")
    with pytest.raises(DataError, match="its digest differs"):
        run(model_folder, source_of(tables), tmp_path / "out")


def test_a_model_of_pairs_is_told_apart(tmp_path: Path, tables: Path) -> None:
    folder = save_model(tmp_path, ModelSignature(("no", "yes"), is_pair=True, max_length=16))
    with pytest.raises(ConfigError, match="pair"):
        run(folder, source_of(tables), tmp_path / "out")
    assert isinstance(load(folder), LoadedModel)
