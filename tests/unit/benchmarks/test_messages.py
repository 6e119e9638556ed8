"""The many-class data set keeps what its README promises."""

import csv
import math
import re
from collections import Counter
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "benchmarks" / "data" / "messages"
SPLITS = ("train", "validation", "test")
LARGEST_NAIVE_BAYES_ACCURACY = 0.45
README_ROW = re.compile(r"^\| `(\w+)` \|[^|]+\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)

Row = tuple[str, str]


def read_split(split: str) -> list[Row]:
    """Read the rows below the header, with the csv module at its strictest."""
    with (DATA / f"{split}.csv").open(encoding="utf-8", errors="strict", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == ["text", "label"]
    return [(text, label) for text, label in rows[1:]]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def naive_bayes_accuracy(train: list[Row], rows: list[Row]) -> float:
    """Accuracy of multinomial naive Bayes on which words occur, with add-one smoothing."""
    counts: dict[str, Counter[str]] = {label: Counter() for _, label in train}
    for text, label in train:
        counts[label].update(set(words_of(text)))
    priors = Counter(label for _, label in train)
    vocabulary = {word for words in counts.values() for word in words}

    def score(label: str, text: str) -> float:
        total = sum(counts[label].values()) + len(vocabulary)
        known = sorted(set(words_of(text)) & vocabulary)
        return math.log(priors[label]) + sum(math.log((counts[label][word] + 1) / total) for word in known)

    right = sum(max(sorted(counts), key=lambda known: score(known, text)) == label for text, label in rows)
    return right / len(rows)


def test_the_readme_states_the_size_of_every_class_in_every_split() -> None:
    stated = {label: [int(n) for n in sizes] for label, *sizes in README_ROW.findall((DATA / "README.md").read_text())}
    counted = [Counter(label for _, label in read_split(split)) for split in SPLITS]
    labels = set().union(*counted)
    assert len(labels) == 12
    assert stated == {
        label: [sum(sizes[label] for sizes in counted), *(sizes[label] for sizes in counted)] for label in labels
    }


def test_no_message_occurs_twice_whatever_its_case_spaces_and_punctuation() -> None:
    messages = Counter(" ".join(words_of(text)) for split in SPLITS for text, _ in read_split(split))
    assert [message for message, times in messages.items() if times > 1] == []


@pytest.mark.parametrize("split", SPLITS)
def test_the_files_have_line_feeds_and_every_message_in_quotes(split: str) -> None:
    raw = (DATA / f"{split}.csv").read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    assert all(line.startswith(b'"') for line in raw.splitlines()[1:])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_counting_words_does_not_tell_the_label(split: str) -> None:
    assert naive_bayes_accuracy(read_split("train"), read_split(split)) < LARGEST_NAIVE_BAYES_ACCURACY
