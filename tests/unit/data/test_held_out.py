"""Training rows held back for validation: how many, of which labels, and what stays together."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.examples import Examples
from bertune.data.held_out import SavedPlaces, checked_share, hold_out, wanted_rows
from bertune.data.task_kind import TaskKind
from bertune.data.text_keys import normalised
from bertune.errors import ConfigError, DataError

# The first example of a process pays for what is imported late.

LABELS = st.lists(st.sampled_from("abc"), min_size=10, max_size=300)
SHARES = st.none() | st.floats(0.02, 0.9)


def table(labels: list[Any], **more: Any) -> Examples:
    texts = more.pop("texts", None) or [f"text number {row}" for row in range(len(labels))]
    examples = Examples.from_lists(texts, more.pop("texts_b", None), name="train.csv")
    report = examples.report
    sets = {"label_sets": labels} if isinstance(labels[0], tuple) else {"labels": labels}
    return Examples(
        examples.texts_a, examples.texts_b, lines=examples.lines, report=report, **{"labels": None} | sets | more
    )


def lines(examples: Examples) -> set[int]:
    return set(examples.lines)


def divided(examples: Examples, kind: Any = TaskKind.CLASSIFICATION, **how: Any) -> tuple[Examples, Examples] | None:
    """The two parts; None where no row could be held back."""
    try:
        train, validation, found = hold_out(examples, kind, **how)
    except DataError as error:
        if "no row can be held back" not in error.message and "every row has the" not in error.message:
            raise
        return None
    # Whatever is asked, each row is on exactly one side, in the order of the file, and told by its line.
    assert lines(train) | lines(validation) == lines(examples)
    assert not lines(train) & lines(validation)
    for part in (train, validation):
        assert part.lines == sorted(part.lines)
        assert [examples.texts_a[line - 1] for line in part.lines] == part.texts_a
        assert (part.report.rows_used, part.report.rows_in) == (len(part), len(examples))
    assert found.saved().places == (SavedPlaces("train.csv", tuple(validation.lines)),)
    assert found.rows == tuple(line - 1 for line in validation.lines)
    return train, validation


@given(LABELS, SHARES)
def test_each_label_is_held_back_in_its_share_and_stays_in_training(labels: list[str], share: float | None) -> None:
    parts = divided(table(labels), share=share)
    wanted = wanted_rows(len(labels), share)
    counts = Counter(labels)
    room = sum(counts.values()) - len(counts)
    if parts is None:
        assert room == 0
        return
    train, validation = parts
    assert set(train.labels or ()) == set(labels)
    held = Counter(validation.labels)
    exact = {label: count * wanted / len(labels) for label, count in counts.items()}
    # Rounded up or down; a label of which all would go keeps one, and others may stand in for it.
    assert all(min(int(exact[label]), count - 1) <= held[label] for label, count in counts.items())
    if all(exact[label] + 1 < count for label, count in counts.items()):
        assert all(held[label] <= int(exact[label]) + 1 for label in counts)
    assert len(validation) == min(wanted, room)


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=300, unique=True))
def test_values_are_held_back_over_their_whole_range(values: list[float]) -> None:
    parts = divided(table([str(value) for value in values]), TaskKind.REGRESSION, share=0.25)
    assert parts is not None
    _, validation = parts
    assert len(validation) == wanted_rows(len(values), 0.25)
    ranks = {str(value): rank for rank, value in enumerate(sorted(values))}
    halves = Counter(2 * ranks[word] >= len(values) for word in validation.labels or ())
    # Five tenths are a half, and each is within a row of its share.
    assert abs(halves[True] - halves[False]) <= 10


@given(st.lists(st.sets(st.sampled_from("abcd")).map(lambda labels: tuple(sorted(labels))), min_size=40, max_size=300))
def test_each_of_several_labels_is_held_back_and_stays_in_training(sets: list[tuple[str, ...]]) -> None:
    parts = divided(table(sets), TaskKind.MULTI_LABEL, share=0.2)
    if parts is None:
        return
    train, validation = parts
    counts, kept = (Counter(word for each in part for word in each) for part in (sets, train.label_sets or ()))
    assert set(kept) == set(counts)
    assert len(validation) <= wanted_rows(len(sets), 0.2)


def test_several_labels_are_held_back_in_their_shares() -> None:
    sets = [tuple(name for name, every in (("a", 2), ("b", 3), ("c", 25)) if row % every == 0) for row in range(1000)]
    parts = divided(table(sets), TaskKind.MULTI_LABEL)
    assert parts is not None
    held = Counter(word for each in parts[1].label_sets or () for word in each)
    assert held["c"] == 4
    assert abs(held["a"] - 50) <= 2
    assert abs(held["b"] - 33) <= 2
    assert abs(len(parts[1]) - 100) <= 2


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "X!", "y", "z z", "Z  z"])), min_size=10, max_size=80
    ),
    st.integers(0, 60),
)
def test_near_duplicates_stay_on_one_side(rows: list[tuple[str, str]], others: int) -> None:
    labels = [label for label, _ in rows] + ["ab"[row % 2] for row in range(others)]
    texts = [text for _, text in rows] + [f"text {row}" for row in range(others)]
    parts = divided(table(labels, texts=texts))
    if parts is not None:
        train, validation = ({normalised(text) for text in part.texts_a} for part in parts)
        assert not train & validation


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=20, max_size=120))
def test_pairs_and_the_same_swapped_stay_on_one_side(pairs: list[tuple[int, int]]) -> None:
    first, second = ([f"Text {pair[at]}" for pair in pairs] for at in (0, 1))
    parts = divided(table(["ab"[row % 2] for row in range(len(pairs))], texts=first, texts_b=second))
    if parts is not None:
        train, validation = (set(map(frozenset, zip(part.texts_a, part.texts_b or (), strict=True))) for part in parts)
        assert not train & validation


@given(st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 12)), min_size=10, max_size=150), SHARES)
def test_groups_stay_on_one_side(rows: list[tuple[str, int | None]], share: float | None) -> None:
    labels, numbers = [label for label, _ in rows], [number for _, number in rows]
    groups = [None if number is None else f"author {number}" for number in numbers]
    parts = divided(table(labels, groups=groups), group="author", share=share)
    if parts is not None:
        train, validation = parts
        assert not {group for group in train.groups or () if group} & set(validation.groups or ())
        assert set(train.labels or ()) == set(labels)


def test_a_text_that_two_groups_share_joins_them() -> None:
    groups = [f"author {row // 4}" for row in range(400)]
    texts = [f"text {row}" for row in range(400)]
    for row in range(0, 396, 8):  # each second author shares a text with the next
        texts[row + 3] = texts[row + 4].upper()
    parts = divided(table(["ab"[row % 2] for row in range(400)], texts=texts, groups=groups), group="author")
    assert parts is not None
    train, validation = parts
    assert len(validation) == 48  # six times two authors
    assert not set(train.groups or ()) & set(validation.groups or ())
    assert not set(map(str.lower, train.texts_a)) & set(map(str.lower, validation.texts_a))


def test_a_group_larger_than_what_is_wanted_is_held_back_where_nothing_smaller_is_there() -> None:
    groups = ["one"] * 60 + ["other"] * 40
    parts = divided(table(["ab"[row % 2] for row in range(100)], groups=groups), group="source")
    assert parts is not None
    assert set(parts[1].groups or ()) == {"other"}


def test_rows_without_a_group_stand_alone_and_are_counted() -> None:
    groups = [None if row % 2 else "one" for row in range(100)]
    _, validation, found = hold_out(
        table(["ab"[row // 2 % 2] for row in range(100)], groups=groups), TaskKind.CLASSIFICATION, group="source"
    )
    assert (len(validation), set(validation.groups or ()), found.ungrouped) == (20, {None}, 50)


@given(LABELS)
def test_the_same_rows_are_held_back_whenever_it_is_asked(labels: list[str]) -> None:
    first, second = divided(table(labels)), divided(table(labels))
    assert first is None or second is None or first[1].lines == second[1].lines


def test_which_rows_are_held_back_does_not_change_with_versions() -> None:
    _, validation, _ = hold_out(table(["ab"[row % 2] for row in range(60)]), TaskKind.CLASSIFICATION)
    assert validation.lines == [5, 6, 11, 12, 18, 29, 35, 44, 48, 53, 56, 57]


@pytest.mark.parametrize(
    ("rows", "share", "wanted"),
    [
        (10, None, 2), (100, None, 20), (249, None, 49), (250, None, 50), (500, None, 50), (1_200, None, 120),
        (50_000, None, 5_000), (1_000_000, None, 5_000), (10, 0.01, 1), (10, 0.99, 9), (100, 0.3, 30),
    ],
)  # fmt: skip
def test_how_many_rows_are_wanted(rows: int, share: float | None, wanted: int) -> None:
    assert wanted_rows(rows, share) == wanted


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"train.csv: 9 rows are too few to hold some back for validation, which takes 10"
    ):
        hold_out(table(list("ababababa")), TaskKind.CLASSIFICATION)


def test_labels_of_one_row_each_leave_nothing_to_hold_back() -> None:
    with pytest.raises(DataError, match="no row can be held back for validation: each label has too few rows"):
        hold_out(table(list("abcdefghij")), TaskKind.CLASSIFICATION)


def test_one_group_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"every row has the 'source' 'web', so none can be held back without the others"
    ):
        hold_out(table(["a", "b"] * 10, groups=["web"] * 20), TaskKind.CLASSIFICATION, group="source")


def test_groups_that_are_the_labels_are_refused() -> None:
    with pytest.raises(DataError, match="each group of 'label' is too large or all of a label"):
        hold_out(table(["a", "b"] * 10, groups=["a", "b"] * 10), TaskKind.CLASSIFICATION, group="label")


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.1, float("inf")])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="the share of the rows to hold back lies between 0 and 1"):
        checked_share(share)


def test_the_line_says_how_many_how_and_what_else_there_is() -> None:
    *_, found = hold_out(table(["ab"[row % 2] for row in range(1200)]), TaskKind.CLASSIFICATION)
    assert found.line() == (
        "validation: 120 of 1,200 rows held back (10 %, stratified; --validation FILE names others, none trains on all)"
    )
