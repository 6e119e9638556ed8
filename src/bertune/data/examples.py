"""Examples in memory: texts, labels, and where each came from.

The words of this room (`LabelSet`, `Columns`, `Task`, `ReadReport`, `RefusedRow`) can be imported from here.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.data.given_values import label_words_in, texts_in
from bertune.data.labels import LabelSet
from bertune.data.read_report import ReadReport, RefusedRow, join_reports
from bertune.data.soft_labels import SoftLabels
from bertune.data.task import Columns, Task
from bertune.data.task_kind import TaskKind
from bertune.errors import DataError
from bertune.wording.counts import counted
from bertune.wording.nearest import did_you_mean, shorten

__all__ = [
    "Columns",
    "Example",
    "Examples",
    "LabelSet",
    "ReadReport",
    "RefusedRow",
    "Task",
    "TaskKind",
    "join_examples",
]

_LABELS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Example:
    """One text or pair of texts, with its label word, or all its label words, if they are known.

    Args:
        text_a: the text, or the first of a pair.
        text_b: the second text of a pair; None for single texts.
        label: its label word; None where it is not known, or where there are several.
        labels: all its label words, where a row may have several; None where it may not.
    """

    text_a: str
    text_b: str | None
    label: str | None
    labels: tuple[str, ...] | None = None


def number_in(word: str) -> float:
    """Reads a word as a number; NaN where it is none."""
    try:
        # float() also takes "1_000", which no table means as a number.
        return math.nan if "_" in word else float(word)
    except ValueError:
        return math.nan


def _number_hint(word: str) -> str | None:
    """Says what hinders a word from being a number, where it is nearly one."""
    word = word.strip()
    if re.fullmatch(r"[-+]?\d{1,3}([. ']?\d{3})*,\d+", word):
        return "a decimal comma: write numbers with a point, such as " + re.sub("[. ']", "", word).replace(",", ".")
    if word.endswith("%"):
        return f"a per cent sign: write the number alone, such as {word.rstrip('% ')}"
    if math.isinf(number_in(word)):
        return "an infinite target teaches nothing: leave the row out"
    return None


@dataclass(frozen=True, repr=False)
class Examples:
    """Texts and labels in the order of the file.

    Args:
        texts_a: the texts, or the first texts of the pairs.
        texts_b: the second texts; None for single texts.
        labels: the label words as read (numbers stay words until `label_ids` or `targets`); None without labels.
        lines: physical line of each example, from 1; row number, from 1, for Parquet and Arrow.
        report: the account of the read.
        paths: the file of each example, where they come from several; None where `report.path` is that of all.
        label_sets: the label words of each example where it may have several; None for other tasks.
        groups: what each example shares with those that it belongs with, None where it stands alone; None where no
            column of groups was read.
        soft: the probabilities of all labels of each example; None where no such columns were read.

    Example:
        >>> examples = bertune.Examples.from_lists(["good film", "bad"], labels=[1, 0])
        >>> examples
        Examples(2 texts of texts in memory with labels)
        >>> examples.label_ids(bertune.LabelSet.from_values(examples.labels))
        array([1, 0])
    """

    texts_a: list[str]
    texts_b: list[str] | None
    labels: list[str] | None
    lines: list[int]
    report: ReadReport
    paths: list[str] | None = None
    label_sets: list[tuple[str, ...]] | None = None
    groups: list[str | None] | None = None
    soft: SoftLabels | None = None

    def __post_init__(self) -> None:
        columns = (self.texts_b, self.labels, self.lines, self.paths, self.label_sets, self.groups, self.soft)
        if any(column is not None and len(column) != len(self.texts_a) for column in columns):
            sizes = [None if column is None else len(column) for column in (self.texts_a, *columns)]
            raise ValueError(
                "columns of different length (texts_a, texts_b, labels, lines, paths, label_sets, groups, soft): "
                f"{sizes}"
            )

    @classmethod
    def from_lists(
        cls,
        texts_a: Iterable[str],
        texts_b: Iterable[str] | None = None,
        labels: Iterable[object] | None = None,
        *,
        name: str = "texts in memory",
    ) -> "Examples":
        """Makes examples of lists; their line is the position, from 1.

        Args:
            texts_a: the texts, or the first texts of the pairs; a list, an array or a series.
            texts_b: the second texts of the pairs.
            labels: label words; numbers become the words that a file would hold, 0 is "0". A list of labels for each
                example, where it may have several.
            name: how messages call this source.

        Raises:
            DataError: a text is missing or no text, a label is missing or blank, or the lists differ in length; names
                the place.
        """
        firsts = texts_in(texts_a, "texts_a")
        seconds = None if texts_b is None else texts_in(texts_b, "texts_b")
        words, sets = (None, None) if labels is None else label_words_in(labels, "labels")
        for what, column in (("texts_b", seconds), ("labels", words), ("labels", sets)):
            if column is not None and len(column) != len(firsts):
                raise DataError(f"texts_a and {what} differ in length: {len(firsts):,} and {len(column):,} entries")
        texts = firsts + (seconds or [])
        return cls(
            texts_a=firsts,
            texts_b=seconds,
            labels=words,
            lines=list(range(1, len(firsts) + 1)),
            report=ReadReport(
                name,
                rows_in=len(firsts),
                rows_used=len(firsts),
                refused=[],
                blank_texts=sum(1 for text in texts if not text.strip()),
            ),
            label_sets=sets,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        text_a: str | int,
        text_b: str | int | None = None,
        label: str | int | None = None,
        *,
        name: str | None = None,
    ) -> "Examples":
        """Makes examples of the columns of a table in memory; their line is the row, from 1.

        Args:
            frame: a DataFrame of pandas or polars, a Table of pyarrow, a Dataset of `datasets`, or another table with
                Arrow's C stream interface.
            text_a: the column of the texts, or of the first texts of the pairs.
            text_b: the column of the second texts.
            label: the column of labels or targets; one of lists holds several labels a row.
            name: how messages call the table; None takes the name of its type.

        Raises:
            ConfigError: it is no such table, it has no such column, or a column holds something else.
            DataError: there is no row, or a row has no text or no label; names it.
        """
        # The reader of tables makes examples, so it knows this module.
        from bertune.data.frames import read_frame

        return read_frame(frame, Columns(text_a, text_b, label), name=name)

    def __repr__(self) -> str:
        parts = [f"{counted(len(self), 'text' if self.texts_b is None else 'pair')} of {self.report.path}"]
        if self.labels is not None or self.label_sets is not None:
            parts.append("with labels")
        return f"Examples({' '.join(parts)})"

    def __len__(self) -> int:
        return len(self.texts_a)

    def __iter__(self) -> Iterator[Example]:
        for row, text_a in enumerate(self.texts_a):
            yield Example(
                text_a,
                None if self.texts_b is None else self.texts_b[row],
                None if self.labels is None else self.labels[row],
                None if self.label_sets is None else self.label_sets[row],
            )

    def where(self, row: int) -> str:
        """Names file and line of an example, as ``train.tsv:17``."""
        path = self.report.path if self.paths is None else self.paths[row]
        return f"{path}:{self.lines[row]}"

    def targets_for(
        self, kind: TaskKind, labels: LabelSet | None, target_range: tuple[float, float] | None = None
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Turns the label words into the targets of a kind of task.

        Args:
            kind: of the task.
            labels: of the task; None for values.
            target_range: lowest and highest target there may be, for values.

        Returns:
            What `label_ids`, `label_rows` or `targets` gives.

        Raises:
            DataError: as they do.
        """
        if labels is None:
            return self.targets(target_range)
        return self.label_rows(labels) if kind.has_label_sets else self.label_ids(labels)

    def label_ids(self, labels: LabelSet) -> npt.NDArray[np.int64]:
        """Turns the label words into their ids.

        Args:
            labels: the labels of the task.

        Returns:
            (examples,) ids.

        Raises:
            DataError: there are no labels, or a word is not one of them; names file, line and the nearest label.
        """
        ids = {name: number for number, name in enumerate(labels.names)}
        words = self._required_labels()
        try:
            return np.fromiter((ids[word] for word in words), dtype=np.int64, count=len(words))
        except KeyError:
            row = next(row for row, word in enumerate(words) if word not in ids)
        raise self._unknown_label(row, words[row], labels, words)

    def label_rows(self, labels: LabelSet) -> npt.NDArray[np.int64]:
        """Turns the label words of each example into 0 and 1 for each label.

        Args:
            labels: the labels of the task.

        Returns:
            (examples, labels), 1 where an example has the label.

        Raises:
            DataError: there are no label sets, or a word is not one of the labels; names file, line and nearest label.
        """
        if self.label_sets is None:
            raise DataError(f"{self.report.path} has no labels", hint="name the columns that hold them")
        rows = np.zeros((len(self), len(labels)), dtype=np.int64)
        for row, words in enumerate(self.label_sets):
            for word in words:
                if word not in labels:
                    every = [word for words in self.label_sets for word in words]
                    raise self._unknown_label(row, word, labels, every)
                rows[row, labels.index(word)] = 1
        return rows

    def _unknown_label(self, row: int, word: str, labels: LabelSet, every: Sequence[str]) -> DataError:
        distinct = set(every)
        unknown = len(distinct.difference(labels.names))
        if len(distinct) > _LABELS_SHOWN and 2 * unknown > len(distinct):
            hint = f"{unknown} of {len(distinct)} labels here do not occur in training: is the column one of ids?"
        else:
            hint = did_you_mean(word, labels.names) or "labels must be those of the training data"
        shown = ", ".join(f"'{name}'" for name in labels.names[:_LABELS_SHOWN])
        more = f", … ({len(labels)} in all)" if len(labels) > _LABELS_SHOWN else ""
        return DataError(
            f"{self.where(row)}: label '{shorten(word)}' is not one of the known labels {shown}{more}",
            hint=hint,
        )

    def targets(self, target_range: tuple[float, float] | None = None) -> npt.NDArray[np.float32]:
        """Turns the label words into the numbers of a regression.

        Args:
            target_range: lowest and highest target there may be.

        Returns:
            (examples,) finite numbers.

        Raises:
            DataError: there are no labels, or one is no finite number or out of range; names file and line.
        """
        values = np.empty(len(self), dtype=np.float32)
        low, high = target_range or (-math.inf, math.inf)
        for row, word in enumerate(self._required_labels()):
            values[row] = target = self._target(row, word)
            if not low <= target <= high:
                raise DataError(
                    f"{self.where(row)}: the target is {shorten(word)}, but targets lie between {low:g} and {high:g}"
                )
        return values

    def _target(self, row: int, word: str) -> float:
        value = number_in(word)
        if not math.isfinite(value) or abs(value) > float(np.finfo(np.float32).max):
            raise DataError(
                f"{self.where(row)}: the target must be a finite number, got '{shorten(word)}'",
                hint=_number_hint(word) or "a task with words as labels is a classification: --kind classification",
            )
        return value

    def _required_labels(self) -> list[str]:
        if self.labels is None:
            raise DataError(f"{self.report.path} has no labels", hint="name the column that holds them")
        return self.labels

    def select(self, rows: Sequence[int]) -> "Examples":
        """Takes some of the examples in the given order; the report stays that of the whole read."""
        return Examples(
            texts_a=[self.texts_a[row] for row in rows],
            texts_b=None if self.texts_b is None else [self.texts_b[row] for row in rows],
            labels=None if self.labels is None else [self.labels[row] for row in rows],
            lines=[self.lines[row] for row in rows],
            report=self.report,
            paths=None if self.paths is None else [self.paths[row] for row in rows],
            label_sets=None if self.label_sets is None else [self.label_sets[row] for row in rows],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
            soft=None if self.soft is None else self.soft.select(rows),
        )


def join_examples(parts: Sequence[Examples], path: str) -> Examples:
    """Puts the examples of several files of one split together, in order.

    Args:
        parts: examples of each file, all pairs or all single texts.
        path: how the files together are called.

    Raises:
        DataError: some parts have labels or second texts and others do not.
    """
    if len(parts) == 1:
        return parts[0]
    for what, present in (
        ("labels", [part.labels is not None or part.label_sets is not None for part in parts]),
        ("second texts", [part.texts_b is not None for part in parts]),
    ):
        if any(present) and not all(present):
            names = [part.report.path for part, has in zip(parts, present, strict=True) if not has]
            raise DataError(f"{path}: some files have {what} and others have not: none in {', '.join(names)}")
    return Examples(
        texts_a=[text for part in parts for text in part.texts_a],
        texts_b=None if parts[0].texts_b is None else [text for part in parts for text in part.texts_b or ()],
        labels=None if parts[0].labels is None else [word for part in parts for word in part.labels or ()],
        lines=[line for part in parts for line in part.lines],
        report=join_reports(path, [part.report for part in parts]),
        paths=[part.report.path for part in parts for _ in range(len(part))],
        label_sets=None
        if parts[0].label_sets is None
        else [words for part in parts for words in part.label_sets or ()],
        groups=None if parts[0].groups is None else [word for part in parts for word in part.groups or ()],
        soft=None
        if parts[0].soft is None
        else SoftLabels(parts[0].soft.names, [row for part in parts if part.soft for row in part.soft.values]),
    )
