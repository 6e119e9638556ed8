"""One pass over a split: of each row a few numbers stay, never its texts."""

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.audit.findings import PLACES_SHOWN, Finding
from bertune.audit.growing_array import GrowingArray
from bertune.audit.label_scan import MISSING, LabelScan
from bertune.audit.length_counts import LengthCounts
from bertune.audit.sightings import Sightings
from bertune.audit.text_faults import TextFaults
from bertune.data.examples import Examples, ReadReport, RefusedRow
from bertune.data.text_keys import Keys, keys_of, normalised, pair_keys, same_look, unordered_keys
from bertune.wording.counts import counted, share_of

_MANY_TIMES = 25
_LONG = 2000


class SplitScan:
    """Facts about a split, collected in one pass; 24 bytes a row of single texts, 32 of pairs.

    Args:
        name: of the split.
        is_regression: whether its labels are numbers.
    """

    def __init__(self, name: str, *, is_regression: bool) -> None:
        self.name = name
        self.path = ""
        self.rows = self.rows_in = self.rows_other_split = self.blank_texts = 0
        self.refused: list[RefusedRow] = []
        self.warnings: dict[str, None] = {}
        self.notes: dict[str, None] = {}
        self.header: tuple[str, ...] = ()
        self.is_pair = False
        self.lengths = LengthCounts()
        self.labels = LabelScan(is_regression=is_regression)
        self._longest: list[tuple[int, int]] = []
        self._blank = Sightings()
        self._missing = Sightings()
        self._repeated_headers = Sightings()
        self._identical = Sightings()
        self._faults: TextFaults | None = None
        self._files: list[tuple[int, str]] = []
        self._columns: dict[str, GrowingArray] = {}

    def add(self, examples: Examples) -> None:
        """Takes a chunk; chunks come in the order of the rows."""
        self._count(examples)
        if not len(examples):
            return
        self.is_pair = examples.texts_b is not None
        texts = [examples.texts_a] if examples.texts_b is None else [examples.texts_a, examples.texts_b]
        normal = [list(map(normalised, column)) for column in texts]
        first_row = self.rows
        self._name_files(examples)
        self._measure(texts)
        self._find_blank(examples, texts)
        self._find_missing(texts)
        self._find_headers(examples, texts)
        self.labels.add(examples, normal, first_row)
        if self._faults is None:
            self._faults = TextFaults(len(texts), one_column=not self.is_pair and examples.labels is None)
        self._faults.add(texts, self.labels.words, first_row)
        # Up to four thousand million lines in half the memory.
        self._keep("lines", np.array(examples.lines, np.uint32 if max(examples.lines) < 1 << 32 else np.int64))
        self._keep_keys("exact", [keys_of(column) for column in texts], first_row)
        self._keep_looks(texts, first_row)
        self._keep_keys("normal", [keys_of(column) for column in normal], first_row)
        self.rows += len(examples)

    def report(self) -> ReadReport:
        """Gives the account of the whole read."""
        return ReadReport(
            path=self.path,
            rows_in=self.rows_in,
            rows_used=self.rows,
            refused=self.refused,
            blank_texts=self.blank_texts,
            rows_other_split=self.rows_other_split,
            warnings=list(self.warnings),
            notes=list(self.notes),
            header=self.header,
        )

    @property
    def repeated_headers(self) -> Sightings:
        """Rows that hold the names of all their columns."""
        return self._repeated_headers

    def keys(self, kind: str) -> Keys:
        """Gives the keys of all rows, (rows,).

        Args:
            kind: ``exact``, ``look`` (the same for texts that look the same), ``normal`` (but for case, space and
                punctuation as well) or, of pairs, ``unordered``.
        """
        if kind == "look":
            keys, rows = self._column("exact", np.uint64), self._column("look rows", np.int64)
            if len(rows):
                keys = keys.copy()
                keys[rows] = self._column("looks", np.uint64)
            return keys
        return self._column(kind, np.uint64)

    def where(self, row: int) -> str:
        """Names file and line of a row."""
        path = self._files[bisect_right(self._files, row, key=lambda entry: entry[0]) - 1][1]
        return f"{path}:{self._column('lines', np.int64)[row]}"

    def findings(self) -> Iterator[Finding]:
        """Tells of the read and of the texts by themselves."""
        name = self.name
        for warning in self.warnings:
            yield Finding("reading", warning, 0)
        if self.refused:
            message = f"{name}: {counted(len(self.refused), 'row')} refused, the first because {self.refused[0].reason}"
            places = tuple(f"{row.path}:{row.line}" for row in self.refused[:PLACES_SHOWN])
            yield Finding("refused_rows", message, len(self.refused), places)
        if self._blank.count:
            message = f"{name}: {counted(self._blank.count, 'row')} with a blank text, used as they are"
            yield self._sighted("blank_texts", message, self._blank)
        if self._missing.count:
            message = (
                f"{name}: {counted(self._missing.count, 'row')} with a text as programs write a missing one, used as "
                f"it stands: '{self._missing.sample}'"
            )
            yield self._sighted("missing_text", message, self._missing)
        if self._faults is not None:
            yield from self._faults.findings(name, self.where)
        limit = max(_LONG, _MANY_TIMES * self.lengths.summary().get("median", 0))
        if long := self.lengths.above(limit):
            message = f"{name}: {counted(long, 'row')} of more than {limit:,.0f} characters, far over the median"
            rows = sorted(row for length, row in self._longest if length > limit)
            yield Finding("long_text", message, long, tuple(map(self.where, rows)))
        if self._identical.count:
            message = f"{name}: {share_of(self._identical.count, self.rows)} pair a text with itself"
            yield self._sighted("identical_pairs", message, self._identical)

    def _sighted(self, code: str, message: str, seen: Sightings) -> Finding:
        return Finding(code, message, seen.count, tuple(map(self.where, seen.rows)))

    def _count(self, examples: Examples) -> None:
        report = examples.report
        self.path = self.path or report.path
        self.header = self.header or report.header
        self.rows_in += report.rows_in
        self.rows_other_split += report.rows_other_split
        self.blank_texts += report.blank_texts
        self.warnings |= dict.fromkeys(report.warnings)
        self.notes |= dict.fromkeys(report.notes)
        self.refused += report.refused

    def _name_files(self, examples: Examples) -> None:
        paths = [examples.report.path] if examples.paths is None else examples.paths
        for position, path in enumerate(paths):
            if not self._files or self._files[-1][1] != path:
                self._files.append((self.rows + position, path))

    def _measure(self, texts: list[list[str]]) -> None:
        count = len(texts[0])
        lengths = sum(np.fromiter(map(len, column), np.int64, count) for column in texts)
        assert isinstance(lengths, np.ndarray)
        self.lengths.add_all(lengths)
        long = np.flatnonzero(lengths > _LONG)
        entries = ((int(lengths[row]), self.rows + int(row)) for row in long)
        self._longest = heapq.nlargest(PLACES_SHOWN, [*self._longest, *entries])

    def _find_blank(self, examples: Examples, texts: list[list[str]]) -> None:
        if examples.report.blank_texts:
            for row, cells in enumerate(zip(*texts, strict=True), start=self.rows):
                if any(not cell or cell.isspace() for cell in cells):
                    self._blank.add(row)

    def _find_missing(self, texts: list[list[str]]) -> None:
        for column in texts:
            if not MISSING.isdisjoint(column):
                for row, text in enumerate(column, start=self.rows):
                    if text in MISSING:
                        self._missing.add(row, text)

    def _find_headers(self, examples: Examples, texts: list[list[str]]) -> None:
        """Looks for rows that hold the names of all their columns."""
        if examples.labels is None or not self.header:
            return
        columns = [*texts, examples.labels]
        if len(self.header) == len(columns) and all(
            name in cells for name, cells in zip(self.header, columns, strict=True)
        ):
            for row, cells in enumerate(zip(*columns, strict=True), start=self.rows):
                if cells == self.header:
                    self._repeated_headers.add(row)

    def _keep_looks(self, texts: list[list[str]], first_row: int) -> None:
        """Keeps keys of the rows alone that look like others without being equal."""
        looks = [list(map(same_look, column)) for column in texts]
        rows = sorted({row for look, column in zip(looks, texts, strict=True) for row in _differing(look, column)})
        if rows:
            keys = [keys_of([look[row] for row in rows]) for look in looks]
            self._keep("look rows", np.array(rows, np.int64) + first_row)
            self._keep("looks", keys[0] if len(keys) == 1 else pair_keys(*keys))

    def _keep_keys(self, kind: str, keys: list[Keys], first_row: int) -> None:
        if len(keys) == 1:
            self._keep(kind, keys[0])
            return
        self._keep(kind, pair_keys(*keys))
        if kind == "exact":
            self._keep("unordered", unordered_keys(*keys))
            self._identical.add_all((np.flatnonzero(keys[0] == keys[1]) + first_row).tolist())

    def _keep(self, kind: str, values: NDArray[Any]) -> None:
        self._columns.setdefault(kind, GrowingArray()).add(values)

    def _column(self, kind: str, dtype: Any) -> NDArray[Any]:
        return self._columns.setdefault(kind, GrowingArray()).values(dtype)


def _differing(some: list[str], others: list[str]) -> Iterator[int]:
    return (row for row, (one, other) in enumerate(zip(some, others, strict=True)) if one is not other and one != other)
