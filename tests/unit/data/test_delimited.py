import csv
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import ConfigError, DataError

Write = Callable[[str, str | bytes], Path]
PAIR = Columns("a", "b", "label")
SINGLE = Columns("text", None, "label")


def test_a_quoted_csv_keeps_commas_quotes_and_line_feeds(write: Write) -> None:
    path = write("t.csv", 'a,b,label\r\n"x, ""y""","two\nlines",1\r\nz,"",0\r\n')
    examples = read_examples(path, PAIR)
    assert examples.texts_a == ['x, "y"', "z"]
    assert examples.texts_b == ["two\nlines", ""]
    assert examples.labels == ["1", "0"]
    assert examples.lines == [2, 4]
    assert examples.report.blank_texts == 1


def test_a_tsv_takes_quotes_as_text(write: Write) -> None:
    path = write("t.tsv", 'a\tb\tlabel\n" open\tb"c\t1\n"x"\ty\t0\n')
    examples = read_examples(path, PAIR)
    assert examples.texts_a == ['" open', '"x"']
    assert examples.texts_b == ['b"c', "y"]
    assert examples.report.warnings == []


def test_quoting_can_be_chosen_for_either_suffix(write: Write) -> None:
    assert read_examples(write("t.tsv", 'text\tlabel\n"a\tb"\t1\n'), SINGLE, quoting="csv").texts_a == ["a\tb"]
    assert read_examples(write("t.csv", 'text,label\n"a",1\n'), SINGLE, quoting="none").texts_a == ['"a"']


def test_a_tsv_that_looks_quoted_gets_a_warning(write: Write) -> None:
    path = write("t.tsv", 'text\tlabel\n"he said ""no"""\t1\nplain\t0\n')
    assert "--quoting csv" in read_examples(path, SINGLE).report.warnings[0]
    contradicted = write("u.tsv", 'text\tlabel\n"he said ""no"""\t1\n"open\t0\n')
    assert read_examples(contradicted, SINGLE).report.warnings == []


def test_a_byte_order_mark_is_no_part_of_the_first_name(write: Write) -> None:
    path = write("t.tsv", b"\xef\xbb\xbftext\tlabel\n\xef\xbb\xbfx\t1\n")
    assert read_examples(path, SINGLE).texts_a == ["\ufeffx"]


def test_lines_end_with_a_line_feed_and_nothing_else(write: Write) -> None:
    path = write("t.tsv", "text\tlabel\r\na\rb\u2028c\x0bd\x85e\t1\r\nlast\t0")
    examples = read_examples(path, SINGLE)
    assert examples.texts_a == ["a\rb\u2028c\x0bd\x85e", "last"]
    assert examples.labels == ["1", "0"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_words_for_nothing_stay_texts_and_blank_texts_stay_blank(write: Write, suffix: str) -> None:
    words = ["null", "NA", "None", "nan", "", "  "]
    if suffix == "jsonl":
        path = write("t.jsonl", "".join(f'{{"text": "{word}", "label": 1}}\n' for word in words))
    else:
        path = write(f"t.{suffix}", "text,label\n" if suffix == "csv" else "text\tlabel\n")
        with path.open("a", newline="") as file:
            csv.writer(file, delimiter="," if suffix == "csv" else "\t").writerows([word, "1"] for word in words)
    examples = read_examples(path, SINGLE)
    assert examples.texts_a == words
    assert examples.report.blank_texts == 2


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize(("row", "got"), [("x", 1), ("x|1|2", 3)])
def test_a_row_with_too_few_or_too_many_cells_is_named(write: Write, suffix: str, row: str, got: int) -> None:
    delimiter = "," if suffix == "csv" else "\t"
    path = write(f"t.{suffix}", f"text|label\nok|1\n{row}\n".replace("|", delimiter))
    with pytest.raises(DataError, match=rf"t\.{suffix}:3: {got} cells?, expected 2 \(text, label\)") as error:
        read_examples(path, SINGLE)
    assert error.value.hint


def test_the_line_of_a_bad_row_counts_line_feeds_inside_cells_and_blank_lines(write: Write) -> None:
    path = write("t.csv", 'text,label\n"1\n2\n3",1\n\nbad\n')
    with pytest.raises(DataError, match=r"t\.csv:5: the line is blank"):
        read_examples(path, SINGLE)
    path = write("u.csv", 'text,label\n"1\n2\n3",1\nbad\n')
    with pytest.raises(DataError, match=r"u\.csv:5: 1 cell, expected 2"):
        read_examples(path, SINGLE)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_blank_lines_at_the_end_are_the_end(write: Write, suffix: str) -> None:
    path = write(f"t.{suffix}", "text,label\nx,1\n\n\r\n\n".replace(",", "," if suffix == "csv" else "\t"))
    assert read_examples(path, SINGLE).report.rows_in == 1


def test_text_after_a_closing_quote_is_named_with_the_line_where_its_row_begins(write: Write) -> None:
    path = write("t.csv", 'text,label\nx,1\n"two\nlines" more,1\n')
    with pytest.raises(DataError, match=r"t\.csv:3: text after the closing quote of a cell in line 4") as error:
        read_examples(path, SINGLE)
    assert "--quoting none" in str(error.value.hint)


def test_a_quote_that_is_never_closed_is_named_with_the_line_where_its_row_begins(write: Write) -> None:
    path = write("t.csv", 'text,label\nx,1\n"open,1\ny,0\nz,1\n')
    with pytest.raises(
        DataError, match=r"t\.csv:3: a quoted cell of the row that begins here is never closed"
    ) as error:
        read_examples(path, SINGLE, on_bad_row="skip")
    assert "--quoting none" in str(error.value.hint)


def test_a_carriage_return_outside_quotes_of_a_csv_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match=r"t\.csv:2: a carriage return outside quotes"):
        read_examples(write("t.csv", "text,label\na\rb,1\n"), SINGLE)


def test_a_tsv_with_carriage_returns_for_line_ends_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match="CR alone"):
        read_examples(write("t.tsv", "text\tlabel\ra\t1\r"), SINGLE)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_bytes_that_are_not_utf8_are_named_with_line_and_byte(write: Write, suffix: str) -> None:
    good = (
        b'{"text": "x", "label": 1}\n'
        if suffix == "jsonl"
        else b"text,label\n".replace(b",", b"," if suffix == "csv" else b"\t")
    )
    path = write(f"t.{suffix}", good + b"caf\xe9,1\n")
    with pytest.raises(DataError, match=rf"t\.{suffix}:2: not UTF-8: byte 0xe9 at byte 4 of the line") as error:
        read_examples(path, SINGLE)
    assert "--encoding cp1252" in str(error.value.hint)
    if suffix == "csv":
        assert read_examples(path, replace(SINGLE, label=None), encoding="cp1252").texts_a == ["caf\u00e9"]


def test_a_bad_byte_in_the_first_line_is_counted_from_its_first_byte(write: Write) -> None:
    with pytest.raises(DataError, match=r"t\.tsv:1: not UTF-8: byte 0xe9 at byte 5"):
        read_examples(write("t.tsv", b"\xef\xbb\xbfa\xe9\tlabel\n"), SINGLE)


def test_a_wrong_column_name_gets_the_nearest_one(write: Write) -> None:
    path = write("t.csv", "Sentence1,sentence2,label\nx,y,1\n")
    with pytest.raises(ConfigError, match="no column 'sentence1'; its columns are 'Sentence1', 'sentence2'") as error:
        read_examples(path, Columns("sentence1", "sentence2", "label"))
    assert error.value.hint == "did you mean 'Sentence1'?"


@pytest.mark.parametrize(
    ("suffix", "delimiter", "word"), [("csv", ";", "';'"), ("csv", "\t", "a tab"), ("tsv", ",", "','")]
)
def test_another_delimiter_is_taken_where_it_divides_every_line(
    write: Write, suffix: str, delimiter: str, word: str
) -> None:
    content = f"text{delimiter}label\nx, y{delimiter}1\n".replace("x, y", "x" if delimiter == "," else "x, y")
    examples = read_examples(write(f"t.{suffix}", content), SINGLE)
    assert (examples.labels, len(examples.report.notes)) == (["1"], 1)
    assert f"{word} stands between cells, 2 in every line" in examples.report.notes[0]
    uneven = write(f"u.{suffix}", f"{content}a{delimiter}b{delimiter}c\n")
    with pytest.raises(ConfigError, match="no column 'text'") as error:
        read_examples(uneven, SINGLE)
    flag = "tab" if delimiter == "\t" else delimiter
    assert f"--delimiter {shlex.quote(flag)}" in str(error.value.hint)
    assert read_examples(uneven, SINGLE, delimiter=flag, on_bad_row="skip").report.rows_used == 1


def test_a_table_of_one_column_is_not_divided_by_the_commas_of_its_texts(write: Write) -> None:
    path = write("t.txt", "well, yes\nno, never\n")
    assert read_examples(path, Columns(0), no_header=True).texts_a == ["well, yes", "no, never"]


def test_the_first_line_of_excel_names_the_delimiter(write: Write) -> None:
    examples = read_examples(write("t.csv", "sep=;\r\ntext;label\r\nx, y;1\r\n\r\nz;0\r\n"), SINGLE, on_bad_row="skip")
    assert (examples.texts_a, examples.lines) == (["x, y", "z"], [3, 5])
    assert examples.report.refused[0].line == 4
    assert "as its first line says" in examples.report.notes[0]


def test_a_quoted_tsv_that_is_read_literally_names_the_flag(write: Write) -> None:
    path = write("t.tsv", 'text\tlabel\n"two\nlines"\tneg\n"tab\there"\tpos\n')
    with pytest.raises(DataError) as error:
        read_examples(path, SINGLE)
    assert "--quoting csv" in str(error.value.hint)
    assert read_examples(path, SINGLE, quoting="csv").texts_a == ["two\nlines", "tab\there"]


def test_a_first_line_that_reads_like_a_text_is_told_of(write: Write) -> None:
    path = write("t.txt", "works as it should\nnever again\n")
    examples = read_examples(path, Columns(0))
    assert "--no-header" in examples.report.warnings[0]
    assert read_examples(path, Columns(0), no_header=True).report.warnings == []
    with pytest.raises(ConfigError) as error:
        read_examples(path, Columns("text"))
    assert "--no-header" in str(error.value.hint)


def test_a_quoted_header_in_a_tsv_points_to_quoting(write: Write) -> None:
    with pytest.raises(ConfigError) as error:
        read_examples(write("t.tsv", '"text"\t"label"\n"x"\t"1"\n'), SINGLE)
    assert "--quoting csv" in str(error.value.hint)


@pytest.mark.parametrize("delimiter", ["", "::", '"', "\n"])
def test_a_delimiter_that_cannot_be_one_is_refused(write: Write, delimiter: str) -> None:
    path = write("t.csv", "text,label\nx,1\n")
    with pytest.raises(ConfigError, match="delimiter"):
        read_examples(path, SINGLE, delimiter=delimiter)


def test_columns_by_number_count_from_zero(write: Write) -> None:
    path = write("t.tsv", "n1\tn2\t0\nx\ty\tz\n")
    assert read_examples(path, Columns(0, 2, "1")).texts_b == ["z"]
    assert read_examples(path, Columns("0")).texts_a == ["z"]
    with pytest.raises(ConfigError, match="no column number 3: it has 3 columns, counted from 0"):
        read_examples(path, Columns(3))
    with pytest.raises(ConfigError, match="no column number -1"):
        read_examples(path, Columns(-1))
    with pytest.raises(ConfigError, match="are the same one"):
        read_examples(path, Columns("n1", 0))


def test_a_file_without_a_header_has_numbers_only(write: Write) -> None:
    path = write("t.tsv", "x\t1\ny\t0\n")
    examples = read_examples(path, Columns(0, None, 1), no_header=True)
    assert (examples.texts_a, examples.labels, examples.lines) == (["x", "y"], ["1", "0"], [1, 2])
    with pytest.raises(ConfigError, match="without a header"):
        read_examples(path, SINGLE, no_header=True)


def test_a_column_named_twice_is_an_error_only_where_it_is_asked_for(write: Write) -> None:
    path = write("t.csv", "text,label,text,other\nx,1,y,z\n")
    with pytest.raises(DataError, match="2 columns are called 'text'") as error:
        read_examples(path, SINGLE)
    assert "0 or 2" in str(error.value.hint)
    assert read_examples(path, Columns(2, None, "label")).texts_a == ["y"]
    assert read_examples(path, Columns("other", None, "label")).texts_a == ["z"]
    # Labels that are not needed are left out, as where there are none.
    examples = read_examples(path, Columns("other", None, "text"), require_label=False)
    assert (examples.texts_a, examples.labels) == (["z"], None)


def test_a_cell_of_ten_million_characters_is_the_largest(write: Write) -> None:
    largest = "x" * 10_000_000
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        path = write(f"t.{suffix}", f"text{delimiter}label\n{largest}{delimiter}1\n")
        assert read_examples(path, SINGLE).texts_a == [largest]
        path = write(f"u.{suffix}", f"text{delimiter}label\n{largest}x{delimiter}1\n")
        with pytest.raises(DataError, match=rf"u\.{suffix}:2: .*10,000,000"):
            read_examples(path, SINGLE)
