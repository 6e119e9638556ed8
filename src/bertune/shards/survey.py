"""The first of two passes over the rows: how many there are, their labels, and a digest of them all."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bertune.data.examples import Examples, LabelSet, RefusedRow
from bertune.data.row_source import RowSource
from bertune.errors import ConfigError, DataError

ROWS_PER_CHUNK: Final = 1024
_MOST_LABELS: Final = 100_000
# Of more files than this nobody reads how many rows each has.
_MOST_NOTED: Final = 20


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


@dataclass(frozen=True)
class FileSurvey:
    """What is in one file.

    Args:
        path: as messages name it.
        rows: examples.
        rows_in: rows of the file.
        rows_other_split: rows that belong to another split.
        blank_texts: text cells that are empty or only spaces.
        digest: SHA-256 over texts and labels of all examples in order.
        is_pair: whether examples have two texts.
        labelled: whether all examples have a label.
        words: label word to examples; empty for a regression.
        refused: the rows that could not be used.
        warnings: what looked wrong.
        notes: how it was read where nobody said it.
    """

    path: str
    rows: int
    rows_in: int
    rows_other_split: int
    blank_texts: int
    digest: str
    is_pair: bool
    labelled: bool
    words: dict[str, int]
    refused: tuple[RefusedRow, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def survey_file(source: RowSource, on_rows: Callable[[int], None] = lambda _: None) -> FileSurvey:
    """Reads a file once, a chunk at a time.

    Args:
        source: its rows.
        on_rows: told after each chunk how many more rows were read.

    Raises:
        ConfigError: more different labels than any task has.
        DataError: a row that cannot be used, or a target that is no number.
    """
    path = str(source)
    rows = rows_in = rows_other_split = blank_texts = 0
    is_pair, labelled = False, True
    refused: list[RefusedRow] = []
    warnings: dict[str, None] = {}
    notes: dict[str, None] = {}
    words: Counter[str] = Counter()
    digest = RowsDigest()
    for examples in source.chunks(ROWS_PER_CHUNK):
        report = examples.report
        path = report.path
        rows += len(examples)
        rows_in += report.rows_in
        rows_other_split += report.rows_other_split
        blank_texts += report.blank_texts
        refused += report.refused
        warnings |= dict.fromkeys(report.warnings)
        notes |= dict.fromkeys(report.notes)
        if len(examples):
            is_pair = examples.texts_b is not None
            labelled = labelled and examples.labels is not None
            _count_labels(examples, source, words)
            digest.add(examples)
        on_rows(len(examples))
    return FileSurvey(
        path=path,
        rows=rows,
        rows_in=rows_in,
        rows_other_split=rows_other_split,
        blank_texts=blank_texts,
        digest=digest.hexdigest(),
        is_pair=is_pair,
        labelled=labelled,
        words=dict(words),
        refused=tuple(refused),
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def _count_labels(examples: Examples, source: RowSource, words: Counter[str]) -> None:
    if examples.labels is None:
        return
    if not source.task.kind.has_labels:
        examples.targets()  # raises where one is no number
        return
    if source.task.labels is not None:
        examples.label_ids(source.task.labels)  # raises where one is none of the task's
    words.update(examples.labels)
    if source.task.labels is None:
        _check_number(source, words)


def _check_number(source: RowSource, words: Counter[str]) -> None:
    if len(words) > _MOST_LABELS:
        raise ConfigError(
            f"{source}: more than {_MOST_LABELS:,} different labels", hint="use --kind regression for numbers"
        )


class Survey:
    """What the first pass found in all files together.

    Args:
        source: the rows.
        files: what was found in each of `source.files()`.

    Raises:
        DataError: no row, or fewer than two labels.
    """

    def __init__(self, source: RowSource, files: Sequence[FileSurvey]) -> None:
        self.files = tuple(files)
        self.rows = sum(file.rows for file in files)
        self.rows_in = sum(file.rows_in for file in files)
        self.rows_other_split = sum(file.rows_other_split for file in files)
        self.blank_texts = sum(file.blank_texts for file in files)
        self.refused = [row for file in files for row in file.refused]
        self.is_pair = any(file.is_pair for file in files)
        self.labelled = all(file.labelled for file in files)
        self.warnings = tuple(dict.fromkeys(warning for file in files for warning in file.warnings))
        self.notes = tuple(
            dict.fromkeys(note for file in files for note in _notes_of(file, several=1 < len(files) <= _MOST_NOTED))
        )
        self.rows_digest = _digest_of_all(files)
        words: Counter[str] = Counter()
        for file in files:
            words.update(file.words)
        self.labels = self._label_set(source, words)
        names = () if self.labels is None else self.labels.names
        self.label_counts = {name: words[name] for name in names} if self.labelled else {}

    def _label_set(self, source: RowSource, words: Counter[str]) -> LabelSet | None:
        if not self.rows:
            raise DataError(f"{source}: no row to encode")
        if not source.task.kind.has_labels or source.task.labels is not None:
            return source.task.labels
        if not self.labelled:
            return None
        _check_number(source, words)
        labels = LabelSet.from_values(words)
        if len(labels) < 2:
            raise DataError(
                f"{source}: every row has the label '{labels.names[0]}'; a classifier needs at least two labels",
                hint="is this the column with the labels? or name them all with --labels",
            )
        return labels


def _notes_of(file: FileSurvey, *, several: bool) -> tuple[str, ...]:
    used = f"{file.path}: {file.rows:,} of {file.rows_in:,} rows used"
    return (used, *file.notes) if several else file.notes


def _digest_of_all(files: Sequence[FileSurvey]) -> str:
    """SHA-256 over the rows of one file, or over the digests of several, so that each can be read by itself."""
    if len(files) == 1:
        return files[0].digest
    return hashlib.sha256(" ".join(file.digest for file in files).encode()).hexdigest()


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
