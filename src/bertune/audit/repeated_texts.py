"""Texts that occur more than once, inside a split and in two splits, found by their keys."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.audit.findings import PLACES_SHOWN, Finding
from bertune.audit.split_scan import SplitScan
from bertune.data.text_keys import Keys
from bertune.wording.counts import share_of
from bertune.wording.nearest import shorten

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Repetitions:
    """Texts that occur more than once within a split.

    Args:
        duplicates: rows whose texts occur in an earlier row.
        near_duplicates: rows whose texts occur in an earlier row but for case, space and punctuation.
        swapped_pairs: rows whose texts occur in an earlier row the other way round.
        conflicts: distinct texts that occur with different labels.
        findings: what its user should know of it.
    """

    duplicates: int
    near_duplicates: int
    swapped_pairs: int
    conflicts: int
    findings: list[Finding]


@dataclass(frozen=True)
class Overlap:
    """Texts that two splits share.

    Args:
        split: the later split, whose rows are counted.
        earlier: the split that has their texts too.
        exact: rows with the same texts.
        normalised: rows with the same texts but for case, space and punctuation; not those of `exact`.
        swapped: rows with the same texts the other way round; not those of `exact`.
    """

    split: str
    earlier: str
    exact: int
    normalised: int
    swapped: int

    def to_dict(self) -> dict[str, Any]:
        """Gives the counts as plain values for JSON."""
        return asdict(self)


def repetitions_in(scan: SplitScan) -> Repetitions:
    """Counts repetitions and contradictions inside one split."""
    exact = scan.keys("exact")
    first = _first_rows(exact)
    own = np.arange(scan.rows)
    repeats = first != own
    findings: list[Finding] = []

    def tell(code: str, rows: Rows, others: Rows, what: str) -> int:
        if len(rows):
            findings.append(
                _finding(code, f"{scan.name}: {share_of(len(rows), scan.rows)} {what}", scan, rows, scan, others)
            )
        return len(rows)

    rows = np.flatnonzero(repeats)
    duplicates = tell("duplicates", rows, first[rows], "repeat the texts of an earlier one")
    likes = _first_rows(scan.keys("normal"))
    rows = np.flatnonzero((likes != own) & ~repeats)
    near = tell("near_duplicates", rows, likes[rows], "repeat one but for case, space, punctuation and look-alikes")
    swapped = 0
    if scan.is_pair:
        turned = _first_rows(scan.keys("unordered"))
        rows = np.flatnonzero((turned != own) & (exact != exact[turned]) & ~repeats)
        swapped = tell("swapped_pairs", rows, turned[rows], "repeat an earlier one with its texts swapped")
    conflicts = 0
    answers = scan.labels.answers
    if answers is not None:
        first = _first_rows(scan.keys("look"))
        rows = np.flatnonzero(answers != answers[first])
        # Of each text the first row that contradicts.
        _, chosen = np.unique(first[rows], return_index=True)
        rows = rows[np.sort(chosen)]
        conflicts = len(rows)
        if conflicts:
            row, other = int(rows[0]), int(first[rows[0]])
            message = (
                f"{scan.name}: texts with conflicting labels: {conflicts:,}, the first {_both(scan, row, scan, other)}"
            )
            findings.append(_finding("conflicting_labels", message, scan, rows, scan, first[rows]))
    return Repetitions(duplicates, near, swapped, conflicts, findings)


def overlaps_between(scans: Sequence[SplitScan]) -> tuple[list[Overlap], list[Finding]]:
    """Finds rows whose texts an earlier split has: as they are, after normalising, and swapped.

    Args:
        scans: the splits, ``train`` first.

    Returns:
        The overlap of each two splits that have one, and what their user should know.
    """
    overlaps: list[Overlap] = []
    findings: list[Finding] = []
    for position, scan in enumerate(scans):
        for earlier in scans[:position]:
            if scan.is_pair == earlier.is_pair:
                overlap, found = _overlap(scan, earlier)
                findings += found
                if overlap.exact or overlap.normalised or overlap.swapped:
                    overlaps.append(overlap)
    return overlaps, findings


def _overlap(scan: SplitScan, earlier: SplitScan) -> tuple[Overlap, list[Finding]]:
    findings: list[Finding] = []
    there = f"an example in {earlier.name}"

    def tell(code: str, found: Rows, what: str, besides: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        hits = found >= 0 if besides is None else (found >= 0) & ~besides
        rows = np.flatnonzero(hits)
        if len(rows):
            message = f"{scan.name}: {share_of(len(rows), scan.rows)} have the texts of {there}{what}"
            findings.append(_finding(code, message, scan, rows, earlier, found[rows]))
        return hits

    origin = _rows_of(scan.keys("exact"), earlier.keys("exact"))
    same = tell("overlap_exact", origin, "")
    findings += _contradictions(scan, earlier, _rows_of(scan.keys("look"), earlier.keys("look")))
    alike = _rows_of(scan.keys("normal"), earlier.keys("normal"))
    normalised = tell("overlap_normalised", alike, " but for case, space, punctuation and look-alikes", same)
    swapped = np.zeros(0, np.bool_)
    if scan.is_pair:
        turned = _rows_of(scan.keys("unordered"), earlier.keys("unordered"))
        swapped = tell("overlap_swapped", turned, " with the texts swapped", same)
    overlap = Overlap(scan.name, earlier.name, int(same.sum()), int(normalised.sum()), int(swapped.sum()))
    return overlap, findings


def _contradictions(scan: SplitScan, earlier: SplitScan, origin: Rows) -> Iterator[Finding]:
    """Tells of rows whose label differs from that of the same texts in an earlier split."""
    mine, theirs = scan.labels.answers, earlier.labels.answers
    if mine is None or theirs is None:
        return
    rows = np.flatnonzero(origin >= 0)
    if not scan.labels.is_regression:
        # Each split numbers its words in the order in which it meets them.
        numbers = {word: number for number, word in enumerate(earlier.labels.answer_words)}
        mine = np.array([numbers.get(word, -1) for word in scan.labels.answer_words], np.int32)[mine]
    rows = rows[mine[rows] != theirs[origin[rows]]]
    if len(rows):
        both = _both(scan, int(rows[0]), earlier, int(origin[rows[0]]))
        message = (
            f"{scan.name}: {share_of(len(rows), scan.rows)} contradict the label of the same texts in {earlier.name}, "
            f"the first {both}"
        )
        yield _finding("conflicting_labels", message, scan, rows, earlier, origin[rows])


def _both(scan: SplitScan, row: int, other: SplitScan, other_row: int) -> str:
    return f"'{shorten(scan.labels.word(row))}' against '{shorten(other.labels.word(other_row))}'"


def _finding(code: str, message: str, scan: SplitScan, rows: Rows, other: SplitScan, other_rows: Rows) -> Finding:
    places = tuple(scan.where(row) for row in rows[:PLACES_SHOWN].tolist())
    counterparts = tuple(other.where(row) for row in other_rows[:PLACES_SHOWN].tolist())
    return Finding(code, message, len(rows), places, counterparts)


def _first_rows(keys: Keys) -> Rows:
    """Gives for each row the first row with its key, (rows,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.ones(len(keys), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    del ordered
    first = np.empty(len(keys), np.int64)
    first[order] = order[begins][np.cumsum(begins) - 1]
    return first


def _rows_of(keys: Keys, among: Keys) -> Rows:
    """Gives for each key the first row of another split that has it, else -1, (rows,)."""
    if not len(among):
        return np.full(len(keys), -1, np.int64)
    known, rows = np.unique(among, return_index=True)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: Rows = np.where(known[places] == keys, rows[places], -1)
    return found
