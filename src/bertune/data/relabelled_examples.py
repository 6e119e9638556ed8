"""Training rows with the labels that were decided on."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from bertune.data.examples import Examples, number_in
from bertune.data.read_report import RefusedRow
from bertune.data.relabel_file import Relabel, digest_of, label_text, read_relabels
from bertune.data.task import Task
from bertune.errors import DataError
from bertune.wording.counts import counted
from bertune.wording.nearest import did_you_mean, shorten

_AGAIN: Final = "decide again in the report of a run on these data"


def relabelled(train: Examples, others: Mapping[str, Examples], task: Task, path: str) -> Examples:
    """Applies a table of decisions to training rows; rows of other splits stay, so that scores can be compared.

    Args:
        train: the rows that are trained on.
        others: rows of other splits, by its name.
        task: with its labels: a new label is one of them, and they stay the same even if no row has one any more.
        path: of the table.

    Returns:
        The rows that are left, with a sentence on what was done in the notes of their report, where rows that were left
        out are among those that were refused.

    Raises:
        DataError: a decision is about no training row, or about one that has other texts or another label now, or its
            new label does not exist; names the decision.
    """
    rows = _Rows(train, others, task)
    decided = {
        rows.row_of(relabel, f"{path}:{line}"): (line, relabel) for line, relabel in read_relabels(Path(path)).items()
    }
    labels = None if train.labels is None else list(train.labels)
    label_sets = None if train.label_sets is None else list(train.label_sets)
    left_out: list[RefusedRow] = []
    for row, (line, relabel) in decided.items():
        if relabel.decision == "skip":
            source = train.report.path if train.paths is None else train.paths[row]
            left_out.append(RefusedRow(source, train.lines[row], f"left out by the decision in {path}:{line}"))
        elif relabel.decision == "change" and label_sets is not None:
            label_sets[row] = rows.new_labels(relabel.new_label, f"{path}:{line}")
        elif relabel.decision == "change" and labels is not None:
            labels[row] = rows.new_label(relabel.new_label, f"{path}:{line}")
    kept = [row for row in range(len(train)) if row not in decided or decided[row][1].decision != "skip"]
    if not kept:
        raise DataError(f"{path}: no training row is left")
    counts = Counter(relabel.decision for _, relabel in decided.values())
    note = (
        f"{path}: {counted(counts['change'], 'label')} changed, {counted(counts['skip'], 'row')} left out, "
        f"{counted(counts['accept'], 'label')} accepted as they are"
    )
    report = replace(
        train.report,
        rows_used=train.report.rows_used - len(left_out),
        refused=[*train.report.refused, *left_out],
        notes=[*train.report.notes, note],
    )
    return replace(replace(train, labels=labels, label_sets=label_sets).select(kept), report=report)


class _Rows:
    """Finds the rows that decisions are about.

    Args:
        train: the rows.
        others: of other splits.
        task: of all.
    """

    def __init__(self, train: Examples, others: Mapping[str, Examples], task: Task) -> None:
        self._train = train
        self._task = task
        self._splits = {"train": train, **others}
        self._places: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for split, examples in self._splits.items():
            for row, line in enumerate(examples.lines):
                self._places.setdefault((_file_name(examples, row), line), []).append((split, row))

    def row_of(self, relabel: Relabel, where: str) -> int:
        """Returns the number of the training row that a decision is about.

        Raises:
            DataError: there is none, or it is no longer what was decided on.
        """
        place = f"{relabel.file}:{relabel.line}"
        # The folder may be called otherwise here; the texts tell whether it is that file.
        found = self._places.get((Path(relabel.file).name, relabel.line), [])
        exact = [each for each in found if self._splits[each[0]].where(each[1]) == place]
        same = [each for each in exact or found if self._digest(*each) == relabel.texts]
        if not found:
            raise DataError(f"{where}: there is no row {place} in the data", hint=_AGAIN)
        if not same:
            raise DataError(f"{where}: {place} has other texts than when it was decided on", hint=_AGAIN)
        if len(same) > 1:
            raise DataError(
                f"{where}: {place} may be any of {len(same)} rows with these texts", hint="name the data as the run did"
            )
        split, row = same[0]
        if split != "train":
            raise DataError(
                f"{where}: {place} is a row of the {split} data, whose labels stay, so that runs can be compared",
                hint="correct the table itself, if its label is wrong",
            )
        if not self._has_label(row, relabel.label):
            raise DataError(
                f"{where}: {place} has the label {shorten(self._label(row))!r}, not {shorten(relabel.label)!r}",
                hint=_AGAIN,
            )
        return row

    def new_label(self, word: str, where: str) -> str:
        """Returns a label as a row of the table would have it.

        Raises:
            DataError: there is no such label, or it is no number that targets can have.
        """
        if self._task.labels is not None:
            if word not in self._task.labels:
                raise self._unknown(word, where)
            return word
        low, high = self._task.target_range or (-math.inf, math.inf)
        value = number_in(word)
        if not math.isfinite(value) or not low <= value <= high or abs(value) > float(np.finfo(np.float32).max):
            raise DataError(f"{where}: the new target {shorten(word)!r} is none that rows can have", hint=_AGAIN)
        return word

    def new_labels(self, text: str, where: str) -> tuple[str, ...]:
        """Returns several labels as a row has them.

        Raises:
            DataError: it is no list of labels that exist, or an empty one where rows need a label.
        """
        words = _list_in(text)
        if words is None:
            raise DataError(
                f"{where}: the new labels are {shorten(text)!r}, not a JSON list", hint='such as ["a", "b"]'
            )
        for word in words:
            if word not in (self._task.labels or ()):
                raise self._unknown(word, where)
        several = self._task.columns.several
        if not words and not (several is not None and (several.columns or several.allow_none)):
            raise DataError(f"{where}: no label is left", hint="skip leaves the row out; --allow-no-label allows it")
        return tuple(words)

    def _unknown(self, word: str, where: str) -> DataError:
        names = (self._task.labels or ()) and self._task.labels.names
        hint = did_you_mean(word, names) or f"one of {', '.join(map(shorten, names[:12]))}"
        return DataError(f"{where}: the new label {shorten(word)!r} does not occur in the training data", hint=hint)

    def _digest(self, split: str, row: int) -> str:
        examples = self._splits[split]
        return digest_of(examples.texts_a[row], None if examples.texts_b is None else examples.texts_b[row])

    def _label(self, row: int) -> str:
        if self._train.label_sets is not None:
            return label_text(self._train.label_sets[row])
        return (self._train.labels or [])[row]

    def _has_label(self, row: int, label: str) -> bool:
        own = self._label(row)
        if self._train.label_sets is not None:
            return sorted(self._train.label_sets[row]) == sorted(_list_in(label) or ())
        if self._task.labels is None:  # a run keeps float32
            return bool(np.float32(number_in(own)) == np.float32(number_in(label)))
        return own == label


def _file_name(examples: Examples, row: int) -> str:
    return Path(examples.report.path if examples.paths is None else examples.paths[row]).name


def _list_in(text: str) -> list[str] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, list) and all(isinstance(value, str) for value in values) else None
