import subprocess
from pathlib import Path

import pytest

from bertune.errors import CheckpointError
from bertune.tokenization.vocabulary import looks_cased, read_vocabulary

SPECIAL = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "vocab.txt: the vocabulary is empty"),
        (b"\n", "line 1: blank"),
        (SPECIAL + b"a\nb\na\n", "line 8: 'a' stands there already at .*line 6"),
        (SPECIAL + b"a\r\nb\r\n", r"line 6: Windows line end \(CRLF\), where line 1 ends in LF"),
        (SPECIAL.replace(b"\n", b"\r\n") + b"a\nb\r\n", r"line 1: Windows line end \(CRLF\), where line 6 ends in LF"),
        (SPECIAL.replace(b"\n", b"\r\n") + b"a\rb\r\n", "line 6: carriage return inside of a piece"),
        (SPECIAL.replace(b"\n", b"\r\n") + b"\r\na\r\n", "line 6: blank"),
        (SPECIAL + b"a\rb\nc\n", "line 6: carriage return inside of a piece"),
        (b"\xef\xbb\xbf" + SPECIAL, "line 1: begins with a byte order mark"),
        (SPECIAL + b"a\n\nb\n", "line 7: blank"),
        (SPECIAL + b"a\n\n", "line 7: blank"),
        (SPECIAL + b"a\n \t\n", "line 7: blank"),
        (SPECIAL + "a\n\u00a0 \n".encode(), "line 7: blank"),
        (SPECIAL + "a\nb\u00a0\n".encode(), "line 7: white space around the piece"),
        (SPECIAL + "\u2581the\n\u2581s\nthe\n".encode(), r"no piece begins with ##, some with .*SentencePiece"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a Git LFS pointer"),
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
    with pytest.raises(CheckpointError, match=r"gone\.txt: no such file"):
        read_vocabulary(tmp_path / "gone.txt")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_ids_are_line_numbers_with_and_without_a_last_line_feed(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(SPECIAL + "naïve\n##é".encode() + end)
    assert read_vocabulary(path)[5:] == ["naïve", "##é"]


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_vocabulary_whose_lines_all_end_in_crlf_is_read_as_with_line_feeds(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes((SPECIAL + b"the\nsoup").replace(b"\n", b"\r\n") + end)
    assert read_vocabulary(path) == [*SPECIAL.decode().split(), "the", "soup"]


def test_the_hint_for_mixed_line_ends_is_a_command_that_mends_them(tmp_path: Path) -> None:
    path = tmp_path / "my vocab.txt"
    path.write_bytes(SPECIAL + b"a\r\nb\n")
    with pytest.raises(CheckpointError) as caught:
        read_vocabulary(path)
    assert caught.value.hint is not None
    subprocess.run(caught.value.hint.removeprefix("run: "), shell=True, check=True)
    assert read_vocabulary(path)[5:] == ["a", "b"]


def test_a_white_space_character_beyond_ascii_may_be_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    spaces = ["\u2028", "\u2029", "\u0085", "\u3000", "\u00a0", "##\u2028"]
    path.write_bytes(SPECIAL + "\n".join([*spaces, "\u623f", ""]).encode())
    assert read_vocabulary(path)[5:] == [*spaces, "\u623f"]


def test_only_line_feeds_end_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(SPECIAL + "a\u2028b\nc\n".encode())
    assert read_vocabulary(path)[5:] == ["a\u2028b", "c"]


def test_capitals_outside_of_brackets_make_a_vocabulary_cased() -> None:
    assert looks_cased(["[CLS]", "the", "##Ing"])
    assert not looks_cased(["[CLS]", "[unused1]", "[UNK]", "the", "##ing"])
