from collections.abc import Callable
from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import ConfigError, DataError

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


def test_one_object_over_several_lines_is_explained(write: Write) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1") as error:
        read_examples(write("t.jsonl", '{\n  "text": "x"\n}\n'), SINGLE)
    assert "one object a line" in str(error.value.hint)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_an_array_of_objects_is_read_with_the_line_of_each(write: Write, suffix: str) -> None:
    content = (
        '[\n {\n  "text": "x",\n  "label": 1\n },\n {"text": "[y]", "label": "a"}, {"text": "z", "label": null},\n 3,'
    )
    content += '\n {"text": "u", "text": "v"}, {"text": "w", "label": NaN}\n]\n'
    examples = read_examples(write(f"t.{suffix}", content), SINGLE, on_bad_row="skip")
    assert (examples.texts_a, examples.labels, examples.lines) == (["x", "[y]"], ["1", "a"], [2, 6])
    assert [(row.line, row.reason.split(",")[0]) for row in examples.report.refused] == [
        (6, "'label' is missing"),
        (7, "expected a JSON object"),
        (8, "the key 'text' occurs twice in one object"),
        (8, "not valid JSON: NaN is no JSON value"),
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('[{"text": "x", "label": 1}', 1),
        ('[{"text": "x", "label": 1}\n {"text": "y", "label": 0}]', 2),
        ('[{"text": "x", "label": 1},\n{"text": "y"', 2),
        ('[{"text": "x", "label": 1}] []', 1),
        ('[{"text": ' + "[" * 100_000, 1),
    ],
)
def test_a_broken_array_is_one_line_with_its_place(write: Write, content: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"t\.json:{line}: not a JSON array of objects"):
        read_examples(write("t.json", content), SINGLE)


def test_a_json_file_of_lines_is_read_as_lines(write: Write) -> None:
    path = write("t.json", '{"text": "x", "label": 1}\n{"text": "y", "label": 0}\n')
    assert read_examples(path, SINGLE).texts_a == ["x", "y"]


def test_a_name_is_unknown_only_if_no_row_has_it(write: Write) -> None:
    rows = ['{"text": "not judged"}'] * 150 + ['{"text": "x", "label": "a"}'] * 100
    path = write("t.jsonl", "\n".join(rows))
    with pytest.raises(DataError, match=r"t\.jsonl:1: 'label' is missing"):
        read_examples(path, SINGLE)
    examples = read_examples(path, SINGLE, on_bad_row="skip", max_bad_rows=0.6)
    assert (len(examples), len(examples.report.refused)) == (100, 150)
    with pytest.raises(ConfigError, match="no column 'lable'"):
        read_examples(path, Columns("text", None, "lable"))


def test_a_file_without_any_object_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        read_examples(write("t.jsonl", "\n\n"), SINGLE)
    with pytest.raises(DataError, match=r"t\.jsonl:1"):
        read_examples(write("t.jsonl", "x\ny\n"), SINGLE)


@pytest.mark.parametrize("value", ['{"name": "x"}', '[{"name": "x"}]'])
def test_an_object_as_a_label_is_named_in_an_array_too(write: Write, value: str) -> None:
    for name, content in (("t.jsonl", "{}\n{}\n"), ("t.json", "[{},\n{}]")):
        row = f'{{"text": "x", "label": {value}}}'
        path = write(name, content.replace("{}", '{"text": "x", "label": "a"}', 1).replace("{}", row, 1))
        with pytest.raises(DataError, match=rf"{name}:2: 'label' is (an object|a list), expected one label"):
            read_examples(path, SINGLE)
