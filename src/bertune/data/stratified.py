"""Rows chosen so that each label has its share of them, and that blocks of rows stay together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bertune.data.examples import Examples, number_in
from bertune.data.task_kind import TaskKind

Rows = NDArray[np.int64]
_BINS: Final = 10


@dataclass(frozen=True)
class Strata:
    """Strata to be represented: for each row, those it belongs to.

    Args:
        offsets: (rows + 1,) where those of each row begin.
        ids: of the strata, one row after another.
        counts: (strata,) rows in each.
    """

    offsets: Rows
    ids: Rows
    counts: Rows

    @classmethod
    def of(cls, examples: Examples, kind: TaskKind) -> "Strata":
        """Takes the labels, each of several labels (none is one, too), or the tenths of the values by rank."""
        if kind.has_label_sets:
            sets = [tuple(dict.fromkeys(words)) or ("",) for words in examples.label_sets or ()]
            words = [word for each in sets for word in each]
            lengths = [len(each) for each in sets]
        elif not kind.has_labels:
            return cls._single(_tenths([number_in(word) for word in examples.labels or ()]))
        else:
            words, lengths = list(examples.labels or ()), [1] * len(examples)
        numbers: dict[str, int] = {}
        ids = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(offsets, ids, np.bincount(ids).astype(np.int64))

    @classmethod
    def _single(cls, ids: Rows) -> "Strata":
        return cls(np.arange(len(ids) + 1, dtype=np.int64), ids, np.bincount(ids).astype(np.int64))


def _tenths(values: Sequence[float]) -> Rows:
    """Numbers the tenth of the values by rank that each is in; equal values are in one."""
    numbers = np.nan_to_num(np.array(values, np.float64))  # what is no number is refused where targets are read
    edges = np.unique(np.sort(numbers)[[len(numbers) * part // _BINS for part in range(1, _BINS)]])
    _, ids = np.unique(np.searchsorted(edges, numbers, side="right"), return_inverse=True)
    return ids.astype(np.int64)


def choose(blocks: Rows, strata: Strata, wanted: int, *, seed: int) -> Rows:
    """Chooses rows, of each stratum in its share, never all of one, and whole blocks alone.

    Args:
        blocks: (rows,) the number of each row's block, from 0.
        strata: of the rows.
        wanted: how many rows, fewer than there are.
        seed: of the order in which blocks are considered.

    Returns:
        Numbers of rows, ascending. Where each block is larger than `wanted` those of the smallest that can be taken;
        none where every block would take the last of a stratum, or is more than half of all.
    """
    choice = _Choice(blocks, strata, wanted, seed)
    everything = len(strata.counts)
    # The rarest first, as they leave the least choice; all rows together come last and fill up what is missing.
    # Source: Sechidis et al., 2011, "On the Stratification of Multi-Label Data", iterative stratification.
    for stratum in [*np.argsort(strata.counts, kind="stable").tolist(), everything]:
        choice.fill(stratum)
    if not choice.held:
        choice.take_smallest()
    return np.flatnonzero(np.isin(blocks, choice.held)).astype(np.int64)


class _Choice:
    """Blocks that are held back, chosen one at a time."""

    def __init__(self, blocks: Rows, strata: Strata, wanted: int, seed: int) -> None:
        rows = len(blocks)
        self.held: list[int] = []
        self._wanted = wanted
        self._sizes = np.bincount(blocks)
        self._counts = np.append(strata.counts, rows)
        self._everything = len(strata.counts)
        self._quotas = np.append(_quotas(strata.counts, wanted / rows, wanted, len(strata.ids) == rows), wanted)
        self._has = np.zeros(len(self._counts), np.int64)
        # (strata of the rows of each block with how often, blocks in the order in which they are considered)
        block_of_entry = np.repeat(blocks, np.diff(strata.offsets))
        pairs, times = np.unique(np.stack([block_of_entry, strata.ids]), axis=1, return_counts=True)
        self._begins = np.searchsorted(pairs[0], np.arange(len(self._sizes) + 1))
        self._strata, self._times = pairs[1], times
        # A generator whose numbers are promised to stay what they are (NEP 19).
        place = np.random.RandomState(seed).permutation(len(self._sizes))
        self._order = np.argsort(place)
        self._entries = np.lexsort((place[pairs[0]], pairs[1]))
        self._by_stratum = np.searchsorted(pairs[1][self._entries], np.arange(self._everything + 1))
        self._blocks = pairs[0]
        self._taken = np.zeros(len(self._sizes), np.bool_)

    def fill(self, stratum: int) -> None:
        """Takes blocks of a stratum, or of all rows, until it has what it should have or none helps."""
        if stratum == self._everything:
            candidates = self._order
        else:
            entries = self._entries[self._by_stratum[stratum] : self._by_stratum[stratum + 1]]
            candidates = self._blocks[entries]
        for block in candidates:
            if self._has[stratum] >= self._quotas[stratum]:
                return
            if self._taken[block] or not self._fits(block):
                continue
            gain = self._gain(block)
            # To fill up, a row of a stratum that has enough will do.
            if gain > 0 or (gain == 0 and stratum == self._everything):
                self._take(block)

    def take_smallest(self) -> None:
        """Takes the smallest block that leaves the larger part, where each is larger than what is wanted."""
        for block in sorted(self._order.tolist(), key=lambda block: self._sizes[block]):
            if 2 * self._sizes[block] > self._counts[-1]:
                return
            if self._leaves_all(block):
                self._take(block)
                return

    def _fits(self, block: int) -> bool:
        return bool(self._has[-1] + self._sizes[block] <= self._wanted) and self._leaves_all(block)

    def _leaves_all(self, block: int) -> bool:
        """Tells whether a row of each stratum stays in training."""
        strata, times = self._of(block)
        return bool((self._has[strata] + times < self._counts[strata]).all())

    def _gain(self, block: int) -> float:
        """By how much nearer the strata, and all rows, come to what they should have."""
        strata, times = self._of(block)
        strata, times = np.append(strata, self._everything), np.append(times, self._sizes[block])
        missing = self._quotas[strata] - self._has[strata]
        return float((np.abs(missing) - np.abs(missing - times)).sum())

    def _take(self, block: int) -> None:
        strata, times = self._of(block)
        self._has[strata] += times
        self._has[-1] += self._sizes[block]
        self._taken[block] = True
        self.held.append(int(block))

    def _of(self, block: int) -> tuple[Rows, Rows]:
        part = slice(self._begins[block], self._begins[block + 1])
        return self._strata[part], self._times[part]


def _quotas(counts: Rows, share: float, wanted: int, one_each: bool) -> Rows:
    """Says how many rows of each stratum are to be held back: its share, rounded so that they are `wanted` in all."""
    exact = counts * share
    if not one_each:
        return np.minimum(np.round(exact), counts - 1).astype(np.int64)
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    # Largest remainders; of equal ones the larger stratum's, which can spare a row.
    order = np.lexsort((-counts, -(exact - quotas)))
    quotas[order[: max(wanted - int(quotas.sum()), 0)]] += 1
    limited: Rows = np.minimum(quotas, counts - 1)
    return limited
