import itertools

import numpy as np
import pytest

from bertune.data.examples import Columns, Example, Examples, LabelSet, ReadReport, RefusedRow, Task, join_examples
from bertune.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10", "9", "-1", "9"], ("-1", "9", "10")),
        (["b", "a", "B"], ("B", "a", "b")),
        (["1", "x", "10"], ("1", "10", "x")),
        (["01", "1"], ("01", "1")),
        (["²", "1"], ("1", "²")),
    ],
)
def test_label_order_follows_the_words_and_never_the_rows(values: list[str], expected: tuple[str, ...]) -> None:
    for order in itertools.permutations(values):
        assert LabelSet.from_values(order).names == expected


def test_a_label_set_knows_the_ids_of_its_words() -> None:
    labels = LabelSet(("no", "yes"))
    assert (labels.index("yes"), len(labels), list(labels), "no" in labels, "maybe" in labels) == (
        1,
        2,
        ["no", "yes"],
        True,
        False,
    )
    assert labels == LabelSet(("no", "yes"))
    with pytest.raises(KeyError):
        labels.index("maybe")


@pytest.mark.parametrize("names", [("a", "a"), ("a", " ")])
def test_a_label_named_twice_or_blank_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        LabelSet(names)


def test_a_column_cannot_be_used_twice() -> None:
    with pytest.raises(ConfigError, match="once"):
        Columns("text", "text", "label")
    with pytest.raises(ConfigError, match="once"):
        Columns(0, None, "0")


def test_metrics_of_a_users_table_follow_the_number_of_labels() -> None:
    columns = Columns("text", None, "label")
    assert Task.for_columns(columns).metrics == ("accuracy",)
    assert Task.for_columns(columns).with_labels(LabelSet(("a", "b"))).metrics == ("accuracy", "f1")
    assert Task.for_columns(columns, labels=LabelSet(("a", "b", "c"))).metrics == ("accuracy", "f1_macro")
    assert Task.for_columns(columns, kind="regression").metrics == ("pearson", "spearman")


def test_a_metric_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="pearson, spearman"):
        Task("t", "regression", Columns("a"), None, ("accuracy",))
    with pytest.raises(ConfigError, match="no label words"):
        Task("t", "regression", Columns("a"), LabelSet(("a", "b")), ("pearson",))


def test_label_ids_follow_the_label_set() -> None:
    examples = Examples.from_lists(["x", "y", "z"], labels=["b", "a", "b"])
    ids = examples.label_ids(LabelSet(("a", "b")))
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 0, 1]


def test_an_unknown_label_is_named_with_its_line_and_the_nearest_label() -> None:
    report = ReadReport("train.tsv", 2, 2, [], 0)
    examples = Examples(["x", "y"], None, ["equivalent", "equivelent"], [2, 17], report)
    with pytest.raises(DataError, match=r"train\.tsv:17: label 'equivelent' is not one of") as error:
        examples.label_ids(LabelSet(("not_equivalent", "equivalent")))
    assert error.value.hint == "did you mean 'equivalent'?"


def test_targets_are_32_bit_numbers() -> None:
    targets = Examples.from_lists(["x", "y", "z"], labels=["5.000", "-1e2", " 3 "]).targets()
    assert targets.dtype == np.float32
    assert targets.tolist() == [5.0, -100.0, 3.0]


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "high", "1_000", "1e39", "0x10"])
def test_a_target_that_is_no_finite_number_is_named_with_its_line(word: str) -> None:
    with pytest.raises(DataError, match="table:2: the target must be a finite number"):
        Examples.from_lists(["x", "y"], labels=["1", word], name="table").targets()


def test_labels_that_were_not_read_cannot_be_asked_for() -> None:
    examples = Examples.from_lists(["x"], name="pairs.tsv")
    with pytest.raises(DataError, match=r"pairs\.tsv has no labels"):
        examples.label_ids(LabelSet(("a", "b")))
    with pytest.raises(DataError, match=r"pairs\.tsv has no labels"):
        examples.targets()


NOTHING = [None, float("nan")]


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_text_or_label_that_is_missing_is_named_by_its_place(nothing: object) -> None:
    with pytest.raises(DataError, match=r"texts_a\[1\] is (None|nan) \(nothing\), expected a text"):
        Examples.from_lists(["works well", nothing], None, ["pos", "neg"])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"texts_b\[0\] is (None|nan) \(nothing\), expected a text"):
        Examples.from_lists(["a"], [nothing])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"labels\[2\] is (None|nan) \(nothing\), expected a label"):
        Examples.from_lists(["a", "b", "c"], None, ["x", "y", nothing])
    with pytest.raises(DataError, match=r"values\[1\] is (None|nan) \(nothing\), expected a label"):
        LabelSet.from_values(["x", nothing])


def test_a_blank_label_and_a_number_among_texts_are_refused_by_their_place() -> None:
    with pytest.raises(DataError, match=r"labels\[1\] is blank, expected a label"):
        Examples.from_lists(["a", "b"], None, ["x", " "])
    with pytest.raises(DataError, match=r"texts_a\[1\] is the number 3, expected a text"):
        Examples.from_lists(["a", 3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], ["0", "1"]),
        ([0.0, 2.5], ["0", "2.5"]),
        ([True, False], ["true", "false"]),
        (np.array([0, 1]), ["0", "1"]),
        (list(np.array([0, 1], dtype=np.int8)), ["0", "1"]),
        (("x", 1), ["x", "1"]),
    ],
)
def test_numbers_become_the_words_that_a_file_would_hold(labels: list[object], words: list[str]) -> None:
    assert Examples.from_lists(["a", "b"], None, labels).labels == words
    assert set(LabelSet.from_values(labels).names) == set(words)


def test_integers_are_the_ids_of_labels_called_by_them() -> None:
    labels = LabelSet.from_values([1, 0, 1])
    assert labels.names == ("0", "1")
    assert Examples.from_lists(["a", "b"], None, [0, 1]).label_ids(labels).tolist() == [0, 1]
    with pytest.raises(ConfigError, match="the number 0 is no label word"):
        LabelSet((0, 1))  # type: ignore[arg-type]


def test_lists_of_labels_are_those_of_a_task_with_several_a_row() -> None:
    examples = Examples.from_lists(["a", "b"], None, [["x", 1], []])
    assert (examples.labels, examples.label_sets) == (None, [("x", "1"), ()])
    assert examples.label_rows(LabelSet(("1", "x"))).tolist() == [[1, 1], [0, 0]]
    assert LabelSet.from_values([["x", "y"], ["y"]]).names == ("x", "y")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("two words", "texts_a is one text, expected several"),
        ({"text": ["a"]}, "texts_a is a dict with the keys 'text'"),
        ({"a", "b"}, "texts_a is a set, which has no order"),
        (None, r"texts_a is None \(nothing\), expected a list"),
        (3, "texts_a is the number 3, expected a list"),
        (b"a", "texts_a is of type bytes"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Examples.from_lists(given)  # type: ignore[arg-type]


def test_examples_are_shown_in_one_line() -> None:
    examples = Examples.from_lists(["a"] * 1234, labels=["x"] * 1234, name="reviews")
    assert repr(examples) == "Examples(1,234 texts of reviews with labels)"
    assert repr(Examples.from_lists(["a"], ["b"])) == "Examples(1 pair of texts in memory)"


def test_examples_can_be_iterated_and_chosen_from() -> None:
    examples = Examples.from_lists(["a", "b", "c"], ["d", "e", " "], ["0", "1", "2"])
    assert list(examples.select([2, 0])) == [Example("c", " ", "2"), Example("a", "d", "0")]
    assert examples.select([2]).lines == [3]
    assert examples.report.blank_texts == 1
    assert len(examples) == 3


def test_joined_files_keep_the_place_of_each_example() -> None:
    parts = [Examples.from_lists(["a", "b"], labels=["0", "1"], name=name) for name in ("one", "two")]
    joined = join_examples(parts, "both")
    assert [joined.where(row) for row in range(4)] == ["one:1", "one:2", "two:1", "two:2"]
    assert joined.select([3, 0]).where(0) == "two:2"
    assert (joined.report.path, joined.report.rows_in, joined.report.rows_used) == ("both", 4, 4)


def test_files_with_and_without_labels_are_not_joined() -> None:
    with pytest.raises(DataError, match="none in two"):
        join_examples(
            [Examples.from_lists(["a"], labels=["0"], name="one"), Examples.from_lists(["b"], name="two")], "both"
        )


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="texts_a and labels differ in length: 2 and 1 entries"):
        Examples.from_lists(["a", "b"], labels=["0"])
    with pytest.raises(ValueError, match="different length"):
        Examples(["a", "b"], None, ["0"], [1, 2], ReadReport("f", 2, 2, [], 0))


def test_a_report_that_does_not_balance_cannot_be_made() -> None:
    refused = [RefusedRow("f", 3, "why")]
    ReadReport("f", rows_in=10, rows_used=5, refused=refused, blank_texts=0, rows_other_split=4)
    with pytest.raises(ValueError, match="10 rows in, but 6 accounted for"):
        ReadReport("f", rows_in=10, rows_used=5, refused=refused, blank_texts=0)


def test_a_report_says_everything_in_one_line_and_as_plain_values() -> None:
    report = ReadReport("f.tsv", 10, 5, [RefusedRow("f.tsv", 3, "2 cells, expected 3")], 2, 4, ["odd"])
    assert report.summary() == (
        "f.tsv: 5 of 10 rows used, 4 belong to another split, 1 refused (first at line 3: 2 cells, expected 3), "
        "2 blank texts, 1 warning"
    )
    assert report.to_dict()["refused"] == [{"path": "f.tsv", "line": 3, "reason": "2 cells, expected 3"}]
