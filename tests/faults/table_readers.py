"""Readers of tables and of encoded data."""

import gzip
import json
import random
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
from tests.faults.mutations import Mutation, of_bytes, of_json, of_json_lines, of_text
from tests.faults.readers import Reader

from bertune.data.examples import Columns, LabelSet
from bertune.data.formats.record_file import frame_record
from bertune.data.read_options import ReadOptions
from bertune.data.relabel_file import Relabel, digest_of, relabels_text
from bertune.data.relabelled_examples import relabelled
from bertune.data.row_source import RowSource
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits, read_split
from bertune.data.task import Task
from bertune.shards import manifest
from bertune.shards.read_records import read_records, read_reencoded
from bertune.shards.record_summary import summarise_records
from bertune.shards.reencode import reencode
from bertune.shards.store import load_store
from bertune.system.toml_file import read_toml
from bertune.tokenization.tokenizer import BertTokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "tfrecords"
COLUMNS = Columns("text", None, "label")
ROWS = [(f"row {row} is häßlich, " + "x" * (row % 7), ("neg", "pos")[row % 2]) for row in range(30)]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "row", "is", "x", "##x", *"0123456789"]
STORE = "out/records-00000-of-00002.safetensors"
BYTES_AND_TEXT = (of_bytes, of_text)


def table() -> pa.Table:
    return pa.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS], "n": range(len(ROWS))})


def _delimited(mark: str, folder: Path, name: str) -> None:
    lines = [mark.join(("text", "label"))] + [mark.join((f'"{text}"', label)) for text, label in ROWS]
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")


def _json_lines(folder: Path, name: str) -> None:
    (folder / name).write_text("".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in ROWS), "utf-8")


def _json_array(folder: Path, name: str) -> None:
    (folder / name).write_text(json.dumps([{"text": text, "label": label} for text, label in ROWS]), "utf-8")


def _gzipped(folder: Path, name: str) -> None:
    _json_lines(folder, "plain")
    (folder / name).write_bytes(gzip.compress((folder / "plain").read_bytes(), mtime=0))


def _arrow(new: Callable[..., pa.ipc.RecordBatchFileWriter], folder: Path, name: str) -> None:
    with new(str(folder / name), table().schema) as writer:
        writer.write_table(table(), max_chunksize=16)


def _feather(folder: Path, name: str) -> None:
    pa.feather.write_feather(table(), str(folder / name), compression="lz4", chunksize=16)


def _dictionary(folder: Path, name: str) -> None:
    coded = table().set_column(0, "text", table()["text"].combine_chunks().dictionary_encode())
    with pa.ipc.new_file(str(folder / name), coded.schema) as writer:
        writer.write_table(coded)


def _parquet(folder: Path, name: str, *, dictionary: bool) -> None:
    pa.parquet.write_table(table(), folder / name, row_group_size=16, use_dictionary=dictionary)


def _table_reader(
    name: str, file: str, make: Callable[[Path, str], object], mutations: tuple[Mutation, ...] = (of_bytes,)
) -> Reader:
    return Reader(
        name,
        lambda folder: make(folder, file),
        {file: mutations},
        lambda folder: read_examples(folder / file, COLUMNS, on_bad_row="skip"),
    )


def _tfds(folder: Path) -> None:
    shutil.copytree(GOLDEN / "tfds" / "glue" / "mrpc" / "2.0.0", folder, dirs_exist_ok=True)


def _read_tfds(folder: Path) -> object:
    columns = Columns("sentence1", "sentence2", "label")
    split = next(iter(find_splits(str(folder), Task.for_columns(columns)).values()))
    return read_split(split, columns=columns, reading=ReadOptions(on_bad_row="skip"))


def _records(folder: Path) -> None:
    content = (GOLDEN / "lesson-validation.tfrecord").read_bytes()
    (folder / "a.tfrecord").write_bytes(content)


def _read_records(folder: Path) -> None:
    summarise_records([folder / "a.tfrecord"])
    read_records(folder / "a.tfrecord")


def _in_one_record(content: bytes, draw: random.Random) -> bytes:
    """Damages what a record holds; its checksums fit."""
    records, place = [], 0
    while place < len(content):
        size = struct.unpack_from("<Q", content, place)[0]
        records.append(content[place + 12 : place + 12 + size])
        place += size + 16
    chosen = draw.randrange(len(records))
    records[chosen] = draw.choice(BYTES_AND_TEXT)(records[chosen], draw)
    return b"".join(map(frame_record, records))


def _encoded(folder: Path, *, format: str) -> None:
    (folder / "vocab").mkdir()
    (folder / "vocab" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizer.from_directory(folder / "vocab")
    _delimited(",", folder, "t.csv")
    source = RowSource(next(iter(find_splits(str(folder / "t.csv")).values())), Task.for_columns(COLUMNS), COLUMNS)
    reencode(source, tokenizer, folder / "out", format=format, shards=2, max_length=16, processes=1)


def _read_encoded(folder: Path) -> None:
    read_reencoded(folder / "out")


def _mend_manifest(folder: Path) -> None:
    path = folder / "out" / manifest.MANIFEST_NAME
    values = json.loads(path.read_bytes())
    if isinstance(values, dict):
        values.pop(manifest._DIGEST, None)
        path.write_text(json.dumps(values))


def _toml(folder: Path) -> None:
    (folder / "run.toml").write_text(
        '[train]\ndata = "a.csv"\nmodel = "m"\ntext-a = "text"\nlabel = "label"\nout = "runs/a"\nlearning-rate = 3e-5\n'
        'epochs = 3\nseeds = 2\nclass-weights = ["balanced"]\n\n[made_with]\ntorch = "2.10"\n[predict]\nquiet = true\n'
    )


def _read_toml(folder: Path) -> None:
    from bertune.cli.app import _VERBS
    from bertune.cli.config_file import read_config_file

    read_toml(folder / "run.toml")
    read_config_file(folder / "run.toml", tuple(_VERBS))


def _decisions(folder: Path, name: str) -> None:
    _delimited(",", folder, "t.csv")
    train = read_examples(folder / "t.csv", COLUMNS)
    made = [
        Relabel(
            "t.csv",
            line,
            digest_of(text, None),
            label,
            ("accept", "change", "skip")[row % 3],
            "pos" if row % 3 == 1 else "",
        )
        for row, (line, text, label) in enumerate(zip(train.lines, train.texts_a, train.labels or [], strict=True))
    ]
    (folder / name).write_text(relabels_text(made), "utf-8")


def _read_decisions(folder: Path) -> None:
    task = Task.for_columns(COLUMNS).with_labels(LabelSet(("neg", "pos")))
    relabelled(read_examples(folder / "t.csv", COLUMNS), {}, task, str(folder / "relabel.csv"))


def _read_store(folder: Path) -> None:
    load_store(folder / STORE)


_ALL = [
    _table_reader("CSV", "a.csv", partial(_delimited, ","), BYTES_AND_TEXT),
    Reader(
        "decisions on labels",
        lambda folder: _decisions(folder, "relabel.csv"),
        {"relabel.csv": BYTES_AND_TEXT},
        _read_decisions,
    ),
    _table_reader("TSV", "a.tsv", partial(_delimited, "\t"), BYTES_AND_TEXT),
    _table_reader("JSONL", "a.jsonl", _json_lines, (*BYTES_AND_TEXT, of_json_lines)),
    _table_reader("JSON array", "a.json", _json_array, (*BYTES_AND_TEXT, of_json)),
    _table_reader("JSONL, gzip", "a.jsonl.gz", _gzipped),
    _table_reader("Arrow file", "a.arrow", partial(_arrow, pa.ipc.new_file)),
    _table_reader("Arrow stream", "a.arrow", partial(_arrow, pa.ipc.new_stream)),
    _table_reader("Arrow, dictionary", "a.arrow", _dictionary),
    _table_reader("Feather, lz4", "a.feather", _feather),
    _table_reader("Parquet", "a.parquet", partial(_parquet, dictionary=False)),
    _table_reader("Parquet, dictionary", "a.parquet", partial(_parquet, dictionary=True)),
    Reader(
        "prepared TFDS folder",
        _tfds,
        {
            "dataset_info.json": (*BYTES_AND_TEXT, of_json),
            "features.json": (*BYTES_AND_TEXT, of_json),
            "label.labels.txt": BYTES_AND_TEXT,
            "glue-train.tfrecord-00000-of-00002": (of_bytes, _in_one_record),
        },
        _read_tfds,
    ),
    Reader("TFRecord", _records, {"a.tfrecord": (of_bytes,)}, _read_records),
    Reader("TFRecord, checksums mended", _records, {"a.tfrecord": (_in_one_record,)}, _read_records),
    Reader(
        "encode manifest",
        partial(_encoded, format="tfrecord"),
        {"out/manifest.json": (*BYTES_AND_TEXT, of_json)},
        _read_encoded,
    ),
    Reader(
        "encode manifest, digest mended",
        partial(_encoded, format="store"),
        {"out/manifest.json": (of_json,)},
        _read_encoded,
        mend=_mend_manifest,
    ),
    Reader("store, as in the token cache", partial(_encoded, format="store"), {STORE: (of_bytes,)}, _read_store),
    Reader("TOML", _toml, {"run.toml": BYTES_AND_TEXT}, _read_toml),
]

_FORMATS = {
    "delimited tables": ("CSV", "TSV", "decisions on labels"),
    "JSON": ("JSONL", "JSON array", "JSONL, gzip"),
    "Arrow": ("Arrow file", "Arrow stream", "Arrow, dictionary", "Feather, lz4"),
    "Parquet": ("Parquet", "Parquet, dictionary"),
    "TFDS folder": ("prepared TFDS folder",),
    "TFRecord": ("TFRecord", "TFRecord, checksums mended"),
    "manifest": ("encode manifest", "encode manifest, digest mended"),
    "store": ("store, as in the token cache",),
    "TOML": ("TOML",),
}
READERS = {name: [reader for reader in _ALL if reader.name in readers] for name, readers in _FORMATS.items()}
