import re
import runpy
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bertune.shards.store import load_store, save_store
from bertune.tokenization import encode_texts as encoding
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.text_beginning import beginning
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.truncation import truncated_lengths
from bertune.tokenization.unicode_tables import UNASSIGNED, UNICODE_VERSION

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
REFERENCE = runpy.run_path(str(HERE / "reference_tokenizer.py"))["reference_pieces"]
HOSTILE = runpy.run_path(str(GOLDEN / "hostile_strings.py"))
TOKENIZERS = {lower: BertTokenizer(GOLDEN / "small_cased_vocab.txt", do_lower_case=lower) for lower in (True, False)}

telling = st.sampled_from([chr(code) for pool in HOSTILE["POOLS"].values() for code in HOSTILE["expand"](pool)])
any_character = st.integers(0, 0x10FFFF).map(chr)
words = st.sampled_from(HOSTILE["WORDS"])
texts = st.lists(st.one_of(telling, any_character, st.characters(), words, st.just(" ")), max_size=12).map("".join)


def assigned_later(text: str) -> bool:
    """Whether this interpreter knows a character of the text that Unicode 14 does not."""
    if unicodedata.unidata_version == UNICODE_VERSION:
        return False
    ends = [part.split("-") for part in UNASSIGNED.split()]
    return any(
        unicodedata.category(char) != "Cn" and any(int(end[0], 16) <= ord(char) <= int(end[-1], 16) for end in ends)
        for char in text
    )


@pytest.mark.parametrize("lower", [True, False])
@settings(max_examples=400)
@given(batch=st.lists(texts, min_size=1, max_size=8))
def test_any_text_gets_the_pieces_of_the_plain_algorithm(lower: bool, batch: list[str]) -> None:
    assume(not any(map(assigned_later, batch)))
    tokenizer = TOKENIZERS[lower]
    expected = [REFERENCE(text, tokenizer.vocab, do_lower_case=lower) for text in batch]
    assert [tokenizer.tokenize(text) for text in batch] == expected
    assert tokenizer.encode_batch(batch) == [tokenizer.convert_tokens_to_ids(pieces) for pieces in expected]


@pytest.mark.parametrize("lower", [True, False])
@settings(max_examples=200)
@given(
    pieces=st.lists(st.tuples(texts, st.integers(1, 60)), min_size=1, max_size=6),
    between=st.sampled_from([" ", "\n", "\u3000", "", " \t", "\x1c", "\u00a0"]),
    max_length=st.integers(5, 24),
    pairs=st.booleans(),
)
def test_the_beginning_of_a_text_gives_the_first_tokens_of_it(
    lower: bool, pieces: list[tuple[str, int]], between: str, max_length: int, pairs: bool
) -> None:
    first = between.join(between.join([piece] * times) for piece, times in pieces)
    batch = [first, first[::-1], first + "x" * 500, "a b c"]
    others = batch[::-1] if pairs else None
    encoded = encode_examples(batch, others, TOKENIZERS[lower], max_length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "beginning", lambda text, _: text)
        whole = encode_examples(batch, others, TOKENIZERS[lower], max_length)
    for name in ("token_ids", "offsets", "first_lengths", "truncated"):
        np.testing.assert_array_equal(getattr(encoded, name), getattr(whole, name), err_msg=name)


@pytest.mark.parametrize("lower", [True, False])
def test_every_letter_and_digit_becomes_a_token_or_more(lower: bool) -> None:
    kept = [chr(code) for code in range(0x110000) if re.match(r"[^\W_]", chr(code))]
    _, offsets = TOKENIZERS[lower].encode_flat(kept)
    assert len(kept) > 130_000
    assert np.diff(offsets).min() >= 1


def test_a_long_text_is_read_no_further_than_its_tokens_go() -> None:
    word = " " + "a" * 399
    assert len(beginning(word * 25_000, 128)) < 200 * len(word)
    for short in ("", "a" * 100, "a" * 10_000_000, ". " * 100_000, "\x00 " * 100_000):
        assert beginning(short, 128) == short


def popped(first: int, second: int, budget: int) -> tuple[int, int]:
    """The original's truncation, one token at a time."""
    while first + second > budget:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@settings(max_examples=1000)
@given(first=st.integers(0, 60), second=st.integers(0, 60), budget=st.integers(0, 90))
def test_truncation_in_closed_form_is_popping_from_the_longer_side(first: int, second: int, budget: int) -> None:
    assert truncated_lengths(first, second, budget) == popped(first, second, budget)


def test_truncation_of_arrays_is_popping_too_at_every_small_size() -> None:
    first, second = (grid.ravel() for grid in np.meshgrid(np.arange(14), np.arange(14)))
    for budget in range(28):
        kept = truncated_lengths(first, second, budget)
        expected = [popped(int(a), int(b), budget) for a, b in zip(first, second, strict=True)]
        assert list(zip(*(array.tolist() for array in kept), strict=True)) == expected


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(texts, texts), max_size=6), max_length=st.integers(5, 20), data=st.data())
def test_examples_survive_bulk_encoding_taking_and_storing(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], max_length: int, data: st.DataObject
) -> None:
    tokenizer = TOKENIZERS[True]
    encoded = encode_examples([a for a, _ in pairs], [b for _, b in pairs], tokenizer, max_length)
    path = tmp_path_factory.mktemp("store") / "s"
    save_store(encoded, None, path, metadata={})
    order = data.draw(st.lists(st.integers(0, len(pairs) - 1), max_size=8)) if pairs else []
    taken = load_store(path).encoded.take(order)
    for place, index in enumerate(order):
        ids, types = tokenizer.encode(*pairs[index], max_length=max_length)
        assert taken.token_ids[taken.offsets[place] : taken.offsets[place + 1]].tolist() == ids
        assert taken.first_lengths[place] == types.count(0)
