"""Properties: whatever is written is read back, and no row is ever lost."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bertune.data.examples import Columns, Examples
from bertune.data.read_options import Quoting
from bertune.data.sources import read_examples
from bertune.errors import DataError

COLUMNS = Columns("a", "b", "label")
characters = st.characters(exclude_categories=["Cs"])
any_text = st.text(characters, max_size=12) | st.text('"\n\r,\t \x00\x1c\x85\u2028\ufeff;é😀', max_size=8)
label_words = st.text(characters, min_size=1, max_size=5).filter(lambda word: bool(word.strip()))
literal_text = any_text.map(lambda text: text.replace("\t", " ").replace("\n", " "))
literal_label = label_words.map(lambda text: "l" + text.replace("\t", " ").replace("\n", " ") + "l")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


def is_full_of_zeros(content: bytes) -> bool:
    """Such a file is refused as UTF-16."""
    return content.count(b"\x00") * 5 > len(content)


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(any_text, any_text, label_words), min_size=1, max_size=8),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_rows_written_as_csv_are_read_back_equal(folder: Path, rows: list[tuple[str, str, str]], ending: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows([("a", "b", "label"), *rows])
    path = folder / "rows.csv"
    content = buffer.getvalue().encode()
    assume(not is_full_of_zeros(content))
    path.write_bytes(content)
    examples = read_examples(path, COLUMNS)
    assert list(zip(examples.texts_a, examples.texts_b or [], examples.labels or [], strict=True)) == rows
    lines = buffer.getvalue().encode().split(b"\n")
    assert all(lines[line - 1].startswith(b'"') for line in examples.lines)


@settings(max_examples=150)
@given(rows=st.lists(st.tuples(literal_text, literal_text, literal_label), min_size=1, max_size=8))
def test_rows_written_as_plain_tsv_are_read_back_equal(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    path = folder / "rows.tsv"
    content = "".join("\t".join(row) + "\n" for row in [("a", "b", "label"), *rows]).encode()
    assume(not is_full_of_zeros(content))
    path.write_bytes(content)
    examples = read_examples(path, COLUMNS)
    assert list(zip(examples.texts_a, examples.texts_b or [], examples.labels or [], strict=True)) == rows
    assert examples.lines == list(range(2, len(rows) + 2))


@settings(max_examples=100)
@given(rows=st.lists(st.tuples(any_text, any_text, label_words), min_size=1, max_size=8), ascii_only=st.booleans())
def test_rows_written_as_json_lines_are_read_back_equal(
    folder: Path, rows: list[tuple[str, str, str]], ascii_only: bool
) -> None:
    path = folder / "rows.jsonl"
    objects = [dict(zip(("a", "b", "label"), row, strict=True)) for row in rows]
    path.write_bytes("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in objects).encode())
    examples = read_examples(path, COLUMNS)
    assert list(zip(examples.texts_a, examples.texts_b or [], examples.labels or [], strict=True)) == rows


@settings(max_examples=150)
@given(
    lines=st.lists(
        st.sampled_from(["x\ty\t1", "x\ty\t", "x", "", "\t\t0", "x\ty\t1\tz", '"x\ty\t1', " "]), max_size=12
    ),
    quoting=st.sampled_from(["csv", "none"]),
    tail=st.integers(0, 2),
)
def test_every_corrupted_file_is_accounted_for_or_refused(
    folder: Path, lines: list[str], quoting: Quoting, tail: int
) -> None:
    path = folder / "corrupted.tsv"
    path.write_text("\n".join(["a\tb\tlabel", *lines]) + "\n" * tail, newline="")
    while lines and lines[-1] == "":
        lines = lines[:-1]
    good = [number for number, line in enumerate(lines, start=2) if line in ("x\ty\t1", "\t\t0", '"x\ty\t1')]
    may_fail = quoting == "csv" or not good or len(lines) - len(good) > 10
    examples = read_or_none(path, quoting)
    if examples is None:
        assert may_fail
        return
    report = examples.report
    assert report.rows_in == report.rows_used + len(report.refused) + report.rows_other_split
    assert sorted([*examples.lines, *(row.line for row in report.refused)]) == list(range(2, len(lines) + 2))
    assert examples.lines == good


def read_or_none(path: Path, quoting: Quoting) -> Examples | None:
    try:
        return read_examples(path, COLUMNS, quoting=quoting, on_bad_row="skip")
    except DataError:
        return None
