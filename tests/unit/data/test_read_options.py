import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.read_options import ReadOptions
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits, read_split
from bertune.errors import ConfigError, DataError

Write = Callable[[str, str | bytes], Path]
SINGLE = Columns("text", None, "label")
WORDS = "text;label\ncr\u00e8me br\u00fbl\u00e9e, 5 \u20ac;neg\nth\u00e9;pos\n"


@pytest.mark.parametrize("encoding", ["cp1252", "WINDOWS-1252", "utf-16", "utf-16-le", "utf-8", "utf-8-sig", "gb18030"])
def test_a_text_table_is_read_in_the_encoding_that_is_named(write: Write, encoding: str) -> None:
    words = WORDS.replace("\u20ac", "EUR") if encoding == "gb18030" else WORDS
    examples = read_examples(write("t.csv", words.encode(encoding)), SINGLE, encoding=encoding)
    assert examples.texts_a == [line.split(";")[0] for line in words.splitlines()[1:]]
    assert examples.lines == [2, 3]


def test_utf_16_with_its_mark_is_read_by_itself(write: Write) -> None:
    examples = read_examples(write("t.csv", WORDS.encode("utf-16")), SINGLE)
    assert examples.labels == ["neg", "pos"]
    assert any("utf-16" in note for note in examples.report.notes)


def test_what_is_not_in_the_encoding_is_named_with_its_line(write: Write) -> None:
    with pytest.raises(DataError, match=r"t\.csv:2: not shift_jis: byte 0x"):
        read_examples(write("t.csv", b"text,label\nx\xff,1\n"), SINGLE, encoding="shift_jis")
    cut = write("u.csv", "text,label\nx,1\n".encode("utf-16") + b"\x00")
    with pytest.raises(DataError, match=r"u\.csv:\d+: .* not utf-16"):
        read_examples(cut, SINGLE, encoding="utf-16")


def test_utf_8_is_not_read_as_an_encoding_in_which_nothing_can_be_wrong(write: Write) -> None:
    path = write("t.csv", WORDS)
    with pytest.raises(DataError, match="is UTF-8, not cp1252") as error:
        read_examples(path, SINGLE, encoding="cp1252")
    assert "--encoding utf-8" in str(error.value.hint)
    ascii_alone = write("u.csv", "text,label\nx,1\n")
    assert len(read_examples(ascii_alone, SINGLE, encoding="cp1252")) == 1


def test_an_encoding_must_be_told_before_the_delimiter_can_be_seen(write: Write) -> None:
    path = write("t.csv", WORDS.encode("cp1252"))
    with pytest.raises(DataError, match="not UTF-8") as error:
        read_examples(path, SINGLE)
    assert "--encoding cp1252" in str(error.value.hint)
    assert len(read_examples(path, SINGLE, encoding="cp1252")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "cp1521"}, "no encoding is called 'cp1521'"),
        ({"encoding": "base64"}, "no encoding is called"),
        ({"delimiter": ""}, "must be one character"),
        ({"delimiter": '"'}, "must be one character"),
        ({"delimiter": "||"}, "must be one character"),
        ({"max_bad_rows": 5, "on_bad_row": "skip"}, "a share of the rows, between 0 and 1"),
        ({"max_bad_rows": 0.1}, "without --on-bad-row skip"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReadOptions(**options)  # type: ignore[arg-type]


def test_what_is_not_set_is_as_in_training() -> None:
    kept = ReadOptions(delimiter=";", encoding="cp1252", no_header=True, quoting="none")
    assert ReadOptions().completed_by(kept) == kept
    assert kept.named() == "--delimiter ';' --encoding cp1252 --no-header --quoting none"
    assert ReadOptions(on_bad_row="skip").named() == ""
    own = ReadOptions(delimiter=",", no_header=False, on_bad_row="skip")
    completed = own.completed_by(kept)
    assert (completed.delimiter, completed.encoding, completed.has_header) == (",", "cp1252", True)
    assert completed.on_bad_row == "skip"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "jsonl", "json"])
def test_packed_tables_are_read_as_the_others(write: Write, suffix: str) -> None:
    content = {
        "csv": "text,label\nx,1\ny,0\n",
        "jsonl": '{"text": "x", "label": 1}\n{"text": "y", "label": 0}\n',
        "json": '[{"text": "x", "label": 1},\n{"text": "y", "label": 0}]',
    }.get(suffix, "text\tlabel\nx\t1\ny\t0\n")
    path = write(f"train.{suffix}.gz", gzip.compress(content.encode()))
    (split,) = find_splits(path.parent).values()
    assert (split.name, split.paths) == ("train", (path,))
    assert read_split(split, columns=SINGLE).texts_a == ["x", "y"]


def test_a_packed_table_that_is_cut_or_swells_is_an_error(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"text,label\n" + b"".join(b"text %d,1\n" % number for number in range(10_000))
    packed = gzip.compress(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        read_examples(write("cut.csv.gz", packed[: len(packed) // 2]), SINGLE)
    monkeypatch.setattr("bertune.data.formats.byte_files._ALWAYS_ALLOWED", 1 << 16)
    assert len(read_examples(write("usual.csv.gz", packed), SINGLE)) == 10_000
    with pytest.raises(DataError, match="more than 200 times its size"):
        read_examples(write("bomb.csv.gz", gzip.compress(b"text,label\n" + b"x,1\n" * 1_000_000)), SINGLE)


def test_the_share_of_bad_rows_is_the_users(write: Write) -> None:
    path = write("t.csv", "text,label\n" + "x,1\n" * 88 + "y,\n" * 12)
    with pytest.raises(DataError, match="12 of 100 rows cannot be used, more than 1 %") as error:
        read_examples(path, SINGLE, on_bad_row="skip")
    assert str(error.value.hint).endswith("--max-bad-rows 0.12")
    assert len(read_examples(path, SINGLE, on_bad_row="skip", max_bad_rows=0.12)) == 88
    with pytest.raises(DataError, match="more than 11 %"):
        read_examples(path, SINGLE, on_bad_row="skip", max_bad_rows=0.11)
    with pytest.raises(DataError, match="more than 0 %"):
        read_examples(path, SINGLE, on_bad_row="skip", max_bad_rows=0)


def test_texts_in_several_columns_are_joined_by_a_space(write: Write) -> None:
    path = write("t.csv", 'title,body,label,"a,b"\nNo,it broke,neg,c\n,fine,pos,d\n')
    examples = read_examples(path, Columns("title, body", None, "label"))
    assert examples.texts_a == ["No it broke", "fine"]
    assert examples.report.header == ("title,body", "label")
    assert read_examples(path, Columns("a,b", None, "label")).texts_a == ["c", "d"]
    assert read_examples(path, Columns("0,1", "a,b", "label")).texts_b == ["c", "d"]
    with pytest.raises(ConfigError, match="no column 'bdy'"):
        read_examples(path, Columns("title,bdy", None, "label"))


def test_a_pattern_stands_for_all_its_files(write: Write) -> None:
    for number in (2, 1, 10):
        write(f"part-{number:02}.csv", f"text,label\nx{number},1\n")
    folder = write("other.csv", "text,label\n").parent
    (split,) = find_splits(folder / "part-*.csv").values()
    examples = read_split(split, columns=SINGLE)
    assert examples.texts_a == ["x1", "x2", "x10"]
    assert [note.rpartition("/")[2] for note in examples.report.notes] == [
        f"part-{number}.csv: 1 of 1 rows used" for number in ("01", "02", "10")
    ]
    with pytest.raises(ConfigError, match=r"no file matches .*none-\*\.csv"):
        find_splits(folder / "none-*.csv")


def test_a_name_that_is_not_utf_8_is_written_with_escapes(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9 with spaces.csv"
    path.write_text("text,label\nx,1\n")
    examples = read_examples(path, SINGLE)
    assert examples.where(0).endswith("caf\\xe9 with spaces.csv:2")
