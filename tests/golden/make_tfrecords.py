"""Writes tests/golden/tfrecords: records by the original tool, and folders prepared by tensorflow-datasets.

    TF_USE_LEGACY_KERAS=1 python3.11 tests/golden/make_tfrecords.py [--mrpc FOLDER --vocab vocab.txt]

Needs tf-models-official 2.20.0. The texts are made up here. Without --mrpc the digest of the real MRPC stays as it is.
The folders `tfds/glue/{mrpc,stsb}/2.0.0` are written by tensorflow-datasets' own writer for its own builders; the
processors of `official.nlp.data.classifier_data_lib` then read them unchanged and write the records.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "tfrecords"
MAX_LENGTH = 128
WORD_LIST = (
    "the of Run run running un unaffable Un café Café CAF nai naïve Über uber straße Istanbul İstanbul 日本 東京 "
    "我爱你 привет мир ёлка SEP mask aa aaaa bab abab xx99 é 'quoted' \"double\" , . ! ? - …"
)
WORDS = WORD_LIST.split()
NAMES = ["input_ids", "input_mask", "segment_ids", "label_ids", "is_real_example", "example_id"]


def made_up(rows: int, seed: int, *, target: bool) -> list[dict[str, object]]:
    source = random.Random(seed)
    table = []
    for row in range(rows):
        # Some are longer than the length together, in all ways in which a pair can be.
        longest = source.choice([4, 20, 90, 200])
        texts = [" ".join(source.choices(WORDS, k=source.randint(1, longest))) for _ in range(2)]
        label = round(source.uniform(0, 5), 3) if target else source.randint(0, 1)
        table.append({"sentence1": texts[0], "sentence2": texts[1], "label": label, "idx": row})
    return table


def prepare(data: Path, name: str, tables: dict[str, list[dict[str, object]]], shard_rows: int = 30) -> None:
    """Writes a folder as `download_and_prepare` would, of rows that are given; rows shuffled as there."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=str(data))
    Path(builder.data_dir).mkdir(parents=True)
    writer = tfds.core.SequentialWriter(builder.info, max_examples_per_shard=shard_rows)
    writer.initialize_splits(list(tables))
    for split, table in tables.items():
        rows = list(table)
        random.Random(7).shuffle(rows)
        writer.add_examples({split: rows})
    writer.close_all()
    name_as_prepared(Path(builder.data_dir))


def name_as_prepared(folder: Path) -> None:
    """Gives the shards the names of `download_and_prepare`: the sequential writer counts no shards in advance."""
    info = json.loads((folder / "dataset_info.json").read_text())
    for split in info["splits"]:
        total = len(split["shardLengths"])
        split["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        for number in range(total):
            shard = folder / f"{info['name']}-{split['name']}.tfrecord-{number:05d}"
            shard.rename(f"{shard}-of-{total:05d}")
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))


def generate(processor: object, out: Path, stem: str, vocabulary: Path, *, splits: str = "train validation") -> None:
    from official.nlp.data import classifier_data_lib
    from official.nlp.tools import tokenization

    paths = {split: str(out / f"{stem}-{split}.tfrecord") for split in splits.split()}
    classifier_data_lib.generate_tf_record_from_data_file(
        processor,
        None,
        tokenization.FullTokenizer(str(vocabulary), do_lower_case=True),
        train_data_output_path=paths.get("train"),
        eval_data_output_path=paths.get("validation"),
        test_data_output_path=paths.get("test"),
        max_seq_length=MAX_LENGTH,
    )


def digest(path: Path) -> dict[str, object]:
    """Hashes the features of all records: for each record and each name in order, the values as int64."""
    import numpy as np
    import tensorflow as tf

    hashed, rows = hashlib.sha256(), 0
    for record in tf.data.TFRecordDataset([str(path)]).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        assert sorted(example.features.feature) == sorted(NAMES)
        for name in NAMES:
            hashed.update(np.array(example.features.feature[name].int64_list.value, "<i8").tobytes())
        rows += 1
    return {"rows": rows, "sha256": hashed.hexdigest()}


def real_mrpc(folder: Path) -> dict[str, list[dict[str, object]]]:
    dev = {tuple(line.split("\t")) for line in (folder / "mrpc_dev_ids.tsv").read_text("utf-8-sig").splitlines()}
    tables: dict[str, list[dict[str, object]]] = {"train": [], "validation": [], "test": []}
    for split, name in (("train", "msr_paraphrase_train.txt"), ("test", "msr_paraphrase_test.txt")):
        for row, line in enumerate((folder / name).read_text("utf-8-sig").rstrip("\n").split("\n")[1:]):
            quality, first, second, text_a, text_b = line.rstrip("\r").split("\t")
            chosen = "validation" if split == "train" and (first, second) in dev else split
            tables[chosen].append({"sentence1": text_a, "sentence2": text_b, "label": int(quality), "idx": row})
    return tables


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mrpc", type=Path)
    parser.add_argument("--vocab", type=Path)
    options = parser.parse_args()
    provenance = TARGET / "provenance.json"
    known = json.loads(provenance.read_text()) if provenance.exists() else {}
    shutil.rmtree(TARGET, ignore_errors=True)
    data = TARGET / "tfds"
    os.environ["TFDS_DATA_DIR"] = str(data)

    from official.nlp.data import classifier_data_lib as lib

    prepare(data, "glue/mrpc", {"train": made_up(48, 1, target=False), "validation": made_up(16, 2, target=False)})
    prepare(data, "glue/stsb", {"train": made_up(24, 3, target=True), "validation": made_up(8, 4, target=True)})
    vocabulary = HERE / "small_cased_vocab.txt"
    generate(lib.MrpcProcessor(), TARGET, "mrpc", vocabulary)
    generate(lib.StsBProcessor(), TARGET, "stsb", vocabulary)
    parameters = f"dataset=glue/mrpc,text_key=sentence1,text_b_key=sentence2,data_dir={data}"
    generate(lib.TfdsProcessor(parameters), TARGET, "lesson", vocabulary, splits="validation train")
    (TARGET / "lesson-train.tfrecord").unlink()

    mrpc = known.get("mrpc")
    if options.mrpc is not None:
        import tensorflow_datasets as tfds

        with tempfile.TemporaryDirectory() as folder:
            tfds.core.constants.DATA_DIR = folder
            prepare(Path(folder), "glue/mrpc", real_mrpc(options.mrpc), shard_rows=10_000)
            parameters = f"dataset=glue/mrpc,text_key=sentence1,text_b_key=sentence2,data_dir={folder}"
            original = lib.tfds.load
            lib.tfds.load = lambda *given, **named: original(*given, **(named | {"data_dir": folder}))
            generate(lib.MrpcProcessor(), Path(folder), "mrpc", options.vocab, splits="train validation")
            mrpc = {
                "vocabulary_sha256": hashlib.sha256(options.vocab.read_bytes()).hexdigest(),
                **{split: digest(Path(folder) / f"mrpc-{split}.tfrecord") for split in ("train", "validation")},
            }
    packages = ("tf-models-official", "tensorflow", "tensorflow-datasets", "protobuf")
    about = {
        "made_by": "tests/golden/make_tfrecords.py",
        "packages": {name: version(name) for name in packages},
        "max_seq_length": MAX_LENGTH,
        "mrpc": mrpc,
    }
    provenance.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
