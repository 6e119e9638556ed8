"""Records of `reencode` read by TensorFlow itself, and written by the original tool from the same folder.

Set BERTUNE_ORIGINAL_PYTHON to an interpreter with tf-models-official 2.20.0.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bertune.data.splits import find_splits, glue_task
from bertune.shards.read_records import read_records
from bertune.shards.reencode import reencode
from bertune.tokenization.tokenizer import BertTokenizer

GOLDEN = Path(__file__).parents[1] / "golden"

READ_WITH_TF_DATA = """
import json, sys
import tensorflow as tf
padded = tf.io.FixedLenFeature([int(sys.argv[2])], tf.int64)
spec = dict(input_ids=padded, input_mask=padded, segment_ids=padded)
spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in ("is_real_example", "example_id")}
spec["label_ids"] = tf.io.FixedLenFeature([], getattr(tf, sys.argv[3]))
files = tf.data.Dataset.list_files(sys.argv[1], shuffle=False)
rows = []
for record in tf.data.TFRecordDataset(files):
    parsed = tf.io.parse_single_example(record, spec)
    rows.append({name: value.numpy().tolist() for name, value in parsed.items()})
print(json.dumps(rows))
"""


@pytest.mark.peer
@pytest.mark.parametrize(("name", "kind"), [("mrpc", "int64"), ("stsb", "float32")])
def test_tf_data_parses_our_shards(tmp_path: Path, name: str, kind: str) -> None:
    python = os.environ.get("BERTUNE_ORIGINAL_PYTHON")
    if not python:
        pytest.skip("BERTUNE_ORIGINAL_PYTHON names no interpreter with tf-models-official")
    split = find_splits(GOLDEN / "tfrecords" / "tfds", glue_task(name))["train"]
    reencode(split, BertTokenizer(GOLDEN / "small_cased_vocab.txt"), tmp_path, max_length=64, shards=3)
    done = subprocess.run(
        [python, "-c", READ_WITH_TF_DATA, str(tmp_path / "*.tfrecord"), "64", kind],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""},
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    records = read_records(tmp_path)
    assert [row["example_id"] for row in rows] == list(range(len(records)))
    assert {row["is_real_example"] for row in rows} == {1}
    np.testing.assert_array_equal([row["label_ids"] for row in rows], records.targets)
    for row, start, end, first in zip(
        rows, records.encoded.offsets, records.encoded.offsets[1:], records.encoded.first_lengths, strict=False
    ):
        length = int(end - start)
        assert row["input_ids"] == [*records.encoded.token_ids[start:end].tolist(), *[0] * (64 - length)]
        assert row["input_mask"] == [1] * length + [0] * (64 - length)
        assert row["segment_ids"] == [0] * int(first) + [1] * (length - int(first)) + [0] * (64 - length)
