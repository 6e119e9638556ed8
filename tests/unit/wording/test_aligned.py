"""Tables and sentences in the width of a terminal."""

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from bertune.wording.aligned import aligned, cells, output_width, shortened, wrapped


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """The writing end of a pseudo-terminal of 120 columns."""
    import fcntl
    import struct
    import termios

    controller, worker = pty.openpty()
    fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with os.fdopen(worker, "w") as stream:
        yield stream
    os.close(controller)


@pytest.mark.parametrize(("columns", "width"), [("", 120), ("0", 120), ("-3", 120), ("x", 120), ("100", 100)])
def test_columns_count_where_they_are_positive_else_the_terminal(
    columns: str, width: int, terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output_width(terminal) == width


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("1", 20), ("5000", 200)])
def test_off_a_terminal_80_columns_are_filled_and_never_more_than_200(
    columns: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with (tmp_path / "out").open("w") as stream:
        assert output_width(stream) == width
    assert output_width(io.StringIO()) == width


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert [cells(text) for text in ("soup", "房间", "e\u0301", "é", "")] == [4, 4, 1, 1, 0]


def test_a_name_is_shortened_in_its_middle_to_the_width() -> None:
    assert shortened("delivery", 8) == "delivery"
    assert shortened("delivery late", 8) == "deli…ate"
    assert [cells(shortened("房间很脏房间很脏", width)) for width in (5, 6, 7)] == [5, 5, 7]


def test_a_sentence_is_broken_at_spaces_and_no_word_is() -> None:
    line = "  warning: a path /that/is/much/longer/than/the/line stays whole  and gaps too"
    broken = wrapped(line, 30)
    assert broken == [
        "  warning: a path",
        "    /that/is/much/longer/than/the/line",
        "    stays whole  and gaps too",
    ]
    assert wrapped("fits", 4) == ["fits"]


def test_numbers_stand_to_the_right_and_nothing_stands_behind_the_last_word() -> None:
    rows = [("metric", "value", ""), ("accuracy", "7.0 %", ""), ("F1", "100.0 %", "better")]
    assert aligned(rows, width=80) == ["metric      value", "accuracy    7.0 %", "F1        100.0 %  better"]


def test_a_table_too_wide_breaks_its_headings_before_it_shortens_names() -> None:
    rows = [("trial", "learning rate", "Matthews correlation"), ("1", "1.0e-4", "0.512")]
    assert aligned(rows, width=30) == [
        "       learning     Matthews",
        "trial      rate  correlation",
        "1        1.0e-4        0.512",
    ]
    assert "lea…ing" not in "".join(aligned(rows, width=30))


def test_numbers_are_never_shortened() -> None:
    rows = [("label", *["a long heading here"] * 6), ("delivery late", *["1234567890"] * 6)]
    lines = aligned(rows, width=40)
    assert lines[-1].count("1234567890") == 6
    assert max(map(cells, lines)) > 40


def test_texts_are_broken_inside_their_column_and_end_after_three_lines() -> None:
    rows = [("label", "text_a", "text_b"), ("same", "one two three four five six", "seven " * 1_000_000)]
    lines = aligned(rows, width=40, texts=(1, 2))
    assert lines[0] == "label  text_a            text_b"
    assert lines[1] == "same   one two three     seven seven"
    assert lines[-1] == "                         seven seven…"
    assert len(lines) == 4
    assert max(map(len, lines)) <= 40
