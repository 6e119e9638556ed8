"""Measuring for a moment."""

import time

import numpy as np
import pytest

from bertune.runtime.export_speed import ExportSpeed, measured
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of


def rows_of(texts: int, others: int) -> ProofRows:
    lengths = np.arange(1, texts + others + 1)
    encoded = EncodedExamples(
        np.zeros(lengths.sum(), np.int32),
        offsets_of(lengths),
        lengths.astype(np.int32),
        np.zeros(len(lengths), bool),
        99,
    )
    return ProofRows(encoded, texts=texts, vocab_size=10, max_positions=99)


@pytest.mark.parametrize(("texts", "others", "longest"), [(3, 40, 3), (64, 5, 64), (0, 12, 12)])
def test_texts_are_measured_alone_and_32_at_a_time_and_random_rows_only_where_there_is_none(
    texts: int, others: int, longest: int
) -> None:
    asked: list[EncodedExamples] = []
    found = measured(asked.append, rows_of(texts, others), threads=2, size=7)
    assert {len(one) for one in asked} == {1, 32}
    assert max(one.lengths.max() for one in asked) == longest
    assert (found.threads, found.bytes) == (2, 7)
    assert found.latency_ms > 0


def test_a_slow_model_is_not_asked_often() -> None:
    calls = []

    def answer(rows: EncodedExamples) -> None:
        calls.append(len(rows))
        time.sleep(0.3)

    began = time.monotonic()
    found = measured(answer, rows_of(40, 0), threads=1)
    assert time.monotonic() - began < 5
    assert calls == [1] * 6 + [32] * 2
    assert 300 <= found.latency_ms < 1000
    assert 32 < found.rows_per_second < 107


def test_it_is_told_as_people_read_it() -> None:
    speed = ExportSpeed(24_040_000, 3.14159, 311.6, 2)
    assert speed.texts() == ("24.0 MB", "3.14 ms", "312 rows/s")
    assert speed.to_dict() == {"bytes": 24_040_000, "latency_ms": 3.142, "rows_per_second": 311.6, "threads": 2}
