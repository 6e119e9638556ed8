"""Training rows held back for validation: so many of each label, and what belongs together on one side.

Which rows they are depends on the rows alone: not on the run's seed, nor on the machine or the version of a library.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Final

import numpy as np

from bertune.data.examples import Examples
from bertune.data.read_report import ReadReport
from bertune.data.stratified import Rows, Strata, choose
from bertune.data.task_kind import TaskKind
from bertune.data.text_keys import keys_of, normalised, unordered_keys
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import shorten

USUAL_SHARE: Final = 0.1
FEWEST_HELD: Final = 50
MOST_HELD: Final = 5_000
LARGEST_USUAL_SHARE: Final = 0.2
"""The usual share holds back 10 % of the rows, at least 50 and at most 5,000, but never more than 20 %."""
FEWEST_ROWS: Final = 10
SEED: Final = 0


@dataclass(frozen=True)
class SavedPlaces:
    """Rows of a file.

    Args:
        path: of the file.
        lines: on which they begin; for Parquet and Arrow the row numbers.
    """

    path: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class SavedHeldOut:
    """Which rows were held back, as files hold it; what is not said here is as in `HeldOut`.

    Args:
        rows: how many.
        share: the part of all that they are, 0 to 1.
        of: how many there were.
        asked_for: the share that was asked for; None for the usual one.
        method: how they were chosen.
        seed: of the order.
        group: the column whose rows stay on one side.
        ungrouped: rows without a value in that column.
        places: where they stand.
    """

    rows: int
    share: float
    of: int
    asked_for: float | None
    method: str
    seed: int
    group: str | None
    ungrouped: int
    places: tuple[SavedPlaces, ...]


@dataclass(frozen=True)
class HeldOut:
    """Training rows that are held out for validation.

    Args:
        rows: their numbers among the examples, from 0, ascending.
        of: how many examples there were.
        asked_for: the share that was asked for; None for the usual one.
        method: how they were chosen.
        seed: of the order in which rows were considered; always the same.
        group: the column whose rows stay on one side; None where there is none.
        ungrouped: rows without a value in that column, each of which stands alone.
        places: the file of the rows to their lines (for Parquet and Arrow row numbers), in the order of `rows`.
    """

    rows: tuple[int, ...]
    of: int
    asked_for: float | None
    method: str
    seed: int
    group: str | None
    ungrouped: int
    places: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def share(self) -> float:
        """The part of the rows that was held back, 0 to 1."""
        return len(self.rows) / self.of

    def line(self) -> str:
        """Says in one line how many rows were held back and how, and which flag changes it."""
        together = "" if self.group is None else f", rows of one {shorten(self.group)} together"
        return (
            f"validation: {len(self.rows):,} of {self.of:,} rows held back ({100 * self.share:.3g} %, "
            f"{self.method}{together}; --validation FILE names others, none trains on all)"
        )

    def saved(self) -> SavedHeldOut:
        """Gives what the `data.json` of a run holds of it."""
        kept = {part.name: getattr(self, part.name) for part in fields(self)}
        places = tuple(SavedPlaces(path, lines) for path, lines in self.places)
        return SavedHeldOut(**kept | {"rows": len(self.rows), "share": self.share, "places": places})


def hold_out(
    train: Examples, kind: TaskKind, *, share: float | None = None, group: str | None = None
) -> tuple[Examples, Examples, HeldOut]:
    """Divides training examples into those to train on and those to validate with.

    Of each label as large a part is held back as of all rows; of values of each tenth of their range of ranks; where
    rows have several labels, of each of these. Every label stays in training. Rows with the same texts but for case,
    space and punctuation, or with the two texts of a pair swapped, stay on one side, and so do rows of one group.

    Args:
        train: all examples, with labels; with `groups` where `group` names a column.
        kind: what is learned from them.
        share: part of the rows to hold back, between 0 and 1; None for the usual one (see `wanted_rows`).
        group: how the column of the groups is called.

    Returns:
        The examples to train on, those held back, and which these are.

    Raises:
        DataError: there are fewer than 10 rows, one group only, or no row can be held back.
    """
    path = train.report.path
    if len(train) < FEWEST_ROWS:
        raise DataError(
            f"{path}: {len(train)} rows are too few to hold some back for validation, which takes {FEWEST_ROWS}",
            hint=_OTHERWISE,
        )
    together, ungrouped = blocks_of(train, group)
    strata = Strata.of(train, kind)
    held = choose(together, strata, wanted_rows(len(train), share), seed=SEED)
    if not len(held):
        reason = (
            "each label has too few rows"
            if group is None
            else f"each group of {group!r} is too large or all of a label"
        )
        raise DataError(f"{path}: no row can be held back for validation: {reason}", hint=_OTHERWISE)
    kept = np.ones(len(train), np.bool_)
    kept[held] = False
    validation = train.select(held.tolist())
    lines = zip((train.where(row).rpartition(":")[0] for row in held.tolist()), validation.lines, strict=True)
    places = tuple((name, tuple(line for _, line in part)) for name, part in groupby(lines, key=lambda entry: entry[0]))
    found = HeldOut(tuple(held.tolist()), len(train), share, _METHOD[kind], SEED, group, ungrouped, places)
    rest = train.select(np.flatnonzero(kept).tolist())
    return _accounted(rest, train.report, of_train=True), _accounted(validation, train.report, of_train=False), found


_OTHERWISE: Final = (
    "name validation data with --validation FILE, or train on all rows, without a score: --validation none"
)
_METHOD: Final[dict[TaskKind, str]] = {
    TaskKind.CLASSIFICATION: "stratified",
    TaskKind.MULTI_LABEL: "stratified by each label",
    TaskKind.REGRESSION: "stratified by tenths of the values",
}


def checked_share(share: float) -> float:
    """Returns the share.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigError(
            f"--validation {share:g}: the share of the rows to hold back lies between 0 and 1",
            hint=f"--validation 0.1 holds back a tenth, none nothing; a file or folder of that name is ./{share:g}",
        )
    return share


def wanted_rows(rows: int, share: float | None) -> int:
    """Returns how many of so many rows are to be held back.

    Args:
        rows: of the training data.
        share: part of them; None for the usual one: 10 %, at least 50 rows and at most 5,000, but never more than 20 %.
    """
    if share is not None:
        return min(max(round(share * rows), 1), rows - 1)
    usual = min(max(round(USUAL_SHARE * rows), FEWEST_HELD), MOST_HELD)
    return min(usual, int(LARGEST_USUAL_SHARE * rows))


def blocks_of(examples: Examples, group: str | None) -> tuple[Rows, int]:
    """Numbers the block of rows that stay together for each row, (rows,), and counts rows without a group.

    Raises:
        DataError: every row is of one group.
    """
    normal = [keys_of([normalised(text) for text in examples.texts_a])]
    if examples.texts_b is not None:
        normal.append(keys_of([normalised(text) for text in examples.texts_b]))
    _, blocks = np.unique(normal[0] if len(normal) == 1 else unordered_keys(*normal), return_inverse=True)
    ungrouped = 0
    if group is not None:
        assert examples.groups is not None
        named = [word for word in examples.groups if word is not None]
        ungrouped = len(examples) - len(named)
        if not ungrouped and len(set(named)) == 1:
            raise DataError(
                f"{examples.report.path}: every row has the {group!r} {shorten(named[0])!r}, so none can be held back "
                "without the others",
                hint="is --group the right column? It names what belongs together, such as the author of a text",
            )
        blocks = _joined(blocks, examples.groups)
    # Numbered by the first row, since keys are others in every process.
    _, first, blocks = np.unique(blocks, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[blocks], ungrouped


def _joined(blocks: Rows, groups: Sequence[str | None]) -> Rows:
    """Joins blocks that share a group, and so on through all that hang together (union-find)."""
    parent = list(range(int(blocks.max()) + 1))

    def root(block: int) -> int:
        while parent[block] != block:
            parent[block] = parent[parent[block]]
            block = parent[block]
        return block

    block_of_group: dict[str, int] = {}
    for block, word in zip(blocks.tolist(), groups, strict=True):
        if word is not None:
            parent[root(block)] = root(block_of_group.setdefault(word, block))
    return np.array([root(block) for block in blocks.tolist()], np.int64)


def _accounted(part: Examples, whole: ReadReport, *, of_train: bool) -> Examples:
    """Gives a part of the examples its own account; what could not be used is told once, in that of training."""
    refused = whole.refused if of_train else []
    blank = sum(not text or text.isspace() for texts in (part.texts_a, part.texts_b or ()) for text in texts)
    report = ReadReport(
        path=whole.path,
        rows_in=whole.rows_in,
        rows_used=len(part),
        refused=refused,
        blank_texts=blank,
        rows_other_split=whole.rows_in - len(part) - len(refused),
        warnings=whole.warnings if of_train else [],
        header=whole.header,
        notes=whole.notes if of_train else [],
    )
    return replace(part, report=report)
