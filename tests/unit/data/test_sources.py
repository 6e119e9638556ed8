import io
from collections.abc import Callable
from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples, read_lines
from bertune.errors import BertuneError, ConfigError, DataError

Write = Callable[[str, str | bytes], Path]
SINGLE = Columns("text", None, "label")


def rows_with_bad_ones(good: int, bad: int) -> str:
    return "text\tlabel\n" + "x\t1\n" * good + "bad\n" * bad


def test_skipped_rows_are_reported_with_line_and_reason(write: Write) -> None:
    path = write("t.tsv", "text\tlabel\nx\t1\nbad\ny\t \nz\t0\n")
    report = read_examples(path, SINGLE, on_bad_row="skip").report
    assert (report.rows_in, report.rows_used) == (4, 2)
    assert [(row.line, row.reason) for row in report.refused] == [
        (3, "1 cell, expected 2 (text, label)"),
        (4, "'label' is blank, expected a label"),
    ]
    assert all(row.path == str(path) for row in report.refused)


@pytest.mark.parametrize(("good", "bad", "stops"), [(5, 10, False), (5, 11, True), (1089, 11, False), (1088, 11, True)])
def test_skipping_stops_above_ten_rows_and_one_percent(write: Write, good: int, bad: int, stops: bool) -> None:
    path = write("t.tsv", rows_with_bad_ones(good, bad))
    if stops:
        with pytest.raises(DataError, match=f"{bad} of {good + bad:,} rows cannot be used"):
            read_examples(path, SINGLE, on_bad_row="skip")
    else:
        assert len(read_examples(path, SINGLE, on_bad_row="skip")) == good


def test_a_file_of_which_no_row_can_be_used_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match="none of 3 rows can be used"):
        read_examples(write("t.tsv", rows_with_bad_ones(0, 3)), SINGLE, on_bad_row="skip")


def test_labels_are_left_out_where_they_are_not_required(write: Write) -> None:
    assert read_examples(write("t.tsv", "text\nx\n"), SINGLE, require_label=False).labels is None
    assert read_examples(write("u.tsv", "text\tlabel\nx\t1\n"), SINGLE, require_label=False).labels == ["1"]
    all_blank = read_examples(write("v.tsv", "text\tlabel\nx\t\n"), SINGLE, require_label=False)
    assert (all_blank.labels, all_blank.report.warnings) == (None, [])
    some_blank = read_examples(write("w.tsv", "text\tlabel\nx\t\ny\t1\n"), SINGLE, require_label=False)
    assert some_blank.labels is None
    assert "1 of 2 rows without a label" in some_blank.report.warnings[0]


def test_a_missing_label_column_is_an_error_where_labels_are_required(write: Write) -> None:
    with pytest.raises(ConfigError, match="no column 'label'"):
        read_examples(write("t.tsv", "text\nx\n"), SINGLE)
    assert read_examples(write("t.tsv", "text\nx\n"), Columns("text")).labels is None


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "jsonl", "parquet", "arrow"])
def test_an_empty_file_is_an_error(write: Write, suffix: str) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_examples(write(f"t.{suffix}", b""), SINGLE)


@pytest.mark.parametrize("content", ["text\tlabel", "text\tlabel\n", "text\tlabel\n\n\n"])
def test_a_header_alone_is_an_error(write: Write, content: str) -> None:
    with pytest.raises(DataError, match="a header but no rows"):
        read_examples(write("t.tsv", content), SINGLE)


def test_a_missing_file_gets_the_nearest_name(write: Write) -> None:
    write("train.csv", "text,label\nx,1\n")
    path = write("other.bin", b"x").with_name("trian.csv")
    with pytest.raises(ConfigError, match=r"trian\.csv does not exist") as error:
        read_examples(path, SINGLE)
    assert error.value.hint == f"did you mean {path.with_name('train.csv')}?"


def test_a_folder_where_a_file_is_expected_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        read_examples(tmp_path, SINGLE)


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("t.csv", b"\x1f\x8b\x08", "gzip-compressed"),
        ("t.csv.gz", b"\x1f\x8b\x08", "damaged or cut short"),
        ("t.csv.gz", b"text,label\n", "damaged or cut short: Not a gzipped file"),
        ("t.feather", b"FEA1", "a Feather file of version 1"),
        ("t.xlsx", b"text,label\n", "not an Excel workbook"),
        ("t.tsv", b"PK\x03\x04", "zip archive or an Excel workbook"),
        ("t.jsonl", b"\x28\xb5\x2f\xfd", "zstd"),
        ("t.csv", b"PAR1", "a Parquet file"),
        ("t.parquet", b"ARROW1", "an Arrow file"),
        ("t.parquet", b"text,label\n", "not a Parquet file"),
        ("t.arrow", b"PAR1", "a Parquet file"),
        ("t.csv", "text,label\n".encode("utf-16-le"), "not UTF-8 text"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_a_file_of_another_kind_is_told_by_its_content(write: Write, name: str, head: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_examples(write(name, head), SINGLE)


@pytest.mark.parametrize("name", ["t.dat", "t", "t.parquet.gz", "t.zip"])
def test_an_unknown_suffix_is_an_error(write: Write, name: str) -> None:
    with pytest.raises(ConfigError, match="suffix"):
        read_examples(write(name, "text,label\nx,1\n"), SINGLE)


def test_messages_and_hints_are_one_line_each(write: Write) -> None:
    path = write("t.csv", 'text,label\n"a\nb"c,1\n')
    with pytest.raises(BertuneError) as error:
        read_examples(path, SINGLE)
    assert "\n" not in error.value.message + str(error.value.hint)


def test_lines_of_a_stream_become_one_example_each() -> None:
    for stream in (io.BytesIO(b"\xef\xbb\xbfa\tb\r\n\nlast"), io.StringIO("a\tb\n\nlast")):
        examples = read_lines(stream)
        assert examples.texts_a == ["a\tb", "", "last"]
        assert (examples.texts_b, examples.labels, examples.lines) == (None, None, [1, 2, 3])
        assert examples.report.blank_texts == 1


def test_lines_of_pairs_have_exactly_one_tab() -> None:
    examples = read_lines(io.BytesIO(b"a\tb\nc\t\n"), pair=True)
    assert (examples.texts_a, examples.texts_b) == (["a", "c"], ["b", ""])
    for line, tabs in ((b"c", 0), (b"c\td\te", 2)):
        with pytest.raises(DataError, match=f"standard input:2: {tabs} tabs, expected exactly one"):
            read_lines(io.BytesIO(b"a\tb\n" + line + b"\n"), pair=True)


def test_a_bad_byte_in_a_stream_is_named_even_behind_a_text_stream() -> None:
    for stream in (io.BytesIO(b"ok\n\xe9\n"), io.TextIOWrapper(io.BytesIO(b"ok\n\xe9\n"), encoding="utf-8")):
        with pytest.raises(DataError, match="standard input:2: not UTF-8"):
            read_lines(stream)


def test_an_empty_stream_is_an_error() -> None:
    with pytest.raises(DataError, match="standard input is empty"):
        read_lines(io.BytesIO())
