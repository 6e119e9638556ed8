"""A clean data set of question pairs, and faults to plant into it, each with the row that holds it."""

import csv
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bertune.audit.audit import Audit, audit_sources
from bertune.data.examples import Columns, Task
from bertune.data.read_options import OnBadRow, ReadOptions
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.data.task_kind import TaskKind

Row = list[str]
HEADER = ["id", "first", "second", "answer"]
COLUMNS = Columns("first", "second", "answer")

_SUBJECTS = ["my parcel", "the invoice", "our booking", "the café's menu", "a refund", "the 7:45 train", "my account"]
_STARTS = ["When does", "Why did", "Who changed", "How do I track", "Where can I see", "Can you cancel", "Is there"]
_ENDS = [
    "this week?",
    "after the move; it is urgent",
    "at 5 < 6 p.m.?",
    "(again)",
    "for R&D, please",
    "in Zürich | Bern?",
]
_DETAILS = [
    "since Monday",
    "with the app",
    "for two people",
    "on the website",
    "without a receipt",
    "by phone",
    "today",
]


def questions(seed: int) -> list[str]:
    """Makes some two thousand different sentences, none of which is another but for case or punctuation."""
    parts = itertools.product(_STARTS, _SUBJECTS, _DETAILS, _ENDS)
    made = [" ".join(words) for words in parts]
    random.Random(seed).shuffle(made)
    return made


@dataclass
class DataSet:
    """Rows of two splits; none of the texts occurs twice."""

    train: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    header: Row = field(default_factory=lambda: list(HEADER))

    @classmethod
    def clean(cls, train: int = 400, validation: int = 120) -> "DataSet":
        texts = iter(questions(1))
        rows = [
            [f"q{number}", next(texts), next(texts), ("same", "other", "other")[number % 3]]
            for number in range(train + validation)
        ]
        return cls(rows[:train], rows[train:])

    def audit(
        self,
        folder: Path,
        *,
        kind: TaskKind = "classification",
        columns: Columns = COLUMNS,
        on_bad_row: OnBadRow = "skip",
    ) -> Audit:
        """Writes the files and audits them as `bertune inspect` does."""
        self.write(folder)
        task = Task.for_columns(columns, kind=kind)
        found = find_splits(folder, task)
        return audit_sources(
            {name: RowSource(split, task, columns, ReadOptions(on_bad_row=on_bad_row)) for name, split in found.items()}
        )

    def write(self, folder: Path) -> None:
        for name, rows in (("train", self.train), ("validation", self.validation)):
            if rows:
                with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                    writer = csv.writer(stream, lineterminator="\n")
                    writer.writerows([self.header, *rows] if self.header else rows)


def line_of(row: int) -> int:
    """Gives the line of a row, from 0, in a file whose cells hold no line feeds."""
    return row + 2


@dataclass(frozen=True)
class Fault:
    """A fault to plant: into which row of which split, and how."""

    row: int
    plant: Callable[[DataSet, int], None]
    split: str = "train"


def _set(column: int, change: Callable[[str], str]) -> Callable[[DataSet, int], None]:
    def plant(data: DataSet, row: int) -> None:
        data.train[row][column] = change(data.train[row][column])

    return plant


def _copy(
    change: Callable[[str, str], list[str]], *, split: str = "train", label: str | None = None
) -> Callable[[DataSet, int], None]:
    """Copies the texts of a training row, ten before or of the same number, changed."""

    def plant(data: DataSet, row: int) -> None:
        source = data.train[row - 10] if split == "train" else data.train[row]
        target = data.train[row] if split == "train" else data.validation[row]
        target[1:3] = change(source[1], source[2])
        target[3] = source[3] if label is None else label

    return plant


def _same(first: str, second: str) -> list[str]:
    return [first, second]


def _shouted(first: str, second: str) -> list[str]:
    return [first.upper(), f"  {second.replace(' ', ' - ')}!!"]


def _swapped(first: str, second: str) -> list[str]:
    return [second, first]


def _identical(data: DataSet, row: int) -> None:
    data.train[row][2] = data.train[row][1]


def _conflict(data: DataSet, row: int) -> None:
    source = data.train[row - 10]
    data.train[row][1:] = [source[1], source[2], "other" if source[3] == "same" else "same"]


def _header_again(data: DataSet, row: int) -> None:
    data.train[row] = list(HEADER)


def _too_few_cells(data: DataSet, row: int) -> None:
    data.train[row] = data.train[row][:2]


def _label(word: str, split: str = "train") -> Callable[[DataSet, int], None]:
    def plant(data: DataSet, row: int) -> None:
        (data.train if split == "train" else data.validation)[row][3] = word

    return plant


FAULTS: dict[str, Fault] = {
    "blank_texts": Fault(20, _set(1, lambda _: " \t ")),
    "duplicates": Fault(41, _copy(_same)),
    "near_duplicates": Fault(52, _copy(_shouted)),
    "swapped_pairs": Fault(63, _copy(_swapped)),
    "identical_pairs": Fault(74, _identical),
    "conflicting_labels": Fault(85, _conflict),
    "label_variants": Fault(96, _label(" Same")),
    "single_example": Fault(107, _label("maybe")),
    "long_text": Fault(118, _set(2, lambda text: f"{text} and so on" * 400)),
    "control_characters": Fault(129, _set(1, lambda text: f"{text}\x08\x07")),
    "replacement_characters": Fault(140, _set(1, lambda text: f"{text} caf\ufffd")),
    "mojibake": Fault(151, _set(1, lambda text: f"{text} the café\u2019s".encode().decode("cp1252"))),
    "markup": Fault(162, _set(2, lambda text: f"<p class='x'>{text}&nbsp;</p>")),
    "header_as_row": Fault(173, _header_again),
    "refused_rows": Fault(184, _too_few_cells),
    # A quote that is never closed takes rows into its cell, up to the next quote.
    "swallowed_lines": Fault(390, _set(1, lambda text: f"{text},nothing,same\nq999,Is it open?,Are you open?,other\n")),
    "overlap_exact": Fault(5, _copy(_same, split="validation"), "validation"),
    "overlap_normalised": Fault(16, _copy(_shouted, split="validation"), "validation"),
    "overlap_swapped": Fault(27, _copy(_swapped, split="validation"), "validation"),
    "unknown_label": Fault(38, _label("sane", "validation"), "validation"),
}
"""Faults of single rows; the last of the training file holds line feeds, so the lines of all others stay known."""

BESIDES = {
    "duplicates": {"conflicting_labels"},
    "label_variants": {"single_example", "absent_label"},
    "single_example": {"absent_label"},
    "header_as_row": {"single_example", "absent_label"},
    "conflicting_labels": {"duplicates"},
}
"""What else is true of the data where one fault alone is planted."""
