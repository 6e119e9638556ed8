"""The demo's data set keeps what its README promises."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "examples" / "data"
SPLITS = ("train", "validation", "test")
HEADER = ["question1", "question2", "label"]
LABELS = {"duplicate", "different"}
CLAIMED_PAIRS = {"train": 600, "validation": 145, "test": 145}
LARGEST_WORD_OVERLAP_ACCURACY = 0.70

Row = list[str]


def read_split(split: str) -> list[Row]:
    """Read the rows below the header, with the csv module at its strictest."""
    with (DATA / f"{split}.csv").open(encoding="utf-8", errors="strict", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == HEADER
    return rows[1:]


def read_new_pairs() -> list[Row]:
    lines = (DATA / "new_pairs.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == HEADER[:2]
    return [line.split("\t") for line in lines[1:]]


def words_of(question: str) -> list[str]:
    return re.findall(r"\w+", question.lower())


def normalised(question: str) -> str:
    """A question without case and punctuation: what counts as the same question."""
    return " ".join(words_of(question))


def questions_of(split: str) -> set[str]:
    return {normalised(question) for row in read_split(split) for question in row[:2]}


def word_overlap(row: Row) -> float:
    first, second = set(words_of(row[0])), set(words_of(row[1]))
    return len(first & second) / len(first | second)


def best_threshold_accuracy(scores: list[float], positive: list[bool]) -> float:
    """Accuracy of the best single threshold on a score, whichever side of it means 'duplicate'."""
    best = 0.0
    for threshold in [-1.0, *sorted(set(scores))]:
        right = sum((score > threshold) == label for score, label in zip(scores, positive, strict=True))
        best = max(best, right / len(scores), 1 - right / len(scores))
    return best


@pytest.mark.parametrize("split", SPLITS)
def test_every_row_has_two_questions_and_one_of_two_labels(split: str) -> None:
    for number, row in enumerate(read_split(split), start=2):
        assert len(row) == 3, f"line {number}"
        assert row[2] in LABELS, f"line {number}"
        assert all(len(words_of(question)) >= 3 for question in row[:2]), f"line {number}"


@pytest.mark.parametrize("split", SPLITS)
def test_each_split_has_the_claimed_pairs_and_both_classes_in_balance(split: str) -> None:
    rows = read_split(split)
    duplicates = Counter(row[2] for row in rows)["duplicate"]
    assert len(rows) >= CLAIMED_PAIRS[split]
    assert 0.44 <= duplicates / len(rows) <= 0.52


@pytest.mark.parametrize("split", SPLITS)
def test_the_readme_states_the_counts_of_each_split(split: str) -> None:
    counts = Counter(row[2] for row in read_split(split))
    line = f"| `{split}.csv` | {counts.total()} | {counts['duplicate']} | {counts['different']} |"
    assert line in (DATA / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("split", "other"), [("train", "validation"), ("train", "test"), ("validation", "test")])
def test_no_question_occurs_in_two_splits(split: str, other: str) -> None:
    assert questions_of(split) & questions_of(other) == set()


def test_no_pair_occurs_twice_in_either_order_and_no_question_is_paired_with_itself() -> None:
    pairs = [
        tuple(sorted(normalised(question) for question in row[:2])) for split in SPLITS for row in read_split(split)
    ]
    repeated = [pair for pair, count in Counter(pairs).items() if count > 1]
    assert repeated == []
    assert [pair for pair in pairs if pair[0] == pair[1]] == []


@pytest.mark.parametrize("split", SPLITS)
def test_questions_have_clean_spacing_and_printable_characters(split: str) -> None:
    for row in read_split(split):
        for question in row[:2]:
            assert question == " ".join(question.split())
            assert question.isprintable()
            assert "\ufffd" not in question


@pytest.mark.parametrize("split", SPLITS)
def test_files_are_plain_utf8_with_line_feeds_only(split: str) -> None:
    content = (DATA / f"{split}.csv").read_bytes()
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert not content.endswith(b"\n\n")


@pytest.mark.parametrize("split", SPLITS)
def test_word_overlap_alone_does_not_give_the_label_away(split: str) -> None:
    rows = read_split(split)
    accuracy = best_threshold_accuracy([word_overlap(row) for row in rows], [row[2] == "duplicate" for row in rows])
    assert accuracy < LARGEST_WORD_OVERLAP_ACCURACY


@pytest.mark.parametrize("split", SPLITS)
def test_length_alone_does_not_give_the_label_away(split: str) -> None:
    rows = read_split(split)
    lengths = [float(sum(len(words_of(question)) for question in row[:2])) for row in rows]
    assert best_threshold_accuracy(lengths, [row[2] == "duplicate" for row in rows]) < LARGEST_WORD_OVERLAP_ACCURACY


@pytest.mark.parametrize("split", SPLITS)
def test_a_fair_share_of_the_different_pairs_is_hard(split: str) -> None:
    overlaps = [word_overlap(row) for row in read_split(split) if row[2] == "different"]
    assert sum(overlap >= 0.4 for overlap in overlaps) / len(overlaps) >= 0.15


def test_new_pairs_are_six_unlabelled_pairs_that_no_split_holds() -> None:
    pairs = read_new_pairs()
    assert len(pairs) == 6
    assert all(len(pair) == 2 for pair in pairs)
    known = set().union(*(questions_of(split) for split in SPLITS))
    assert {normalised(question) for pair in pairs for question in pair} & known == set()
