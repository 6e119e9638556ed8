from collections.abc import Callable
from pathlib import Path

import pytest

from bertune.errors import ConfigError, DataError
from bertune.text.examples import Columns
from bertune.text.sources import read_examples

Write = Callable[[str, str | bytes], Path]
SINGLE = Columns("text", None, "label")


def test_keys_may_come_in_any_order_and_values_keep_every_character(write: Write) -> None:
    path = write(
        "t.jsonl",
        '\ufeff{"text": "a\\nb\\u2028\\ud83d\\ude00", "label": "x"}\r\n{"label": "y", "extra": [1], "text": ""}\n\n',
    )
    examples = read_examples(path, SINGLE)
    assert examples.texts_a == ["a\nb\u2028😀", ""]
    assert examples.labels == ["x", "y"]
    assert examples.lines == [1, 2]


@pytest.mark.parametrize(
    ("value", "word"),
    [("true", "true"), ("false", "false"), ("3", "3"), ("-1", "-1"), ("1.0", "1"), ("0.25", "0.25"), ('"1.0"', "1.0")],
)
def test_labels_become_the_words_that_a_csv_would_hold(write: Write, value: str, word: str) -> None:
    assert read_examples(write("t.ndjson", f'{{"text": "x", "label": {value}}}\n'), SINGLE).labels == [word]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "x", "label": 1', "not valid JSON"),
        ('{"text": "x", "label": NaN}', "NaN is no JSON value"),
        ('{"text": "x", "label": 1} {"text": "y"}', "not valid JSON: Extra data"),
        ('["x", 1]', "expected a JSON object, got a list"),
        ("3", "expected a JSON object, got a number"),
        ('{"text": "x", "text": "y", "label": 1}', "the key 'text' occurs twice"),
        ('{"text": 5, "label": 1}', r"'text' is a number \(5\), expected a string"),
        ('{"text": true, "label": 1}', "'text' is a truth value"),
        ('{"text": null, "label": 1}', "'text' is missing"),
        ('{"label": 1}', "'text' is missing"),
        ('{"text": "x"}', "'label' is missing, expected a label"),
        ('{"text": "x", "label": null}', "'label' is missing, expected a label"),
        ('{"text": "x", "label": " "}', "'label' is blank"),
        ('{"text": "x", "label": [1]}', "'label' is a list, expected one label"),
        ('{"text": "\\ud800", "label": 1}', "half of a surrogate pair"),
        ('{"text": ' + "[" * 100_000, "nested too deeply|not valid JSON"),
        ('{"text": "x", "label": ' + "9" * 5000 + "}", "not usable JSON"),
        ("", "the line is blank"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_can_be_skipped(write: Write, line: str, message: str) -> None:
    good = '{"text": "good", "label": 0}\n'
    path = write("t.jsonl", f"{good}{line}\n{good}")
    with pytest.raises(DataError, match=rf"t\.jsonl:2: .*({message})"):
        read_examples(path, SINGLE)
    report = read_examples(path, SINGLE, on_bad_row="skip").report
    assert (report.rows_in, report.rows_used, [row.line for row in report.refused]) == (3, 2, [2])


def test_a_wrong_key_gets_the_nearest_one(write: Write) -> None:
    with pytest.raises(ConfigError, match="no column 'txt'") as error:
        read_examples(write("t.jsonl", '{"text": "x", "label": 1}\n'), Columns("txt", None, "label"))
    assert error.value.hint == "did you mean 'text'?"


@pytest.mark.parametrize("content", ['[{"text": "x"},\n {"text": "y"}]\n', '{\n  "text": "x"\n}\n'])
def test_one_document_instead_of_lines_is_explained(write: Write, content: str) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1") as error:
        read_examples(write("t.jsonl", content), SINGLE)
    assert "one object a line" in str(error.value.hint)


def test_a_file_without_any_object_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        read_examples(write("t.jsonl", "\n\n"), SINGLE)
    with pytest.raises(DataError, match=r"t\.jsonl:1"):
        read_examples(write("t.jsonl", "x\ny\n"), SINGLE)
