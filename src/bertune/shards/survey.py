"""The first of two passes over the rows: how many there are, their labels, and a digest of them all."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from bertune.data.examples import Examples, LabelSet, RefusedRow
from bertune.data.row_source import RowSource
from bertune.errors import ConfigError, DataError

_MOST_LABELS = 100_000


class RowsDigest:
    """SHA-256 over texts and labels of rows, independent of how they are cut into chunks."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, examples: Examples) -> None:
        """Takes the rows of a chunk, each cell with its length, so that no two tables run together."""
        columns = [column for column in (examples.texts_a, examples.texts_b, examples.labels) if column is not None]
        cells = [cell.encode("utf-8", "surrogatepass") for row in zip(*columns, strict=True) for cell in row]
        self._digest.update(b"".join(b"%d:%b" % (len(cell), cell) for cell in cells))

    def hexdigest(self) -> str:
        """Gives the digest of all rows so far."""
        return self._digest.hexdigest()


class Survey:
    """What the first pass finds.

    Args:
        source: the rows.
        rows_per_chunk: rows held at a time.
        on_rows: told after each chunk how many rows there are so far.

    Raises:
        DataError: no row, a target that is no number, or fewer than two labels.
    """

    def __init__(self, source: RowSource, rows_per_chunk: int, on_rows: Callable[[int], None]) -> None:
        self.rows = self.rows_in = self.rows_other_split = self.blank_texts = 0
        self.refused: list[RefusedRow] = []
        self.is_pair = False
        warnings: dict[str, None] = {}
        notes: dict[str, None] = {}
        words: Counter[str] = Counter()
        self._unlabelled = False
        digest = RowsDigest()
        for examples in source.chunks(rows_per_chunk):
            self._count(examples)
            warnings |= dict.fromkeys(examples.report.warnings)
            notes |= dict.fromkeys(examples.report.notes)
            if len(examples):
                self._take_labels(examples, source, words)
                digest.add(examples)
            on_rows(self.rows)
        self.labelled = not self._unlabelled
        self.warnings, self.notes = tuple(warnings), tuple(notes)
        self.rows_digest = digest.hexdigest()
        self.labels = self._label_set(source, words)
        names = () if self.labels is None else self.labels.names
        self.label_counts = {name: words[name] for name in names} if self.labelled else {}

    def _count(self, examples: Examples) -> None:
        report = examples.report
        self.rows += len(examples)
        self.rows_in += report.rows_in
        self.rows_other_split += report.rows_other_split
        self.blank_texts += report.blank_texts
        self.refused += report.refused

    def _take_labels(self, examples: Examples, source: RowSource, words: Counter[str]) -> None:
        self.is_pair = examples.texts_b is not None
        if examples.labels is None:
            self._unlabelled = True
        elif not source.task.kind.has_labels:
            examples.targets()  # raises where one is no number
        elif source.task.labels is not None:
            examples.label_ids(source.task.labels)  # raises where one is none of the task's
            words.update(examples.labels)
        else:
            words.update(examples.labels)
            if len(words) > _MOST_LABELS:
                raise ConfigError(
                    f"{source}: more than {_MOST_LABELS:,} different labels", hint="use --kind regression for numbers"
                )

    def _label_set(self, source: RowSource, words: Counter[str]) -> LabelSet | None:
        if not self.rows:
            raise DataError(f"{source}: no row to encode")
        if not source.task.kind.has_labels or source.task.labels is not None:
            return source.task.labels
        if not self.labelled:
            return None
        labels = LabelSet.from_values(words)
        if len(labels) < 2:
            raise DataError(
                f"{source}: every row has the label '{labels.names[0]}'; a classifier needs at least two labels",
                hint="is this the column with the labels? or name them all with --labels",
            )
        return labels


def targets_of(examples: Examples, labels: LabelSet | None, *, labelled: bool) -> Any:
    """Gives class ids or values of a chunk; None where the data set has no labels."""
    if not labelled:
        return None
    return examples.targets() if labels is None else examples.label_ids(labels)


def pieces_of(examples: Examples, first_row: int, boundaries: list[int]) -> Iterator[tuple[int, Examples]]:
    """Cuts a chunk where a shard ends.

    Args:
        examples: the chunk.
        first_row: position of its first row in the data set.
        boundaries: where shards begin, ascending.

    Yields:
        Position of the first row of a piece, and the piece.
    """
    end = first_row + len(examples)
    cuts = [first_row, *(cut for cut in boundaries if first_row < cut < end), end]
    if len(cuts) == 2:
        yield first_row, examples
        return
    for start, stop in pairwise(cuts):
        yield start, examples.select(range(start - first_row, stop - first_row))
