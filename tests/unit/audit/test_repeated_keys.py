"""Repetitions among keys, sorted a part at a time, beside what a dictionary finds."""

import numpy as np
import pytest

from bertune.audit import repeated_texts
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
