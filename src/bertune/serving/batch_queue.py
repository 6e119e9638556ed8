"""Sequences that wait for a model, by their length, and which of them are computed next."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of


@dataclass(eq=False)
class Job:
    """The sequences of one request.

    Args:
        encoded: each example of one sequence.
        arrived: by the clock of the queue.
        is_over: whether nobody waits for it any longer: answered, failed or given up.
        waiting: sequences that are still in the queue.
        unanswered: sequences without logits.
        logits: (sequences, outputs) as far as they are there.
    """

    encoded: EncodedExamples
    arrived: float
    is_over: bool = False
    waiting: int = 0
    waiting_tokens: int = 0
    unanswered: int = field(init=False)
    logits: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        self.unanswered = len(self.encoded)

    def take(self, row: int, logits: NDArray[np.float32]) -> bool:
        """Takes the logits of a sequence; tells whether they were the last."""
        if self.logits is None:
            self.logits = np.zeros((len(self.encoded), len(logits)), np.float32)
        self.logits[row] = logits
        self.unanswered -= 1
        return self.unanswered == 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One sequence in the queue.

    Args:
        job: that it belongs to.
        row: its number there.
        tokens: of it.
    """

    job: Job
    row: int
    tokens: int


class BatchQueue:
    """Sequences in the order they came, apart by length.

    Of the lengths that wait the one is served that was not served for longest, so that long texts, however many, hold
    short ones up by no more than the batch that is computed anyway.

    Args:
        bounds: the most tokens of a sequence of each bucket, ascending; longer ones have a bucket of their own.
    """

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = np.array(bounds)
        self._buckets: list[deque[Entry]] = [deque() for _ in range(len(bounds) + 1)]
        self._served = [0] * len(self._buckets)
        self._turn = 0
        self.count = 0
        self.tokens = 0
        self.dropped = 0

    def push(self, job: Job) -> None:
        """Puts all sequences of a job at the end."""
        lengths = job.encoded.lengths
        places = np.searchsorted(self._bounds, lengths)
        for row, (tokens, place) in enumerate(zip(lengths.tolist(), places.tolist(), strict=True)):
            self._buckets[place].append(Entry(job, row, tokens))
        job.waiting, job.waiting_tokens = len(lengths), int(lengths.sum())
        self.count += job.waiting
        self.tokens += job.waiting_tokens

    def end(self, job: Job) -> None:
        """Forgets what waits of a job: it is over."""
        job.is_over = True
        self.count -= job.waiting
        self.tokens -= job.waiting_tokens
        self.dropped += job.waiting
        job.waiting = job.waiting_tokens = 0
        if not self.count:
            # What is left are those that are over.
            for bucket in self._buckets:
                bucket.clear()

    def pick(self, max_tokens: int) -> list[Entry]:
        """Takes the next batch: sequences of similar length, of so many tokens at most but at least one sequence."""
        waiting = [place for place, bucket in enumerate(self._buckets) if self._first(bucket)]
        if not waiting:
            return []
        place = min(waiting, key=lambda place: self._served[place])
        self._turn += 1
        self._served[place] = self._turn
        batch: list[Entry] = []
        tokens = 0
        bucket = self._buckets[place]
        while (entry := self._first(bucket)) and (not batch or tokens + entry.tokens <= max_tokens):
            bucket.popleft()
            batch.append(entry)
            tokens += entry.tokens
            entry.job.waiting -= 1
            entry.job.waiting_tokens -= entry.tokens
        self.count -= len(batch)
        self.tokens -= tokens
        return batch

    @staticmethod
    def _first(bucket: deque[Entry]) -> Entry | None:
        while bucket and bucket[0].job.is_over:
            bucket.popleft()
        return bucket[0] if bucket else None


def joined(entries: Sequence[Entry]) -> EncodedExamples:
    """Puts the sequences of a batch one after another."""
    parts: list[NDArray[Any]] = []
    first_lengths = np.empty(len(entries), np.int32)
    for place, entry in enumerate(entries):
        encoded, row = entry.job.encoded, entry.row
        start = encoded.offsets[row]
        parts.append(encoded.token_ids[start : start + entry.tokens])
        first_lengths[place] = encoded.first_lengths[row]
    return EncodedExamples(
        token_ids=np.concatenate(parts),
        offsets=offsets_of(np.array([entry.tokens for entry in entries])),
        first_lengths=first_lengths,
        truncated=np.zeros(len(entries), bool),
        max_length=max(entry.tokens for entry in entries),
    )
