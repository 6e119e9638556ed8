import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import ConfigError, DataError

SINGLE = Columns("text", None, "label")
FORMATS = ["parquet", "file.arrow", "stream.arrow", "feather"]


def write_table(folder: Path, table: pa.Table, kind: str) -> Path:
    path = folder / ("t.parquet" if kind == "parquet" else f"t.{kind}")
    if kind == "parquet":
        pa.parquet.write_table(table, path, row_group_size=3)
    elif kind == "feather":
        pa.feather.write_feather(table, str(path))
    else:
        opener = pa.ipc.new_file if kind == "file.arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, opener(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    return path


def class_labels(table: pa.Table, names: list[str]) -> pa.Table:
    features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string"}}}}
    return table.replace_schema_metadata({"huggingface": json.dumps(features)})


@pytest.mark.parametrize("kind", FORMATS)
def test_every_arrow_format_reads_alike(tmp_path: Path, kind: str) -> None:
    texts = [f"text {number}" for number in range(10)]
    table = pa.table({"other": list(range(10)), "label": [n % 2 for n in range(10)], "text": texts})
    examples = read_examples(write_table(tmp_path, table, kind), SINGLE)
    assert examples.texts_a == texts
    assert examples.labels == [str(n % 2) for n in range(10)]
    assert examples.lines == list(range(1, 11))
    assert (examples.report.rows_in, examples.report.rows_used) == (10, 10)


@pytest.mark.parametrize("kind", FORMATS)
def test_class_label_names_become_the_label_words(tmp_path: Path, kind: str) -> None:
    table = class_labels(pa.table({"text": ["a", "b"], "label": pa.array([1, 0])}), ["no", "yes"])
    assert read_examples(write_table(tmp_path, table, kind), SINGLE).labels == ["yes", "no"]


def test_the_class_label_minus_one_is_no_label(tmp_path: Path) -> None:
    table = class_labels(pa.table({"text": ["a", "b"], "label": pa.array([-1, -1])}), ["no", "yes"])
    path = write_table(tmp_path, table, "parquet")
    assert read_examples(path, SINGLE, require_label=False).labels is None
    with pytest.raises(DataError, match=r"t\.parquet:1: 'label' is missing"):
        read_examples(path, SINGLE)


def test_a_class_label_without_a_name_is_refused(tmp_path: Path) -> None:
    table = class_labels(pa.table({"text": ["a", "b"], "label": pa.array([0, 7])}), ["no", "yes"])
    with pytest.raises(DataError, match=r"t\.parquet:2: 'label' is 7, but the file names the labels 0 to 1"):
        read_examples(write_table(tmp_path, table, "parquet"), SINGLE)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([1, 10], pa.uint8()), ["1", "10"]),
        (pa.array([1.0, 0.1], pa.float32()), ["1", "0.1"]),
        (pa.array([1.0, 0.1]), ["1", "0.1"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([4, 5]).dictionary_encode(), ["4", "5"]),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
    ],
)
def test_typed_labels_become_the_words_that_a_csv_would_hold(tmp_path: Path, labels: Any, words: list[str]) -> None:
    table = pa.table({"text": pa.array(["a", "b"]).dictionary_encode(), "label": labels})
    assert read_examples(write_table(tmp_path, table, "parquet"), SINGLE).labels == words


@pytest.mark.parametrize("values", [[1.0, None], [1.0, float("nan")]])
def test_a_missing_number_is_a_missing_label(tmp_path: Path, values: list[float | None]) -> None:
    table = pa.table({"text": ["a", "b"], "label": pa.array(values, pa.float64())})
    with pytest.raises(DataError, match=r"t\.parquet:2: 'label' is missing"):
        read_examples(write_table(tmp_path, table, "parquet"), SINGLE)


def test_a_missing_text_is_refused_and_a_blank_one_is_not(tmp_path: Path) -> None:
    path = write_table(tmp_path, pa.table({"text": ["", None], "label": [1, 2]}), "parquet")
    with pytest.raises(DataError, match=r"t\.parquet:2: 'text' is missing \(null\)"):
        read_examples(path, SINGLE)
    report = read_examples(path, SINGLE, on_bad_row="skip").report
    assert (report.rows_in, report.rows_used, report.blank_texts) == (2, 1, 1)


def test_a_text_column_of_numbers_and_a_label_column_of_lists_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path, pa.table({"text": [1, 2], "label": [[1], [2]], "t": ["a", "b"]}), "parquet")
    with pytest.raises(ConfigError, match="column 'text' holds int64, expected text"):
        read_examples(path, SINGLE)
    with pytest.raises(DataError, match=r"column 'label' holds list.*, expected one label or number a row") as caught:
        read_examples(path, Columns("t", None, "label"))
    assert caught.value.hint == "several labels a row are learned with --kind multi-label"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, kind: str, keep: float) -> None:
    table = pa.table({"text": [f"text {number}" for number in range(2000)], "label": [1] * 2000})
    path = write_table(tmp_path, table, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match="is damaged or cut short"):
        read_examples(path, SINGLE)


def test_bytes_that_are_not_utf8_are_named_with_their_row(tmp_path: Path) -> None:
    broken = pa.array([b"good", b"caf\xe9"], pa.binary()).view(pa.string())
    path = write_table(tmp_path, pa.table({"text": broken, "label": [1, 2]}), "file.arrow")
    with pytest.raises(DataError, match=r":2: column 'text' holds bytes that are not UTF-8"):
        read_examples(path, SINGLE)


@pytest.mark.parametrize("kind", ["parquet", "file.arrow", "stream.arrow"])
def test_only_a_column_that_is_asked_for_by_a_doubled_name_is_an_error(tmp_path: Path, kind: str) -> None:
    table = pa.table([["a", "c"], [7, 8], ["b", "d"], [9, 10], [1, 0]], names=["text", "id", "text", "id", "label"])
    path = write_table(tmp_path, table, kind)
    with pytest.raises(DataError, match="2 columns are called 'text'") as error:
        read_examples(path, SINGLE)
    assert error.value.hint == "rename one of them, or name the column by its number: 0 or 2"
    assert read_examples(path, Columns(0, label="label")).texts_a == ["a", "c"]
    both = read_examples(path, Columns(2, 0, label=3))
    assert (both.texts_a, both.texts_b, both.labels) == (["b", "d"], ["a", "c"], ["9", "10"])


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())})
    with pytest.raises(DataError, match="no rows"):
        read_examples(write_table(tmp_path, table, "parquet"), SINGLE)
