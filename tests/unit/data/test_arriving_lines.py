import os
from collections.abc import Iterator
from io import BytesIO

import pytest

from bertune.data.examples import Examples
from bertune.data.formats.arriving_lines import arriving_examples, typed_examples
from bertune.errors import DataError


def texts(batches: Iterator[Examples]) -> list[list[str]]:
    return [batch.texts_a for batch in batches]


def test_lines_are_given_as_soon_as_they_are_there() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
        batches = arriving_examples(stream, pair=False)
        pipe.write(b"one\n")
        assert next(batches).texts_a == ["one"]
        pipe.write(b"two\r\nthree\n\nfo")
        batch = next(batches)
        assert (batch.texts_a, batch.lines) == (["two", "three", ""], [2, 3, 4])
        assert batch.report.blank_texts == 1
        pipe.write(b"ur\n")
        assert next(batches).texts_a == ["four"]
        pipe.write(b"no line end")
        pipe.close()
        assert texts(batches) == [["no line end"]]


@pytest.mark.parametrize("count", [1023, 1024, 1025, 5000])
def test_no_line_is_lost_however_many_there_are(count: int) -> None:
    lines = [f"text {number} " + "x" * (number % 997) for number in range(count)]
    batches = list(arriving_examples(BytesIO("\n".join(lines).encode()), pair=False))
    assert [text for batch in batches for text in batch.texts_a] == lines
    assert [line for batch in batches for line in batch.lines] == list(range(1, count + 1))
    assert max(map(len, batches)) <= 1024


def test_what_came_before_a_bad_line_is_given_first() -> None:
    batches = arriving_examples(BytesIO(b"a\tb\nc\td\ne\n"), pair=True, name="stdin")
    batch = next(batches)
    assert (batch.texts_a, batch.texts_b) == (["a", "c"], ["b", "d"])
    with pytest.raises(DataError, match="stdin:3: 0 tabs, expected exactly one"):
        next(batches)
    broken = arriving_examples(BytesIO(b"good\n\xff\n"), pair=False)
    assert next(broken).texts_a == ["good"]
    with pytest.raises(DataError, match=":2: not UTF-8"):
        next(broken)
    with pytest.raises(DataError, match="is empty"):
        next(arriving_examples(BytesIO(b""), pair=False))


def test_texts_are_asked_for_until_the_input_ends() -> None:
    asked: list[str] = []
    stream = BytesIO(b"good\tfilm\n  \nbad\n")
    assert texts(typed_examples(stream, asked.append, ["text"])) == [["good\tfilm"], ["bad"]]
    assert asked == ["text"] * 4
    asked.clear()
    stream = BytesIO(b"one\n\ntwo\tmore\npasted\tpair\nhalf\n")
    pairs = [(each.texts_a[0], (each.texts_b or [])[0]) for each in typed_examples(stream, asked.append, ["a", "b"])]
    assert pairs == [("one", "two\tmore"), ("pasted", "pair")]
    assert asked == ["a", "b", "b", "a", "a", "b"]
