"""Several labels a row: the three ways of writing them give the same, and what cannot be read is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from bertune.data.examples import Columns, Examples, LabelSet
from bertune.data.several_labels import SeveralLabels, UnusableLabelsError, labels_in_cell
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits, read_split
from bertune.errors import ConfigError, DataError

ROWS: list[tuple[str, list[str]]] = [("one", ["b", "a"]), ("two", []), ("three", ["c"]), ("four", ["a"])]
LISTS = Columns("text", None, "labels", SeveralLabels(allow_none=True))
PARTED = Columns("text", None, "labels", SeveralLabels((), ";", allow_none=True))
NO_EMPTY_LIST = Columns("text", None, "labels", SeveralLabels())
NO_EMPTY_CELL = Columns("text", None, "labels", SeveralLabels((), ";"))
ONE_LABEL = Columns("text", None, "labels")
FLAGS = Columns("text", None, None, SeveralLabels(("a", "b", "c")))

Make = Callable[[Path], tuple[Path, Columns]]


def json_lists(folder: Path) -> tuple[Path, Columns]:
    (folder / "t.jsonl").write_text("".join(json.dumps({"text": t, "labels": names}) + "\n" for t, names in ROWS))
    return folder / "t.jsonl", LISTS


def parquet_lists(folder: Path) -> tuple[Path, Columns]:
    pyarrow.parquet.write_table(
        pa.table({"text": [t for t, _ in ROWS], "labels": [n for _, n in ROWS]}), folder / "t.parquet"
    )
    return folder / "t.parquet", LISTS


def arrow_lists(folder: Path) -> tuple[Path, Columns]:
    table = pa.table(
        {"text": [t for t, _ in ROWS], "labels": pa.array([n for _, n in ROWS], pa.large_list(pa.string()))}
    )
    pyarrow.feather.write_feather(table, folder / "t.feather", compression="uncompressed")
    return folder / "t.feather", LISTS


def class_label_lists(folder: Path) -> tuple[Path, Columns]:
    """As Hugging Face `datasets` writes a list of ClassLabel, for instance in GoEmotions."""
    names = ["c", "a", "b"]
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"labels": feature, "text": {"_type": "Value"}}}})}
    ids = [[names.index(name) for name in given] for _, given in ROWS]
    table = pa.table({"text": [t for t, _ in ROWS], "labels": ids}).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, folder / "t.parquet")
    return folder / "t.parquet", LISTS


def separated(folder: Path) -> tuple[Path, Columns]:
    (folder / "t.csv").write_text("text,labels\n" + "".join(f"{t},{'; '.join(n)}\n" for t, n in ROWS))
    return folder / "t.csv", PARTED


def flags(folder: Path) -> tuple[Path, Columns]:
    lines = [f"{t},{int('a' in n)},{'1.0' if 'b' in n else 'False'},{int('c' in n)}\n" for t, n in ROWS]
    (folder / "t.csv").write_text("text,a,b,c\n" + "".join(lines))
    return folder / "t.csv", FLAGS


@pytest.mark.parametrize("make", [json_lists, parquet_lists, arrow_lists, class_label_lists, separated, flags])
def test_every_way_of_writing_labels_gives_the_same_rows(tmp_path: Path, make: Make) -> None:
    path, columns = make(tmp_path)
    examples = read_examples(path, columns)
    assert examples.labels is None
    assert examples.label_rows(LabelSet(("a", "b", "c"))).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert [set(example.labels or ()) for example in examples] == [set(names) for _, names in ROWS]
    assert examples.select([2]).label_sets == [("c",)]


def in_csv(content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "t.csv").write_text(content)
        return folder / "t.csv"

    return write


def in_jsonl(*values: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "t.jsonl").write_text("".join(f'{{"text": "t", "labels": {value}}}\n' for value in values))
        return folder / "t.jsonl"

    return write


@pytest.mark.parametrize(
    ("write", "columns", "says"),
    [
        (in_csv("text,a,b,c\nt,0,1,0\nt,1,2,0\n"), FLAGS, "t.csv:3: 'b' is '2', expected 0 or 1"),
        (in_csv("text,a,b,c\nt,0,,0\n"), FLAGS, "t.csv:2: 'b' is blank, expected 0 or 1"),
        (in_csv("text,labels\nt,a\nt,\n"), NO_EMPTY_CELL, "t.csv:3: 'labels' holds no label; if such rows are meant"),
        (in_csv("text,labels\nt,a;;b\n"), PARTED, "t.csv:2: 'labels' holds a blank label"),
        (in_csv("text,labels\nt,a;b;a\n"), PARTED, "t.csv:2: 'labels' holds the label 'a' twice"),
        (in_csv("text,labels\nt,a;b\n"), LISTS, "t.csv:2: 'labels' is the text 'a;b', expected a list of labels"),
        (in_jsonl('["a"]', "[]"), NO_EMPTY_LIST, "t.jsonl:2: 'labels' holds no label"),
        (in_jsonl('["a"]'), PARTED, "t.jsonl:1: 'labels' is a list, expected labels with ';' between them"),
        (in_jsonl('["a"]', '["a", null]'), LISTS, "t.jsonl:2: 'labels' holds null in its list"),
        (in_jsonl('["a"]', '["a", NaN]'), LISTS, "t.jsonl:2: not valid JSON: NaN"),
        (in_jsonl('["a"]', '[["b"]]'), LISTS, "t.jsonl:2: 'labels' holds a list in its list"),
        (in_jsonl('"x"', '["a"]'), ONE_LABEL, "t.jsonl:2: 'labels' is a list, expected one label, or many with --kind"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_read_are_named_with_file_and_line(
    tmp_path: Path, write: Callable[[Path], Path], columns: Columns, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_examples(write(tmp_path), columns)
    assert says in caught.value.message


def test_nothing_in_a_list_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    table = pa.table({"text": ["t", "u"], "labels": [[1.0], [float("nan")]]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet:2: 'labels' holds nothing \(null or NaN\) in its list"):
        read_examples(tmp_path / "t.parquet", LISTS)


def test_refused_rows_are_skipped_and_counted_when_asked(tmp_path: Path) -> None:
    path = in_csv("text,a,b,c\nt,0,1,0\nt,1,2,0\n")(tmp_path)
    examples = read_examples(path, FLAGS, on_bad_row="skip")
    assert (len(examples), [row.line for row in examples.report.refused]) == (1, [3])


def test_a_label_that_training_did_not_know_is_named() -> None:
    examples = Examples.from_lists(["t", "u"])
    examples = Examples(**(vars(examples) | {"label_sets": [("a",), ("a", "tocsic")]}))
    with pytest.raises(
        DataError, match="memory:2: label 'tocsic' is not one of the known labels 'a', 'toxic'"
    ) as caught:
        examples.label_rows(LabelSet(("a", "toxic")))
    assert caught.value.hint == "did you mean 'toxic'?"


def test_rows_to_predict_need_no_labels(tmp_path: Path) -> None:
    for content in ("text\nt\n", "text,a,b,c\nt,,,\n"):
        (split,) = find_splits(in_csv(content)(tmp_path)).values()
        assert read_split(split, columns=FLAGS, require_label=False).label_sets is None


def test_the_label_setting_names_one_column_or_several() -> None:
    assert Columns.of_kind("multi-label", "t", None, "a, b") == Columns("t", None, None, SeveralLabels(("a", "b")))
    assert Columns.of_kind("multi-label", "t", None, "a,b", separator="|").label == "a,b"
    assert Columns.of_kind("multi-label", "t", None, "all").several == SeveralLabels()
    assert Columns.of_kind("classification", "t", None, "a,b") == Columns("t", None, "a,b")
    with pytest.raises(ConfigError, match="rows of zeros are used as they are"):
        Columns.of_kind("multi-label", "t", None, "a,b", allow_none=True)
    with pytest.raises(ConfigError, match="each column can be used once"):
        Columns.of_kind("multi-label", "t", None, "a,t")


def test_an_empty_separator_parts_nothing_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="the separator of labels is empty"):
        SeveralLabels((), "")


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['neg', 'long']", ("neg", "long")),
        ('["neg", "it\'s", "a \\"b\\" [c], \\u00e9"]', ("neg", "it's", 'a "b" [c], \u00e9')),
        ("['it\\'s', \"it is\", ]", ("it's", "it is")),
        ("[1, 2.5, true, False]", ("1", "2.5", "true", "false")),
        (" [ ] ", ()),
    ],
)
def test_lists_as_text_are_read_as_json_and_python_write_them(cell: str, labels: tuple[str, ...]) -> None:
    assert labels_in_cell(cell, "labels", SeveralLabels()) == labels


@pytest.mark.parametrize(
    ("cell", "separator", "message"),
    [
        ("['neg' 'long']", None, "an array as text"),
        ("[neg, long]", None, "expected a list of labels"),
        ("[None]", None, "expected a list of labels"),
        ("['neg'", None, "expected a list of labels"),
        ("neg;long", None, "--label-separator"),
        ("['neg', 'long']", ",", "lists are read without --label-separator"),
        ("[]", ";", "lists are read without --label-separator"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(cell: str, separator: str | None, message: str) -> None:
    with pytest.raises(UnusableLabelsError, match=message):
        labels_in_cell(cell, "labels", SeveralLabels(separator=separator))


def test_a_label_in_brackets_between_separators_is_a_label() -> None:
    assert labels_in_cell("[URGENT];late", "labels", SeveralLabels(separator=";")) == ("[URGENT]", "late")
