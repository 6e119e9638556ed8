import numpy as np
import pytest

from bertune.errors import ConfigError, DataError
from bertune.tokenization.encode_texts import EncodedExamples, bert_encode, encode_examples, pad
from bertune.tokenization.tokenizer import BertTokenizer

FIRST = ["a b c", "ab", "", "a b c", "a, a, a, a"]
SECOND = ["c", "a b c a b c", "a", "c", ""]


def rows(encoded: EncodedExamples) -> list[list[int]]:
    return [part.tolist() for part in np.split(encoded.token_ids, encoded.offsets[1:-1])]


@pytest.mark.parametrize("max_length", [5, 6, 7, 8, 512])
def test_pairs_in_bulk_are_the_pairs_one_by_one(tokenizer: BertTokenizer, max_length: int) -> None:
    encoded = encode_examples(FIRST, SECOND, tokenizer, max_length)
    single = [tokenizer.encode(a, b, max_length=max_length) for a, b in zip(FIRST, SECOND, strict=True)]
    whole = [len(tokenizer.encode(a, b)[0]) for a, b in zip(FIRST, SECOND, strict=True)]
    assert rows(encoded) == [ids for ids, _ in single]
    assert encoded.first_lengths.tolist() == [types.count(0) for _, types in single]
    assert encoded.truncated.tolist() == [length > max_length for length in whole]
    assert encoded.truncated_fraction == np.mean([length > max_length for length in whole])
    assert encoded.max_length == max_length


@pytest.mark.parametrize("max_length", [3, 4, 512])
def test_singles_in_bulk_are_the_singles_one_by_one(tokenizer: BertTokenizer, max_length: int) -> None:
    encoded = encode_examples(FIRST, None, tokenizer, max_length)
    assert rows(encoded) == [tokenizer.encode(text, max_length=max_length)[0] for text in FIRST]
    assert encoded.first_lengths.tolist() == encoded.lengths.tolist()


def test_ids_are_16_bit_as_long_as_the_vocabulary_allows(tokenizer: BertTokenizer) -> None:
    encoded = encode_examples(FIRST, None, tokenizer, 8)
    assert (encoded.token_ids.dtype, encoded.offsets.dtype) == (np.uint16, np.int64)
    assert (encoded.first_lengths.dtype, encoded.truncated.dtype) == (np.int32, np.bool_)


def test_ids_are_32_bit_for_a_large_vocabulary(tmp_path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(65_531))]
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    encoded = encode_examples(["w65530"], None, BertTokenizer(tmp_path / "vocab.txt"), 8)
    assert encoded.token_ids.dtype == np.int32
    assert encoded.token_ids.tolist() == [2, 65_535, 3]


def test_a_text_that_occurs_again_is_tokenized_once(tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original = tokenizer.encode_flat
    monkeypatch.setattr(tokenizer, "encode_flat", lambda texts: seen.extend(texts) or original(texts))
    encode_examples(["a", "b", "a"], ["b", "a", "c"], tokenizer, 8)
    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("second", [None, []])
def test_no_examples_are_no_examples(tokenizer: BertTokenizer, second: list[str] | None) -> None:
    encoded = encode_examples([], second, tokenizer, 8)
    assert (len(encoded), encoded.truncated_fraction, len(encoded.token_ids)) == (0, 0.0, 0)
    assert pad(encoded)["input_mask"].shape == (0, 0)


def test_lengths_without_room_for_text_are_refused(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ConfigError, match="max_length is 4, at least 5 is needed for pairs"):
        encode_examples(["a"], ["b"], tokenizer, 4)
    with pytest.raises(ConfigError, match="max_length is 2, at least 3"):
        encode_examples(["a"], None, tokenizer, 2)


def test_texts_that_make_no_pairs_are_refused(tokenizer: BertTokenizer) -> None:
    with pytest.raises(DataError, match="2 first texts, but 1 second texts"):
        encode_examples(["a", "b"], ["c"], tokenizer, 8)
    with pytest.raises(DataError, match="text 1 is float, expected str"):
        encode_examples(["a", float("nan")], None, tokenizer, 8)  # type: ignore[list-item]


def test_bert_encode_makes_the_lessons_arrays(tokenizer: BertTokenizer) -> None:
    arrays = bert_encode({"sentence1": ["a b", "c"], "sentence2": ["c", "b"], "label": ["x", "y"]}, tokenizer)
    assert arrays["input_word_ids"].tolist() == [[2, 5, 6, 3, 7, 3], [2, 7, 3, 6, 3, 0]]
    assert arrays["input_mask"].tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]
    assert arrays["input_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int32)}


def test_bert_encode_cuts_only_when_told(tokenizer: BertTokenizer) -> None:
    columns = {"q": ["a " * 600]}
    assert bert_encode(columns, tokenizer, text_a="q", text_b=None)["input_mask"].shape == (1, 602)
    assert bert_encode(columns, tokenizer, text_a="q", text_b=None, max_length=9)["input_mask"].shape == (1, 9)
    with pytest.raises(ConfigError, match="max_length is 2"):
        bert_encode(columns, tokenizer, text_a="q", text_b=None, max_length=2)


def test_a_missing_column_is_named_with_the_nearest_one(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ConfigError, match="no column 'sentence2'; the columns are 'sentence1', 'sentense2'") as caught:
        bert_encode({"sentence1": ["a"], "sentense2": ["b"]}, tokenizer)
    assert caught.value.hint == "did you mean 'sentense2'?"


def test_taken_examples_are_the_chosen_ones_in_order(tokenizer: BertTokenizer) -> None:
    encoded = encode_examples(FIRST, SECOND, tokenizer, 6)
    order = np.array([4, 0, 0, -1])
    taken = encoded.take(order)
    assert rows(taken) == [rows(encoded)[index] for index in order]
    assert taken.first_lengths.tolist() == encoded.first_lengths[order].tolist()
    assert taken.truncated.tolist() == encoded.truncated[order].tolist()
    assert (taken.max_length, len(encoded.take([]))) == (6, 0)
    with pytest.raises(IndexError):
        encoded.take([5])


@pytest.mark.parametrize(
    ("offsets", "first_lengths"), [([0, 2, 4], [2, 2]), ([0, 4, 3], [2, 2]), ([1, 2, 3], [1, 1]), ([0, 2, 3], [3, 1])]
)
def test_arrays_that_do_not_fit_together_are_refused(offsets: list[int], first_lengths: list[int]) -> None:
    with pytest.raises(DataError):
        EncodedExamples(np.zeros(3, np.uint16), np.array(offsets), np.array(first_lengths), np.zeros(2, bool), 8)
    with pytest.raises(DataError, match="do not describe the same examples"):
        EncodedExamples(np.zeros(3, np.uint16), np.array([0, 3]), np.array([1, 1]), np.zeros(1, bool), 8)
