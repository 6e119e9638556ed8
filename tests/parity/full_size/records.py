"""Records of `reencode` beside those of `generate_tf_record_from_data_file`, both parsed by tf.data."""

import json
import os
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from inputs import GLUE, MAX_LENGTH, Table, pair_tables, uncased_vocabulary
from make_tfrecords import generate, prepare
from rows import Row, arrays_row

from bertune.data.splits import Split, find_splits, glue_task
from bertune.shards.reencode import reencode
from bertune.tokenization.tokenizer import BertTokenizer

SPLITS = ("train", "validation")


def compare(folder: Path) -> list[Row]:
    """Every feature of every record, train and validation."""
    name, tables = pair_tables()
    theirs = _original_records(folder, tables)
    found = []
    for split in SPLITS:
        manifest = reencode(
            _source(folder, split, tables[split]),
            BertTokenizer(uncased_vocabulary()),
            folder / f"ours-{split}",
            max_length=MAX_LENGTH,
            shards=3,
        )
        shards = [str(folder / f"ours-{split}" / shard.name) for shard in manifest.shards]
        found.append(
            arrays_row(
                f"records of {name}, {split}: every feature, read by tf.data",
                _parsed(shards),
                _parsed([str(theirs[split])]),
                0,
                f"{manifest.rows:,} records, ours in {len(shards)} shards",
            )
        )
    return found


def _source(folder: Path, split: str, rows: Table) -> Split:
    if (GLUE / "MRPC").is_dir():
        return find_splits(GLUE / "MRPC", glue_task("mrpc"))[split]
    path = folder / f"{split}.jsonl"
    keys = ("sentence1", "sentence2", "label")
    path.write_text("".join(json.dumps({key: row[key] for key in keys}) + "\n" for row in rows), "utf-8")
    return find_splits(path, glue_task("mrpc"))[split]


def _original_records(folder: Path, tables: dict[str, Table]) -> dict[str, Path]:
    """Prepares the data set as tensorflow-datasets does, then runs the original tool on it, unchanged."""
    data = folder / "tfds"
    os.environ["TFDS_DATA_DIR"] = str(data)
    from official.nlp.data import classifier_data_lib as lib

    prepare(data, "glue/mrpc", tables, shard_rows=10_000)
    load = lib.tfds.load
    # `try_gcs` would ask the network, and the folder is not the default one.
    lib.tfds.load = lambda *given, **named: load(*given, **(named | {"data_dir": str(data), "try_gcs": False}))
    generate(lib.MrpcProcessor(), folder, "original", uncased_vocabulary(), splits=" ".join(SPLITS))
    return {split: folder / f"original-{split}.tfrecord" for split in SPLITS}


def _parsed(files: list[str]) -> dict[str, Any]:
    padded, scalar = tf.io.FixedLenFeature([MAX_LENGTH], tf.int64), tf.io.FixedLenFeature([], tf.int64)
    spec = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), padded)
    spec |= dict.fromkeys(("label_ids", "is_real_example", "example_id"), scalar)
    records = tf.data.TFRecordDataset(files).batch(512).map(lambda batch: tf.io.parse_example(batch, spec))
    batches = list(records.as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in spec}
