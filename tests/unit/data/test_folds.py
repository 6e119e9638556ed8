"""Rows divided into folds: how many of each label, and what stays together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data.test_held_out import table

from bertune.data.folds import folds_of
from bertune.data.task_kind import TaskKind
from bertune.errors import DataError

CLASSES = TaskKind.CLASSIFICATION


@given(st.integers(2, 6), st.lists(st.integers(6, 40), min_size=2, max_size=4))
def test_each_fold_has_its_share_of_each_label(count: int, sizes: list[int]) -> None:
    labels = [f"label {label}" for label, size in enumerate(sizes) for _ in range(size)]
    folds = folds_of(table(labels), CLASSES, count)
    assert set(folds.tolist()) == set(range(1, count + 1))
    for label, size in Counter(labels).items():
        inside = Counter(fold for fold, given_label in zip(folds.tolist(), labels, strict=True) if given_label == label)
        for fold in range(1, count + 1):
            assert abs(inside[fold] - size / count) < 2
    sizes_of_folds = Counter(folds.tolist()).values()
    assert max(sizes_of_folds) - min(sizes_of_folds) <= len(sizes)


def test_the_same_rows_are_divided_the_same_way() -> None:
    labels = list("abcabcabcabcabc") * 4
    assert (folds_of(table(labels), CLASSES, 4) == folds_of(table(labels), CLASSES, 4)).all()


@given(st.lists(st.integers(0, 30), min_size=60, max_size=120), st.integers(2, 5))
def test_rows_with_nearly_the_same_text_are_in_one_fold(numbers: list[int], count: int) -> None:
    texts = [f"Text {number}!" if row % 2 else f"text  {number}" for row, number in enumerate(numbers)]
    try:
        folds = folds_of(table(["ab"[number % 2] for number in numbers], texts=texts), CLASSES, count)
    except DataError:
        return  # told otherwise; see below
    for number in set(numbers):
        assert len({folds[row] for row, other in enumerate(numbers) if other == number}) == 1


def test_rows_of_one_group_are_in_one_fold() -> None:
    labels = ["a", "b"] * 30
    groups = [f"author {row // 4}" for row in range(60)]
    folds = folds_of(table(labels, groups=groups), CLASSES, 5, group="author")
    assert len({(fold, group) for fold, group in zip(folds.tolist(), groups, strict=True)}) == 15


def test_values_and_sets_of_labels_are_divided_too() -> None:
    values = [f"{row / 7}" for row in range(70)]
    folds = folds_of(table(values), TaskKind.REGRESSION, 5)
    means = [
        np.mean([float(value) for value, own in zip(values, folds, strict=True) if own == fold]) for fold in range(1, 6)
    ]
    assert max(means) - min(means) < 2
    sets = [("x",), ("y",), ("x", "y"), ()] * 15
    assert sorted(Counter(folds_of(table(sets), TaskKind.MULTI_LABEL, 3).tolist()).values()) == [20, 20, 20]


def test_more_folds_than_rows_of_a_label_are_refused_by_its_name() -> None:
    with pytest.raises(DataError, match="--folds 5 needs 5 rows of each label or more, and 'rare' has 3") as told:
        folds_of(table(["common"] * 30 + ["rare"] * 3), CLASSES, 5)
    assert told.value.hint == "use --folds 3, or add rows of 'rare'"


def test_more_folds_than_groups_are_refused() -> None:
    groups = [f"author {row % 3}" for row in range(60)]
    with pytest.raises(DataError, match="--folds 5 needs 5 values in 'author' or more, and there are 3"):
        folds_of(table(["a", "b"] * 30, groups=groups), CLASSES, 5, group="author")


def test_one_group_alone_is_refused() -> None:
    with pytest.raises(DataError, match="every row has the 'author' 'one'"):
        folds_of(table(["a", "b"] * 30, groups=["one"] * 60), CLASSES, 5, group="author")


def test_a_label_that_one_fold_would_have_alone_is_refused() -> None:
    labels = ["a", "b"] * 20 + ["c"] * 6
    groups = [f"author {row}" for row in range(40)] + ["the same"] * 6
    with pytest.raises(DataError, match="6 rows of label 'c' belong together"):
        folds_of(table(labels, groups=groups), CLASSES, 5, group="author")
