from pathlib import Path

import pytest

from bertune.errors import CheckpointError
from bertune.tokens.vocabulary import looks_cased, read_vocabulary

SPECIAL = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "vocab.txt: the vocabulary is empty"),
        (b"\n", "line 1: blank"),
        (SPECIAL + b"a\nb\na\n", "line 8: 'a' stands there already at .*line 6"),
        (SPECIAL + b"a\r\nb\r\n", "line 6: Windows line end"),
        (SPECIAL + b"a\rb\nc\n", "line 6: carriage return inside of a piece"),
        (b"\xef\xbb\xbf" + SPECIAL, "line 1: begins with a byte order mark"),
        (SPECIAL + b"a\n\nb\n", "line 7: blank"),
        (SPECIAL + b"a\n\n", "line 7: blank"),
        (SPECIAL + "a\n\u00a0\n".encode(), "line 7: blank"),
        (SPECIAL + b"a\nb \n", "line 7: white space around the piece 'b '"),
        (SPECIAL + b"a\n\xff\xfe\n", r"line 7: not UTF-8 \(byte 1 of the line\)"),
        (b"[PAD]\n[UNK]\n[CLS]\na\n", r"vocab.txt: the vocabulary lacks \[SEP\], \[MASK\]"),
    ],
)
def test_a_vocabulary_that_readers_number_differently_is_refused_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_vocabulary(path)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.txt: the vocabulary cannot be read"):
        read_vocabulary(tmp_path / "gone.txt")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_ids_are_line_numbers_with_and_without_a_last_line_feed(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(SPECIAL + "naïve\n##é".encode() + end)
    assert read_vocabulary(path)[5:] == ["naïve", "##é"]


def test_only_line_feeds_end_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(SPECIAL + "a\u2028b\nc\n".encode())
    assert read_vocabulary(path)[5:] == ["a\u2028b", "c"]


def test_capitals_outside_of_brackets_make_a_vocabulary_cased() -> None:
    assert looks_cased(["[CLS]", "the", "##Ing"])
    assert not looks_cased(["[CLS]", "[unused1]", "[UNK]", "the", "##ing"])
