"""Rows divided into folds for cross-validation: so many of each label in each, and what belongs together in one.

As for rows that are held back, which rows they are depends on the rows alone, not on a seed.
"""

from collections import Counter
from typing import Final

import numpy as np

from bertune.data.examples import Examples
from bertune.data.held_out import SEED, blocks_of
from bertune.data.stratified import Rows, Strata, choose
from bertune.data.task_kind import TaskKind
from bertune.errors import DataError
from bertune.wording.counts import counted
from bertune.wording.nearest import shorten

FEWEST_FOLDS: Final = 2


def folds_of(examples: Examples, kind: TaskKind, count: int, *, group: str | None = None) -> Rows:
    """Divides examples into folds of about the same size.

    Each fold has its share of each label, as `hold_out` holds rows back: of values of each tenth of their ranks, where
    rows have several labels of each of these. Rows with the same texts but for case, space and punctuation, or with the
    two texts of a pair swapped, are in one fold, and so are rows of one group.

    Args:
        examples: with labels; with `groups` where `group` names a column.
        kind: what is learned from them.
        count: of the folds, at least 2.
        group: how the column of the groups is called.

    Returns:
        (rows,) the fold of each row, from 1.

    Raises:
        DataError: a label has fewer rows than there are folds, or lies in one block of rows that belong together; or
            there are fewer such blocks than folds.
    """
    path, labels = examples.report.path, list(examples.labels or ())
    if kind.has_one_label:
        name, rows = min(Counter(labels).items(), key=lambda entry: (entry[1], entry[0]))
        if rows < count:
            raise DataError(
                f"{path}: --folds {count} needs {count} rows of each label or more, and {shorten(name)!r} has {rows}",
                hint=_fewer(rows, f"add rows of {shorten(name)!r}"),
            )
    blocks, _ = blocks_of(examples, group)
    of_what = "different texts" if group is None else f"values in {shorten(group)!r}"
    there_are = len(np.unique(blocks))
    if there_are < count:
        raise DataError(
            f"{path}: --folds {count} needs {count} {of_what} or more, and there are {there_are}",
            hint=_fewer(there_are, "add rows"),
        )
    folds = _divided(examples, kind, blocks, count)
    empty = next((fold for fold in range(1, count + 1) if not (folds == fold).any()), None)
    if empty is not None:
        raise DataError(
            f"{path}: the rows cannot be divided into {count} folds: too many of them belong together",
            hint=f"ask for fewer folds than {count}" + ("" if group is None else ", or leave --group out"),
        )
    if kind.has_one_label:
        _require_in_training(path, labels, folds)
    return folds


def _divided(examples: Examples, kind: TaskKind, blocks: Rows, count: int) -> Rows:
    """Takes one fold after another from the rows that are left: a K-th of them, then one of K - 1 parts, and so on."""
    folds = np.full(len(examples), count, np.int64)
    left = np.arange(len(examples))
    for fold in range(1, count):
        # Numbered anew, since `choose` counts on every number.
        _, own = np.unique(blocks[left], return_inverse=True)
        wanted = round(len(left) / (count - fold + 1))
        if len(left) < 2:
            break
        chosen = choose(own, Strata.of(examples.select(left.tolist()), kind), wanted, seed=SEED)
        folds[left[chosen]] = fold
        left = np.delete(left, chosen)
    return folds


def _require_in_training(path: str, labels: list[str], folds: Rows) -> None:
    """Refuses folds without which a label could not be learned: all its rows belong together."""
    folds_of_label: dict[str, set[int]] = {}
    for label, fold in zip(labels, folds.tolist(), strict=True):
        folds_of_label.setdefault(label, set()).add(fold)
    alone = next((label for label, found in folds_of_label.items() if len(found) == 1), None)
    if alone is not None:
        raise DataError(
            f"{path}: {counted(labels.count(alone), 'row')} of label {shorten(alone)!r} belong together, so that one "
            "fold's model could not learn it",
            hint="add rows of this label that are no near-duplicates and of other groups, or take it out",
        )


def _fewer(most: int, otherwise: str) -> str:
    return f"use --folds {most}, or {otherwise}" if most >= FEWEST_FOLDS else otherwise
