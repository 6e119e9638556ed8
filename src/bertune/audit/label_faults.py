"""Checks of the labels of a split, and of two splits together."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from bertune.audit.findings import PLACES_SHOWN, Finding
from bertune.audit.split_scan import SplitScan
from bertune.data.text_keys import same_look
from bertune.wording.counts import counted, listed
from bertune.wording.metric_text import part_of, percent
from bertune.wording.nearest import shorten

_RARE = 0.2
"""A label is rare below this fraction of its even share: below 10 % with two labels."""
_SHIFTED = 0.1
"""Share of the rows that would need another label for two splits to be alike."""
_SHIFTED_MEANS = 0.3
"""Standard deviations between the mean targets of two splits."""
_CERTAIN = 4.0
"""Standard errors from which on a difference is not put down to chance."""
_LABEL_HEADERS = {"label", "labels", "target", "class", "category", "gold_label", "sentiment", "score"}


def findings_of_labels(
    scan: SplitScan, labels: Sequence[str] | None, *, chosen_by: str | None = None
) -> Iterator[Finding]:
    """Tells of the labels of one split.

    Args:
        scan: the split.
        labels: those of the task; None for a regression or without labels.
        chosen_by: the metric that chooses the best epoch; None where nothing is trained.
    """
    yield from _one_class(scan)
    found = scan.labels
    if found.is_missing or not found.counts:
        return
    if not found.are_several:
        yield from _headers(scan)
    yield from _variants(scan)
    known = found.words if labels is None else labels
    counts = {word: found.counts[word] for word in known}
    if absent := [word for word, count in counts.items() if not count]:
        yield Finding("absent_label", f"{scan.name}: no row with {_quoted(absent)}", len(absent))
    if single := [word for word, count in counts.items() if count == 1]:
        places = _first_places(scan, single)
        yield Finding("single_example", f"{scan.name}: only one row with {_quoted(single)}", len(single), places)
    if unknown := [word for word in found.words if word not in counts]:
        rows = sum(found.counts[word] for word in unknown)
        message = f"{scan.name}: {counted(rows, 'row')} with labels that the task has not, {_quoted(unknown)}"
        yield Finding("unknown_label", message, rows, _first_places(scan, unknown))
    rarest = min(counts, key=lambda word: counts[word])
    share = counts[rarest] / found.counts.total()
    if counts[rarest] > 1 and share * len(counts) < _RARE:
        message = (
            f"{scan.name}: '{shorten(rarest)}' makes up {part_of(counts[rarest], found.counts.total())} of the labels"
        )
        if scan.name == "train" and chosen_by is not None:
            message += f"; {_what_chooses(chosen_by, tuple(counts), rarest, are_several=found.are_several)}"
        yield Finding("imbalance", message, counts[rarest], _first_places(scan, [rarest]))


def metric_for_rare(names: Sequence[str], rarest: str) -> str:
    """Returns the metric by which a rare class counts: its own F1 where that is `f1`, else the mean F1 of all.

    Args:
        names: of all classes, in their order; `f1` is that of the second of two.
        rarest: of them.
    """
    return "f1" if len(names) == 2 and names[1] == rarest else "f1_macro"


def _what_chooses(metric: str, names: Sequence[str], rarest: str, *, are_several: bool) -> str:
    """Says which metric chooses the best epoch, and where it hardly counts the rare label, which flag changes that."""
    chooses = f"{metric} chooses the best epoch"
    better = "f1_macro" if are_several else metric_for_rare(names, rarest)
    if metric in (better, "f1_macro", "matthews"):
        return chooses
    return f"{chooses}, which hardly counts so rare a label: --metric {better} does"


def label_shift(scan: SplitScan, train: SplitScan) -> Iterator[Finding]:
    """Tells whether the labels of a split are distributed otherwise than those of the training data."""
    if scan.labels.answers is None or train.labels.answers is None:
        return
    if scan.labels.is_regression:
        yield from _shift_of_targets(scan, train)
        return
    words = list(train.labels.counts | scan.labels.counts)
    mine, theirs = (np.array([split.labels.counts[word] for word in words]) for split in (scan, train))
    shares, expected = mine / scan.rows, theirs / train.rows
    moved = float(np.abs(shares - expected).sum()) / 2
    pooled = (mine + theirs) / (scan.rows + train.rows)
    chi_squared = float(((shares - expected) ** 2 / pooled).sum()) / (1 / scan.rows + 1 / train.rows)
    freedom = max(len(words) - 1, 1)
    if moved < _SHIFTED or chi_squared < freedom + _CERTAIN * math.sqrt(2 * freedom):
        return
    farthest = int(np.abs(shares - expected).argmax())
    message = (
        f"{scan.name}: labels are distributed otherwise than in {train.name}: '{shorten(words[farthest])}' makes up "
        f"{percent(shares[farthest])}, there {percent(expected[farthest])}"
    )
    yield Finding("label_shift", message, scan.rows)


def _shift_of_targets(scan: SplitScan, train: SplitScan) -> Iterator[Finding]:
    mine, theirs = scan.labels.answers, train.labels.answers
    assert mine is not None
    assert theirs is not None
    deviation = float(theirs.std())
    distance = abs(float(mine.mean()) - float(theirs.mean()))
    error = deviation * math.sqrt(1 / len(mine) + 1 / len(theirs))
    if distance > _SHIFTED_MEANS * deviation and distance > _CERTAIN * error:
        message = (
            f"{scan.name}: targets are distributed otherwise than in {train.name}: their mean is {mine.mean():.3g}, "
            f"there {theirs.mean():.3g}"
        )
        yield Finding("label_shift", message, scan.rows)


def _one_class(scan: SplitScan) -> Iterator[Finding]:
    answers = scan.labels.answers
    if scan.name == "train" and answers is not None and bool((answers == answers[0]).all()):
        what = "one target only" if scan.labels.is_regression else "one class only"
        word = shorten(scan.labels.word(0))
        message = f"{scan.name}: {what}: all {counted(scan.rows, 'row')} have '{word}', so there is nothing to learn"
        yield Finding("one_class", message, scan.rows, (scan.where(0),))


def _headers(scan: SplitScan) -> Iterator[Finding]:
    """Looks for the names of the columns among the rows, and for a row among the names of the columns."""
    found = scan.labels
    column = scan.header[-1] if scan.header else ""
    repeated = scan.repeated_headers
    times = found.counts.get(column, 0) - repeated.count
    if repeated.count:
        message = f"{scan.name}: {counted(repeated.count, 'row')} with the names of the columns, '{column}' as label"
        yield Finding("header_as_row", message, repeated.count, tuple(map(scan.where, repeated.rows)))
    if times > 0:
        message = (
            f"{scan.name}: the label's column is called '{shorten(column)}' in the first line, which is the label of "
            f"{counted(times, 'row')} too: if the table has no header, it lost its first row to it: --no-header"
        )
        yield Finding("row_as_header", message, times, _first_places(scan, [column]))
    elif not repeated.count and len(found.counts) > 2:
        first = found.words[0]
        if found.counts[first] == 1 and first.lower() in _LABEL_HEADERS:
            message = f"{scan.name}: the first row has the label '{first}': does it hold the names of the columns?"
            yield Finding("header_as_row", message, 1, _first_places(scan, [first]))


def _variants(scan: SplitScan) -> Iterator[Finding]:
    groups: defaultdict[str | float, list[str]] = defaultdict(list)
    for word in scan.labels.words:
        groups[_plain(word)].append(word)
    several = [words for words in groups.values() if len(words) > 1]
    if several:
        counts = scan.labels.counts
        shown = "; ".join(
            ", ".join(f"'{shorten(word)}'{_code_points(word, words)} {counts[word]:,}" for word in words)
            for words in several[:5]
        )
        rare = [word for words in several for word in sorted(words, key=lambda word: counts[word])[:-1]]
        message = (
            f"{scan.name}: labels that differ only in case, space, signs that look the same or the way a number is "
            f"written: {shown}"
        )
        yield Finding("label_variants", message, len(rare), _first_places(scan, rare))


def _plain(word: str) -> str | float:
    folded = " ".join(same_look(word).casefold().split())
    try:
        return float(folded)
    except ValueError:
        return folded


def _code_points(word: str, words: Sequence[str]) -> str:
    """Gives the code points of a word beyond ASCII, where another one of the words looks the same."""
    if not any(other != word and same_look(other) == same_look(word) for other in words):
        return ""
    points = " ".join(f"U+{ord(character):04X}" for character in word if not character.isascii())
    return f" ({points or 'ASCII'})"


def _quoted(words: Sequence[str]) -> str:
    return listed([shorten(word) for word in words])


def _first_places(scan: SplitScan, words: Sequence[str]) -> tuple[str, ...]:
    return tuple(scan.where(scan.labels.first_rows[word]) for word in words[:PLACES_SHOWN])
