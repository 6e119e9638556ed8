"""Columns of probabilities: what is read, what is refused, and in which words."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.examples import Columns, Examples, LabelSet, join_examples
from bertune.data.frames import read_frame
from bertune.data.soft_labels import MOST_OFF, SoftLabels, checked_probabilities, soft_columns_in, why_none
from bertune.data.sources import read_examples
from bertune.errors import ConfigError, DataError

SOFT = (("p_up", "up"), ("p_down", "down"))
COLUMNS = Columns("text", soft=SOFT)


def write(folder: Path, *rows: str, header: str = "text,label,p_up,p_down") -> Path:
    path = folder / "votes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_label_is_the_most_probable_one_and_of_equal_ones_the_first_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a,up,0.2,0.8", "b,up,0.5,0.5", "c,down,1,0")
    assert read_examples(path, COLUMNS).labels == ["down", "up", "up"]
    turned = read_examples(path, Columns("text", soft=SOFT[::-1]))
    assert turned.labels == ["down", "down", "up"]
    given_labels = read_examples(path, Columns("text", None, "label", soft=SOFT))
    assert given_labels.labels == ["up", "up", "down"]
    assert given_labels.soft is not None
    ordered = given_labels.soft.in_order(LabelSet(("down", "up")))
    assert np.array_equal(ordered, np.array([[0.8, 0.2], [0.5, 0.5], [0, 1]], np.float32))


def test_probabilities_follow_their_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a,up,0.2,0.8", "b,up,0.5,0.5", "c,down,1,0")
    examples = read_examples(path, COLUMNS)
    chosen = join_examples([examples.select([2, 0]), examples.select([1])], "both")
    assert chosen.soft == SoftLabels(("up", "down"), [(1.0, 0.0), (0.2, 0.8), (0.5, 0.5)])


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("0.7,0.31", "the probabilities of its labels sum to 1.01, not to 1"),
        ("1.2,-0.2", "the probability 'p_down' is -0.2, which is negative"),
        ("nan,1", "the probability 'p_up' is nan, which is not finite"),
        ("inf,0", "the probability 'p_up' is inf, which is not finite"),
        (",1", "'p_up' is missing, expected a probability"),
        ("much,1", "'p_up' is 'much', expected a probability"),
        ("0_1,1", "'p_up' is '0_1', expected a probability"),
    ],
)
def test_a_row_that_is_no_distribution_is_refused_with_file_and_line(cells: str, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a,up,0.2,0.8", f"b,up,{cells}")
    with pytest.raises(DataError) as refused:
        read_examples(path, COLUMNS)
    assert str(refused.value).startswith(f"{path}:3: {reason}")


def test_bad_rows_can_be_passed_over(tmp_path: Path) -> None:
    rows = [f"t{number},up,0.25,0.75" for number in range(20)]
    path = write(tmp_path, *rows, "b,up,0.1,0.1")
    examples = read_examples(path, Columns("text", None, "label", soft=SOFT), on_bad_row="skip")
    assert len(examples) == 20
    assert examples.soft is not None
    assert len(examples.soft) == 20
    assert [row.line for row in examples.report.refused] == [22]


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column 'p_other'.*p_up"):
        read_examples(write(tmp_path, "a,up,1,0"), Columns("text", soft=(("p_up", "up"), ("p_other", "down"))))


def test_other_formats_give_the_same_numbers(tmp_path: Path) -> None:
    records = [{"text": "a", "p_up": 0.25, "p_down": 0.75}, {"text": "b", "p_up": 1, "p_down": 0}]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    table = pyarrow.table({"text": ["a", "b"], "p_up": [0.25, 1.0], "p_down": [0.75, 0.0]})
    expected = [(0.25, 0.75), (1.0, 0.0)]
    for examples in (read_examples(path, COLUMNS), read_frame(table, COLUMNS)):
        assert examples.soft == SoftLabels(("up", "down"), expected)
        assert examples.labels == ["down", "up"]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (("p_up",), "is not COLUMN=LABEL"),
        (("=up",), "is not COLUMN=LABEL"),
        (("p_up=",), "is not COLUMN=LABEL"),
        (("p_up=up",), "one label alone"),
        (("p=up", "p=down"), "names the column 'p' twice"),
        (("p=up", "q=up"), "names the label 'up' twice"),
    ],
)
def test_entries_that_cannot_be_meant_are_refused(entries: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        soft_columns_in(entries)
    assert soft_columns_in(()) == ()
    assert soft_columns_in(("p_up = up", "b=d=e")) == (("p_up", "up"), ("b", "d=e"))


def test_a_label_without_a_column_is_refused() -> None:
    soft = SoftLabels(("up", "down"), [(0.5, 0.5)])
    with pytest.raises(ConfigError, match="'upp' has no column") as refused:
        soft.check_labels(("up", "upp"))
    assert refused.value.hint == "did you mean 'up'?"


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=20))
def test_what_is_read_is_what_was_written_up_to_its_sum(weights: list[list[float]]) -> None:
    rows = [[each / math.fsum(row) for each in row] if math.fsum(row) > 1e-100 else [1.0, 0.0, 0.0] for row in weights]
    checked = checked_probabilities(np.array(rows), "row {}".format)
    assert np.allclose(checked, rows, rtol=0, atol=1e-12)
    assert np.allclose(checked.sum(axis=1), 1, rtol=0, atol=1e-15)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=5))
def test_both_checks_agree_on_any_numbers(values: list[float]) -> None:
    is_good = all(math.isfinite(value) and value >= 0 for value in values) and abs(math.fsum(values) - 1) <= MOST_OFF
    assert (why_none(values, [str(place) for place in range(len(values))]) is None) == is_good
    if is_good:
        assert checked_probabilities(np.array([values]), "row {}".format).min() >= 0
    else:
        with pytest.raises(DataError, match=r"^row 0: "):
            checked_probabilities(np.array([values]), "row {}".format)


def test_examples_of_lists_have_none() -> None:
    assert Examples.from_lists(["a"], labels=["x"]).soft is None
