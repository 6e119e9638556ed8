"""Keys of texts and pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.text_keys import keys_of, normalised, pair_keys, unordered_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Is it open?", "is it open"),
        ("  Is\tit -- open!! ", "is it open"),
        ("snake_case", "snake case"),
        ("Straße \u2013 ÄÖ", "strasse äö"),
        ("!", "!"),
        (" ? ", "?"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_normalising_folds_case_space_and_punctuation(text: str, expected: str) -> None:
    assert normalised(text) == expected


@given(st.text())
def test_ascii_is_normalised_as_all_else(text: str) -> None:
    # A letter beyond ASCII takes the other way through the function.
    assert normalised(text + " é").removesuffix("é").strip() in (normalised(text), "")


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_keys_are_equal_where_texts_are(pairs: list[tuple[str, str]]) -> None:
    first, second = keys_of([a for a, _ in pairs]), keys_of([b for _, b in pairs])
    exact, unordered = pair_keys(first, second), unordered_keys(first, second)
    assert len(np.unique(exact)) == len(set(pairs))
    assert len(np.unique(unordered)) == len({tuple(sorted(pair)) for pair in pairs})
    assert np.array_equal(unordered, unordered_keys(second, first))
