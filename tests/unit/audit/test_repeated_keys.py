"""Repetitions among keys, sorted a part at a time, beside what a dictionary finds."""

import numpy as np
import pytest

from bertune.audit import repeated_texts
from bertune.audit.growing_array import GrowingArray
from bertune.audit.repeated_texts import repeats_among, rows_shared


def keys_in(seed: int, rows: int, distinct: int) -> np.ndarray:
    source = np.random.default_rng(seed)
    return source.integers(0, 1 << 64, distinct, np.uint64)[source.integers(0, distinct, rows)]


@pytest.mark.parametrize("rows_per_part", [250_000, 3, 1])
@pytest.mark.parametrize(("rows", "distinct"), [(0, 1), (1, 1), (50, 1), (300, 40), (300, 100_000)])
def test_each_repeat_is_found_with_the_first_row_of_its_key(
    monkeypatch: pytest.MonkeyPatch, rows_per_part: int, rows: int, distinct: int
) -> None:
    monkeypatch.setattr(repeated_texts, "_ROWS_PER_PART", rows_per_part)
    keys, others = keys_in(1, rows, distinct), keys_in(1, 2 * rows, distinct)
    others[::3] += np.uint64(1)
    first: dict[int, int] = {}
    expected = [(row, first[key]) for row, key in enumerate(keys.tolist()) if first.setdefault(key, row) != row]
    found = repeats_among(keys)
    assert list(zip(*(array.tolist() for array in found), strict=True)) == expected
    there: dict[int, int] = {}
    for row, key in enumerate(others.tolist()):
        there.setdefault(key, row)
    shared = rows_shared(keys, others)
    assert list(zip(*(array.tolist() for array in shared), strict=True)) == [
        (row, there[key]) for row, key in enumerate(keys.tolist()) if key in there
    ]


def test_an_array_grows_by_chunks_and_what_was_seen_of_it_stays() -> None:
    array, expected = GrowingArray(), np.empty(0, np.uint32)
    assert array.values(np.int64).dtype == np.int64
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for size in (1, 0, 40_000, 7, 100_000):
        chunk = np.arange(size, dtype=np.uint32) + size
        array.add(chunk)
        expected = np.concatenate([expected, chunk])
        if size != 7:
            seen.append((array.values(np.uint32), expected))
    array.add(np.array([1 << 40]))
    assert array.values(np.uint32).dtype == np.int64
    assert array.values(np.uint32)[-1] == 1 << 40
    assert len(array) == len(expected) + 1
    for values, then in seen:
        np.testing.assert_array_equal(values, then)
