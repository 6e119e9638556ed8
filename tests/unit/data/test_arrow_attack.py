"""Arrow, Feather and Parquet files that are damaged or made to do harm: each is read or refused, and nothing dies."""

import struct
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from tests.damage import damaged

from bertune.data.examples import Columns
from bertune.data.formats import arrow_batches
from bertune.data.sources import read_examples
from bertune.errors import DataError

SINGLE = Columns("text", None, "label")
READER = Path(__file__).parents[2] / "read_tables.py"
KINDS = ["file", "stream", "lz4", "zstd", "dictionary", "view", "large", "parquet", "parquet-dictionary"]
SLOWEST_SECONDS, MOST_MEGABYTES = 5.0, 400


def write_small(kind: str, path: Path) -> Path:
    rows = 40
    table = pa.table(
        {
            "text": [f"row {row} is häßlich " + "x" * (row % 7) for row in range(rows)],
            "label": [("neg", "pos")[row % 2] for row in range(rows)],
            "number": [row if row % 5 else None for row in range(rows)],
            "tags": [["a", "b"][: row % 3] for row in range(rows)],
        }
    )
    if kind == "dictionary":
        table = table.set_column(0, "text", table["text"].combine_chunks().dictionary_encode())
        table = table.set_column(1, "label", table["label"].combine_chunks().dictionary_encode())
    if kind in ("view", "large"):
        table = table.set_column(
            0, "text", table["text"].cast(pa.string_view() if kind == "view" else pa.large_string())
        )
    if kind.startswith("parquet"):
        path = path.with_suffix(".parquet")
        pa.parquet.write_table(table, path, row_group_size=16, use_dictionary=kind.endswith("dictionary"))
    elif kind in ("lz4", "zstd"):
        pa.feather.write_feather(table, str(path), compression=kind, chunksize=16)
    else:
        with (pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file)(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=16)
    return path


def read_all(paths: list[Path]) -> list[str]:
    """Reads files in another process and gives its lines; where it dies, it is started again behind the file."""
    lines: list[str] = []
    while paths:
        given = "\n".join(map(str, paths))
        done = subprocess.run([sys.executable, READER], input=given, capture_output=True, text=True, check=False)
        printed = done.stdout.splitlines()
        begun = sum(line.startswith("begins ") for line in printed)
        lines += [line for line in printed if not line.startswith("begins ")]
        if done.returncode:
            lines.append(f"0 0 died ({done.returncode}) {done.stderr[-300:]}")
        assert begun, done.stderr
        paths = paths[begun:]
    return lines


def outcomes(folder: Path, kinds: list[str], count: int) -> Counter[str]:
    paths: list[Path] = []
    for kind in kinds:
        sound = write_small(kind, folder / f"{kind}.arrow")
        assert len(read_examples(sound, SINGLE)) == 40
        for number, content in enumerate(damaged(sound.read_bytes(), count, kind)):
            paths.append(folder / f"{kind}-{number}{sound.suffix}")
            paths[-1].write_bytes(content)
    lines = [line.split(" ", 2) for line in read_all(paths)]
    assert len(lines) == len(paths)
    assert max(float(seconds) for seconds, _, _ in lines) < SLOWEST_SECONDS
    assert max(int(grown) for _, grown, _ in lines) < MOST_MEGABYTES
    return Counter(ended for _, _, ended in lines)


def test_damaged_arrow_and_parquet_files_are_read_or_refused(tmp_path: Path) -> None:
    counts = outcomes(tmp_path, KINDS, 64)
    assert set(counts) == {"read", "typed"}, counts
    assert counts["typed"] > counts.total() / 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_damaged_arrow_and_parquet_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    counts = outcomes(tmp_path, [kind], 4000)
    assert set(counts) == {"read", "typed"}, counts


@pytest.mark.parametrize(
    "ends",
    [(0, 4, 1 << 30), (0, -4, 8), (1 << 30, 4, 8), (8, 4, 0)],
    ids=["end-beyond", "negative", "start-beyond", "backwards"],
)
def test_offsets_that_lead_out_of_the_file_are_refused(tmp_path: Path, ends: tuple[int, int, int]) -> None:
    table = pa.table({"text": ["abcd", "efgh"], "label": pa.array([0, 1], pa.int8())})
    path = tmp_path / "t.arrow"
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    content, offsets = path.read_bytes(), struct.pack("<3i", 0, 4, 8)
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, struct.pack("<3i", *ends)))
    (line,) = read_all([path])
    assert line.endswith(" typed")


def test_a_page_of_a_parquet_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"text": ["the good soup", "the bad soup"], "label": [1, 0]})
    pa.parquet.write_table(
        table, path, compression="none", use_dictionary=False, write_page_checksum=True, write_statistics=False
    )
    path.write_bytes(path.read_bytes().replace(b"good", b"glad"))
    with pytest.raises(DataError, match=r"damaged or cut short.*CRC"):
        read_examples(path, SINGLE)


TEXT = "x" * 100_000


def _repeated(rows: int) -> pa.Table:
    codes = pa.array(np.zeros(rows, np.int32))
    return pa.table({"text": pa.DictionaryArray.from_arrays(codes, [TEXT]), "label": pa.array([0, 1] * (rows // 2))})


def _write_bomb(kind: str, path: Path) -> None:
    if kind == "parquet-dictionary":
        pa.parquet.write_table(_repeated(20_000), path, compression="zstd")
    elif kind == "arrow-dictionary":
        with pa.ipc.new_file(str(path), (table := _repeated(20_000)).schema) as writer:
            writer.write_table(table)
    elif kind == "parquet-pages":
        table = pa.table({"text": [TEXT] * 600, "label": [0, 1] * 300})
        pa.parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    elif kind == "feather":
        table = pa.table({"text": [TEXT] * 600, "label": [0, 1] * 300})
        pa.feather.write_feather(table, str(path), compression="zstd")
    else:
        codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int8)), ["a"])
        pa.parquet.write_table(pa.table({"text": codes, "label": codes}), path, compression="zstd")


@pytest.mark.parametrize("kind", ["parquet-dictionary", "arrow-dictionary", "parquet-pages", "feather", "parquet-rows"])
def test_a_small_file_that_becomes_huge_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(arrow_batches, "ALWAYS_ALLOWED_BYTES", 32 << 20)
    path = tmp_path / f"bomb.{'parquet' if kind.startswith('parquet') else 'arrow'}"
    _write_bomb(kind, path)
    assert path.stat().st_size < 400_000
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.(parquet|arrow): .*than any table"):
            read_examples(path, SINGLE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000
    assert time.monotonic() - started < 5


def test_texts_that_are_many_times_the_same_are_read(tmp_path: Path) -> None:
    codes = pa.array(np.zeros(50_000, np.int32))
    table = pa.table({"text": pa.DictionaryArray.from_arrays(codes, ["y" * 400]), "label": pa.array([0, 1] * 25_000)})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    examples = read_examples(tmp_path / "t.parquet", SINGLE)
    assert (len(examples), set(examples.texts_a)) == (50_000, {"y" * 400})


def test_a_batch_with_more_than_a_piece_of_text_is_read_whole(tmp_path: Path) -> None:
    texts = [str(row) * 100_000 for row in range(1000, 1200)]
    pa.feather.write_feather(
        pa.table({"text": texts, "label": [0, 1] * 100}), str(tmp_path / "t.feather"), "uncompressed"
    )
    examples = read_examples(tmp_path / "t.feather", SINGLE)
    assert examples.texts_a == texts
    assert examples.lines == list(range(1, 201))


def test_columns_that_are_not_asked_for_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    table = pa.table({"other": ["abcd", "efgh"], "text": ["a", "b"], "label": ["x", "y"]})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<3i", 0, 4, 8), struct.pack("<3i", 0, 4, 1 << 30)))
    assert read_examples(path, SINGLE).texts_a == ["a", "b"]
