"""The queue before a model: nothing lost, nothing twice, and no length that waits for ever."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertune.serving.batch_queue import BatchQueue, Job, joined
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of


def job_of(lengths: list[int], first_id: int = 0) -> Job:
    offsets = offsets_of(np.array(lengths))
    encoded = EncodedExamples(
        token_ids=np.arange(first_id, first_id + offsets[-1]).astype(np.int32),
        offsets=offsets,
        first_lengths=np.array(lengths, np.int32),
        truncated=np.zeros(len(lengths), bool),
        max_length=max(lengths),
    )
    return Job(encoded, 0.0)


JOBS = st.lists(st.lists(st.integers(1, 600), min_size=1, max_size=8), min_size=1, max_size=12)


@given(JOBS, st.integers(1, 1024), st.data())
def test_every_sequence_is_picked_once_or_its_job_is_over(
    jobs: list[list[int]], max_tokens: int, data: st.DataObject
) -> None:
    queue = BatchQueue((128, 512))
    waiting = [job_of(lengths) for lengths in jobs]
    for job in waiting:
        queue.push(job)
    ended = set(data.draw(st.sets(st.sampled_from(range(len(waiting))))))
    for place in ended:
        queue.end(waiting[place])
    picked = []
    while batch := queue.pick(max_tokens):
        assert len(batch) == 1 or sum(entry.tokens for entry in batch) <= max_tokens
        picked += [(waiting.index(entry.job), entry.row) for entry in batch]
    expected = [
        (place, row) for place, job in enumerate(waiting) if place not in ended for row in range(len(job.encoded))
    ]
    assert sorted(picked) == expected
    assert queue.count == queue.tokens == 0
    assert queue.dropped == sum(len(waiting[place].encoded) for place in ended)


@given(JOBS)
def test_sequences_of_one_length_stay_in_their_order(jobs: list[list[int]]) -> None:
    queue = BatchQueue((128, 512))
    for job in map(job_of, jobs):
        queue.push(job)
    order: dict[int, list[int]] = {}
    while batch := queue.pick(512):
        for entry in batch:
            order.setdefault(int(np.searchsorted((128, 512), entry.tokens)), []).append(entry.tokens)
    every = [length for lengths in jobs for length in lengths]
    for bucket, lengths in order.items():
        assert lengths == [length for length in every if np.searchsorted((128, 512), length) == bucket]


def test_a_short_text_waits_for_no_more_than_the_batch_that_is_computed() -> None:
    queue = BatchQueue((128, 512))
    long_job, short_job = job_of([512] * 32), job_of([20])
    queue.push(long_job)
    assert {entry.job for entry in queue.pick(2048)} == {long_job}
    queue.push(short_job)
    assert [entry.job for entry in queue.pick(2048)] == [short_job]


def test_long_texts_have_their_turn_among_short_ones() -> None:
    queue = BatchQueue((128, 512))
    long_job = job_of([512])
    for _ in range(20):
        queue.push(job_of([20] * 100))
    queue.push(long_job)
    assert any(entry.job is long_job for _ in range(2) for entry in queue.pick(2048))


@given(JOBS)
def test_a_batch_holds_the_tokens_of_its_sequences(jobs: list[list[int]]) -> None:
    queue = BatchQueue((128, 512))
    for place, lengths in enumerate(jobs):
        queue.push(job_of(lengths, first_id=1000 * place))
    while batch := queue.pick(700):
        encoded = joined(batch)
        for place, entry in enumerate(batch):
            own, there = entry.job.encoded.take([entry.row]), encoded.take([place])
            assert own.token_ids.tolist() == there.token_ids.tolist()
            assert own.first_lengths.tolist() == there.first_lengths.tolist()


def test_what_is_over_leaves_nothing_behind() -> None:
    queue = BatchQueue((128,))
    jobs = [job_of([5, 600]) for _ in range(3)]
    for job in jobs:
        queue.push(job)
    queue.pick(4)
    for job in jobs:
        queue.end(job)
        queue.end(job)
    assert queue.count == queue.tokens == 0
    assert queue.pick(100) == []
