"""The numbers about single rows, beside the same computed by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest

from bertune.checkpoints.signature import ModelSignature
from bertune.reports.answered_rows import answer_numbers
from bertune.reports.run_metrics import ErrorRow, Group
from bertune.system.hinted_values import from_json, to_json
from bertune.training.saved_run import AnsweredRow, Target

CLASSES = ModelSignature(labels=("no", "yes"), is_pair=False, max_length=32)
SEVERAL = ModelSignature(labels=("r", "s", "t"), is_pair=False, max_length=32, kind="multi-label")
VALUES = ModelSignature(labels=(), is_pair=False, max_length=32, kind="regression", metrics=("pearson",))


def row(number: int, target: Target, *logits: float, tokens: int = 8) -> AnsweredRow:
    return AnsweredRow(
        where=f"dev.tsv:{number}", text_a=f"text {number}", tokens=tokens, target=target, logits=tuple(logits)
    )


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_errors_stand_with_their_confidence_the_most_confident_first() -> None:
    rows = [row(1, "no", 3, 0), row(2, "no", 0, 1), row(3, "yes", 4, 0), row(4, "yes", 0, 2), row(5, "no", 0, 3)]
    numbers = answer_numbers(rows, CLASSES)
    assert [(error.where, error.target, error.answer) for error in numbers.errors] == [
        ("dev.tsv:3", "yes", "no"),
        ("dev.tsv:5", "no", "yes"),
        ("dev.tsv:2", "no", "yes"),
    ]
    assert [error.confidence for error in numbers.errors] == pytest.approx([sigmoid(4), sigmoid(3), sigmoid(1)])
    assert (numbers.rows, numbers.wrong) == (5, 3)
    assert numbers.overall.value == pytest.approx(2 / 5)
    assert [(group.label, group.rows, group.value) for group in numbers.by_target or ()] == [
        ("no", 3, pytest.approx(1 / 3)),
        ("yes", 2, pytest.approx(1 / 2)),
    ]


def test_temperature_and_threshold_of_the_model_decide() -> None:
    signature = ModelSignature(labels=("no", "yes"), is_pair=False, max_length=32, temperature=2.0, thresholds=(0.8,))
    rows = [row(1, "yes", 0, 2), row(2, "yes", 0, 4)]
    numbers = answer_numbers(rows, signature)
    # sigmoid(1) is below 0.8, so the first is answered "no", and sigmoid(2) is above it.
    assert [(error.where, error.answer) for error in numbers.errors] == [("dev.tsv:1", "no")]
    assert numbers.errors[0].confidence == pytest.approx(1 - sigmoid(1))


def test_a_row_of_several_labels_is_right_if_all_are_and_as_wrong_as_its_most_confident_wrong_label() -> None:
    rows = [row(1, ("r",), 2, -2, -1), row(2, (), -1, 0.5, -3), row(3, ("s", "t"), 3, 2, -1)]
    numbers = answer_numbers(rows, SEVERAL)
    assert numbers.measure == "all labels right"
    assert numbers.overall.value == pytest.approx(1 / 3)
    assert [(error.where, error.target, error.answer) for error in numbers.errors] == [
        ("dev.tsv:3", ("s", "t"), ("r", "s")),
        ("dev.tsv:2", (), ("s",)),
    ]
    assert [error.confidence for error in numbers.errors] == pytest.approx([sigmoid(3), sigmoid(0.5)])


def test_values_have_absolute_errors_and_points() -> None:
    rows = [row(1, 1.0, 1.5), row(2, 2.0, 2.0), row(3, 3.0, 1.0)]
    numbers = answer_numbers(rows, VALUES)
    assert numbers.measure == "mean absolute error"
    assert numbers.overall.value == pytest.approx(2.5 / 3)
    assert numbers.points == ((1.0, 1.5), (2.0, 2.0), (3.0, 1.0))
    assert [error.where for error in numbers.errors] == ["dev.tsv:3", "dev.tsv:1"]
    assert numbers.reliability is None


def test_groups_by_length_hold_every_row_once_and_are_measured_apart() -> None:
    source = np.random.default_rng(0)
    lengths = source.integers(3, 60, 200)
    rows = [row(at, "yes", 0, 1 if length < 30 else -1, tokens=int(length)) for at, length in enumerate(lengths)]
    groups = answer_numbers(rows, CLASSES).by_length
    assert sum(group.rows for group in groups) == 200
    assert all((before.end or 0) < (after.start or 0) for before, after in pairwise(groups))
    for group in groups:
        inside = lengths[(lengths >= group.start) & (lengths <= group.end)]
        assert group.rows == len(inside)
        assert group.value == pytest.approx((inside < 30).mean())
        assert group.low is not None
        assert group.value is not None
        assert group.high is not None
        assert 0 <= group.low <= group.value <= group.high <= 1


def test_intervals_of_shares_are_those_of_agresti_and_coull() -> None:
    overall = answer_numbers([row(at, "yes", 0, 1 if at < 8 else -1) for at in range(10)], CLASSES).overall
    # Of 8 in 10, by their formula; Wilson's, 49.0 to 94.3, lies within.
    assert (overall.low, overall.high) == (pytest.approx(0.4794, abs=1e-4), pytest.approx(0.9541, abs=1e-4))


def test_equal_lengths_make_one_group() -> None:
    groups = answer_numbers([row(at, "yes", 0, 1, tokens=9) for at in range(100)], CLASSES).by_length
    assert [(group.start, group.end, group.rows) for group in groups] == [(9, 9, 100)]


def test_a_class_without_a_row_has_no_value() -> None:
    groups = answer_numbers([row(1, "yes", 0, 1)], CLASSES).by_target
    assert groups is not None
    assert groups[0] == Group(label="no", rows=0, value=None, low=None, high=None)


def test_errors_that_are_all_equal_have_no_interval() -> None:
    rows = [row(at, 1.0, 2.0) for at in range(5)]
    group = answer_numbers(rows, VALUES).by_length[0]
    assert (group.value, group.low, group.high) == (1.0, None, None)


def test_files_call_the_confidence_of_an_error_as_they_did() -> None:
    row = ErrorRow(where="dev.csv:2", target="a", answer="b", confidence=0.75)
    assert to_json(row)["sureness"] == 0.75
    assert from_json(ErrorRow, to_json(row)) == row
