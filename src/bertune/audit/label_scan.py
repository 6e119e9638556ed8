"""The labels of a split as one pass over it finds them, and texts that give them away."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bertune.audit.findings import Finding
from bertune.audit.growing_array import GrowingArray
from bertune.audit.sightings import Sightings
from bertune.audit.text_faults import Where
from bertune.data.examples import Examples
from bertune.data.text_keys import normalised
from bertune.errors import ConfigError
from bertune.wording.counts import counted, share_of

MISSING = frozenset(("nan", "NaN", "None", "null", "NULL", "<NA>", "#N/A"))
"""Missing values as pandas, Python, JSON and Excel write them, once they are text."""
_MOST_LABELS = 100_000
_LEAST_ROWS = 10
_FEW = 0.01
"""Share of the rows up to which a text that is its label, such as "positive", is nothing to tell of."""
_MOST = 0.9
"""Share of the rows from which on texts are said to name their label."""


class LabelScan:
    """Counts label words, or sums up targets; keeps four bytes a row.

    Args:
        is_regression: whether labels are numbers.
    """

    def __init__(self, *, is_regression: bool) -> None:
        self.is_regression = is_regression
        self.is_missing = False
        self.are_several = False
        self.counts: Counter[str] = Counter()
        self.first_rows: dict[str, int] = {}
        self._answer_ids: dict[str, int] = {}
        self._normal: dict[str, str] = {}
        self._answers = GrowingArray()
        self._alone = Sightings()
        self._missing = Sightings()
        self._missing_words: Counter[str] = Counter()
        self._named: int | None = 0
        self._rows = 0

    @property
    def words(self) -> tuple[str, ...]:
        """The label words so far, in the order of their first rows."""
        return tuple(self.first_rows)

    @property
    def answer_words(self) -> tuple[str, ...]:
        """Labels that the numbers in `answers` stand for."""
        return tuple(self._answer_ids)

    @property
    def answers(self) -> NDArray[np.float32 | np.int32] | None:
        """Values that decide contradictions, (rows,): targets, or numbers of words; None where labels are missing."""
        if self.is_missing or not len(self._answers):
            return None
        return self._answers.values(np.int32)

    def word(self, row: int) -> str:
        """Gives the label of a row as its user wrote it, or its target."""
        answers = self.answers
        assert answers is not None
        return f"{answers[row]:g}" if self.is_regression else self.answer_words[int(answers[row])]

    def add(self, examples: Examples, normal: Sequence[Sequence[str]], first_row: int) -> None:
        """Takes a chunk.

        Args:
            examples: the chunk.
            normal: the normalised texts of each column.
            first_row: number of its first row.

        Raises:
            ConfigError: there are so many labels that they are no classes.
            DataError: a target is no finite number.
        """
        self._rows += len(examples)
        if examples.label_sets is not None:
            self.are_several = True
            self._take_words(examples, examples.label_sets, first_row)
            self._take_answers([", ".join(sorted(words)) for words in examples.label_sets])
        elif examples.labels is None:
            self.is_missing = True
        elif self.is_regression:
            self._answers.add(examples.targets())
        else:
            self._take_words(examples, [(word,) for word in examples.labels], first_row)
            self._take_answers(examples.labels)
            self._find_given_away(examples.labels, normal, first_row)

    def _take_answers(self, answers: Sequence[str]) -> None:
        ids = self._answer_ids
        numbers = np.fromiter((ids.setdefault(word, len(ids)) for word in answers), np.int32, len(answers))
        self._answers.add(numbers)

    def _take_words(self, examples: Examples, rows: Sequence[tuple[str, ...]], first_row: int) -> None:
        self.counts.update(chain.from_iterable(rows))
        if not MISSING.isdisjoint(self.counts):
            for row, words in enumerate(rows, start=first_row):
                if absent := MISSING.intersection(words):
                    self._missing.add(row)
                    self._missing_words.update(absent)
        if len(self.counts) > len(self.first_rows):
            for row, words in enumerate(rows, start=first_row):
                for word in words:
                    self.first_rows.setdefault(word, row)
        if len(self.counts) > _MOST_LABELS:
            raise ConfigError(
                f"{examples.report.path}: more than {_MOST_LABELS:,} different labels",
                hint="use --kind regression for numbers",
            )

    def _find_given_away(self, words: list[str], normal: Sequence[Sequence[str]], first_row: int) -> None:
        known = self._normal
        known |= {word: normalised(word) for word in self.words[len(known) :]}
        labels = [known[word] for word in words]
        for column in normal:
            for row, (label, text) in enumerate(zip(labels, column, strict=True), start=first_row):
                if label == text:
                    self._alone.add(row)
        if self._named is None:
            return
        self._named += sum(
            any(f" {label} " in f" {text} " for text in texts) for label, *texts in zip(labels, *normal, strict=True)
        )
        if self._named < _MOST * self._rows:
            self._named = None

    def findings(self, name: str, where: Where) -> Iterator[Finding]:
        """Tells of texts that give their label away.

        Args:
            name: of the split.
            where: names the place of a row.
        """
        if self._missing.count:
            words = ", ".join(f"'{word}' {count:,}" for word, count in self._missing_words.items())
            message = (
                f"{name}: {counted(self._missing.count, 'row')} with a label as programs write a missing one, used as "
                f"it stands: {words}"
            )
            yield Finding("missing_label", message, self._missing.count, tuple(map(where, self._missing.rows)))
        if self.is_missing or self.are_several:
            return
        if self._alone.count > _FEW * self._rows:
            message = f"{name}: {counted(self._alone.count, 'text')} that are the label and nothing else"
            yield Finding("label_as_text", message, self._alone.count, tuple(map(where, self._alone.rows)))
        if self._named and self._rows >= _LEAST_ROWS and len(self.counts) > 1:
            message = f"{name}: the texts of {share_of(self._named, self._rows)} name their label"
            yield Finding("label_in_text", message, self._named, (where(0),))
