"""Texts that occur more than once, inside a split and in two splits, found by their keys."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.audit.findings import PLACES_SHOWN, Finding
from bertune.audit.split_scan import SplitScan
from bertune.data.text_keys import Keys
from bertune.wording.counts import share_of
from bertune.wording.nearest import shorten

Rows = NDArray[np.int64]
_ROWS_PER_PART: Final = 250_000
_MOST_PARTS: Final = 256


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
    findings: list[Finding] = []

    def tell(code: str, rows: Rows, others: Rows, what: str) -> int:
        if len(rows):
            findings.append(
                _finding(code, f"{scan.name}: {share_of(len(rows), scan.rows)} {what}", scan, rows, scan, others)
            )
        return len(rows)

    rows, first = repeats_among(exact)
    repeats = np.zeros(scan.rows, np.bool_)
    repeats[rows] = True
    duplicates = tell("duplicates", rows, first, "repeat the texts of an earlier one")
    rows, likes = repeats_among(scan.keys("normal"))
    alike = ~repeats[rows]
    near = tell(
        "near_duplicates", rows[alike], likes[alike], "repeat one but for case, space, punctuation and look-alikes"
    )
    swapped = 0
    if scan.is_pair:
        rows, turned = repeats_among(scan.keys("unordered"))
        others = (exact[rows] != exact[turned]) & ~repeats[rows]
        swapped = tell("swapped_pairs", rows[others], turned[others], "repeat an earlier one with its texts swapped")
    conflicts = 0
    answers = scan.labels.answers
    if answers is not None:
        rows, first = repeats_among(scan.keys("look"))
        contradict = answers[rows] != answers[first]
        rows, first = rows[contradict], first[contradict]
        # Of each text the first row that contradicts.
        _, chosen = np.unique(first, return_index=True)
        chosen.sort()
        rows, first = rows[chosen], first[chosen]
        conflicts = len(rows)
        if conflicts:
            row, other = int(rows[0]), int(first[0])
            message = (
                f"{scan.name}: texts with conflicting labels: {conflicts:,}, the first {_both(scan, row, scan, other)}"
            )
            findings.append(_finding("conflicting_labels", message, scan, rows, scan, first))
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

    def tell(code: str, found: tuple[Rows, Rows], what: str, besides: NDArray[np.bool_] | None = None) -> Rows:
        rows, origins = found
        if besides is not None:
            others = ~besides[rows]
            rows, origins = rows[others], origins[others]
        if len(rows):
            message = f"{scan.name}: {share_of(len(rows), scan.rows)} have the texts of {there}{what}"
            findings.append(_finding(code, message, scan, rows, earlier, origins))
        return rows

    exact = tell("overlap_exact", rows_shared(scan.keys("exact"), earlier.keys("exact")), "")
    same = np.zeros(scan.rows, np.bool_)
    same[exact] = True
    findings += _contradictions(scan, earlier, rows_shared(scan.keys("look"), earlier.keys("look")))
    alike = rows_shared(scan.keys("normal"), earlier.keys("normal"))
    normalised = tell("overlap_normalised", alike, " but for case, space, punctuation and look-alikes", same)
    swapped = np.zeros(0, np.int64)
    if scan.is_pair:
        turned = rows_shared(scan.keys("unordered"), earlier.keys("unordered"))
        swapped = tell("overlap_swapped", turned, " with the texts swapped", same)
    return Overlap(scan.name, earlier.name, len(exact), len(normalised), len(swapped)), findings


def _contradictions(scan: SplitScan, earlier: SplitScan, shared: tuple[Rows, Rows]) -> Iterator[Finding]:
    """Tells of rows whose label differs from that of the same texts in an earlier split."""
    mine, theirs = scan.labels.answers, earlier.labels.answers
    if mine is None or theirs is None:
        return
    rows, origins = shared
    own = mine[rows]
    if not scan.labels.is_regression:
        # Each split numbers its words in the order in which it meets them.
        numbers = {word: number for number, word in enumerate(earlier.labels.answer_words)}
        own = np.array([numbers.get(word, -1) for word in scan.labels.answer_words], np.int32)[own]
    contradict = own != theirs[origins]
    rows, origins = rows[contradict], origins[contradict]
    if len(rows):
        both = _both(scan, int(rows[0]), earlier, int(origins[0]))
        message = (
            f"{scan.name}: {share_of(len(rows), scan.rows)} contradict the label of the same texts in {earlier.name}, "
            f"the first {both}"
        )
        yield _finding("conflicting_labels", message, scan, rows, earlier, origins)


def _both(scan: SplitScan, row: int, other: SplitScan, other_row: int) -> str:
    return f"'{shorten(scan.labels.word(row))}' against '{shorten(other.labels.word(other_row))}'"


def _finding(code: str, message: str, scan: SplitScan, rows: Rows, other: SplitScan, other_rows: Rows) -> Finding:
    places = tuple(scan.where(row) for row in rows[:PLACES_SHOWN].tolist())
    counterparts = tuple(other.where(row) for row in other_rows[:PLACES_SHOWN].tolist())
    return Finding(code, message, len(rows), places, counterparts)


def repeats_among(keys: Keys) -> tuple[Rows, Rows]:
    """Finds the rows whose key an earlier row has.

    The keys are sorted a part at a time, so that beside them and what is found little memory is needed.

    Args:
        keys: (rows,).

    Returns:
        (repeats,) those rows, ascending, and of each the first row with its key.
    """
    found: list[tuple[Rows, Rows]] = []
    for part in _parts_of(keys):
        order = np.argsort(keys[part], kind="stable")
        ordered = keys[part][order]
        again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        if len(again):
            # Of places that follow each other the one before the first has the first row.
            begins = np.flatnonzero(np.diff(again, prepend=-1) != 1)
            lengths = np.diff(begins, append=len(again))
            starts = np.repeat(again[begins] - 1, lengths)
            found.append((part[order[again]], part[order[starts]]))
    return _by_row(found)


def rows_shared(keys: Keys, among: Keys) -> tuple[Rows, Rows]:
    """Finds the rows whose key some row of another split has; as careful with memory as `repeats_among`.

    Args:
        keys: (rows,).
        among: (other rows,).

    Returns:
        (shared,) those rows, ascending, and of each the first row of the other split with its key.
    """
    found: list[tuple[Rows, Rows]] = []
    if not len(among):
        return _by_row(found)
    count = _part_count(len(keys) + len(among))
    for mine, theirs in zip(_parts_of(keys, count), _parts_of(among, count), strict=True):
        if not len(theirs):
            continue
        known, first = np.unique(among[theirs], return_index=True)
        own = keys[mine]
        places = np.minimum(np.searchsorted(known, own), len(known) - 1)
        hits = np.flatnonzero(known[places] == own)
        found.append((mine[hits], theirs[first[places[hits]]]))
    return _by_row(found)


def _part_count(rows: int) -> int:
    """Gives a power of two, so that a part has no more than some hundred thousand rows."""
    return min(1 << max(rows // _ROWS_PER_PART, 1).bit_length() - 1, _MOST_PARTS)


def _parts_of(keys: Keys, count: int | None = None) -> Iterator[Rows]:
    """Yields the rows of each part of the keys, by their highest bits, ascending."""
    count = _part_count(len(keys)) if count is None else count
    if count == 1:
        yield np.arange(len(keys))
        return
    shift = np.uint64(64 - (count.bit_length() - 1))
    # One byte a row tells its part: looking at the keys once for each would take as long as sorting them.
    parts = (keys >> shift).astype(np.uint8)
    for part in range(count):
        yield np.flatnonzero(parts == part)


def _by_row(found: list[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rows, others = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    return rows[order], others[order]
