"""What must hold of texts that are too long, for any lengths: which tokens stay, and what windows show."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.errors import ConfigError
from bertune.tokenization.encode_texts import EncodedExamples, encode_examples
from bertune.tokenization.long_texts import LongText, LongTexts, checked_stride
from bertune.tokenization.pair_template import BERT
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.truncation import truncated_lengths

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SEP = SPECIAL.index("[SEP]")
# Each word of an example is another one, so that an id tells which token of which text it is.
SECOND_FROM = 300
LENGTH = st.integers(0, 90)
SINGLES = st.lists(LENGTH, min_size=1, max_size=6)
PAIRS = st.lists(st.tuples(LENGTH, LENGTH), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, *(f"w{number}" for number in range(2 * SECOND_FROM))]) + "\n")
    return BertTokenizer(path)


def text(length: int, first: int = 0) -> str:
    return " ".join(f"w{first + number}" for number in range(length))


def encode(
    lengths: list[int] | list[tuple[int, int]],
    tokenizer: BertTokenizer,
    max_length: int,
    mode: LongText,
    stride: int | None = None,
) -> EncodedExamples:
    pairs = [length if isinstance(length, tuple) else (length, None) for length in lengths]
    first = [text(length) for length, _ in pairs]
    second = None if pairs[0][1] is None else [text(length or 0, SECOND_FROM) for _, length in pairs]
    return encode_examples(first, second, tokenizer, max_length, long_text=mode, window_stride=stride)


def shown(encoded: EncodedExamples) -> list[list[list[list[int]]]]:
    """For each example, for each of its sequences, for each text: which tokens of it are there, in order."""
    sequences = []
    for start, stop, first_length in zip(encoded.offsets, encoded.offsets[1:], encoded.first_lengths, strict=False):
        parts = [encoded.token_ids[start + 1 : start + first_length], encoded.token_ids[start + first_length : stop]]
        for part in parts:
            assert not len(part) or (part[-1] == SEP and SEP not in part[:-1])
        texts = [(part[:-1].astype(int) - len(SPECIAL)).tolist() for part in parts if len(part)]
        sequences.append([[token % SECOND_FROM for token in tokens] for tokens in texts])
    bounds = [*encoded.first_sequences.tolist(), len(sequences)]
    return [sequences[start:stop] for start, stop in itertools.pairwise(bounds)]


def room_of(lengths: int | tuple[int, int], max_length: int) -> list[tuple[int, int]]:
    """(tokens, tokens there is room for) of each text."""
    if isinstance(lengths, int):
        return [(lengths, min(lengths, max_length - 2))]
    return list(zip(lengths, truncated_lengths(*lengths, max_length - 3), strict=True))


@given(st.one_of(SINGLES, PAIRS), st.integers(7, 60))
def test_head_tail_keeps_a_quarter_from_the_beginning_and_the_rest_from_the_end(
    tokenizer: BertTokenizer, lengths: list[int] | list[tuple[int, int]], max_length: int
) -> None:
    encoded = encode(lengths, tokenizer, max_length, "head-tail")
    assert encoded.example_offsets is None
    for example, (sequence,) in zip(lengths, shown(encoded), strict=True):
        for tokens, (whole, kept) in zip(sequence, room_of(example, max_length), strict=True):
            head = (kept + 3) // 4
            assert tokens == [*range(head), *range(whole - kept + head, whole)]
    assert encoded.truncated.tolist() == encode(lengths, tokenizer, max_length, "first").truncated.tolist()


def test_of_510_tokens_128_are_head_and_382_tail_as_in_the_paper(tokenizer: BertTokenizer) -> None:
    ((tokens,),) = shown(encode([SECOND_FROM], tokenizer, 130, "head-tail"))[0]
    assert tokens == [*range(32), *range(SECOND_FROM - 96, SECOND_FROM)]
    words = [f"w{number % 600}" for number in range(1200)]
    ids = encode_examples([" ".join(words)], None, tokenizer, 512, long_text="head-tail").token_ids[1:-1]
    expected = [number % 600 + len(SPECIAL) for number in [*range(128), *range(1200 - 382, 1200)]]
    assert ids.tolist() == expected


@given(st.one_of(SINGLES, PAIRS), st.integers(7, 60), st.data())
def test_windows_show_every_token_and_begin_a_stride_after_one_another(
    tokenizer: BertTokenizer, lengths: list[int] | list[tuple[int, int]], max_length: int, data: st.DataObject
) -> None:
    is_pair = isinstance(lengths[0], tuple)
    most = (max_length - 3) // 2 if is_pair else max_length - 2
    stride = data.draw(st.integers(1, most))
    encoded = encode(lengths, tokenizer, max_length, "windows", stride)
    assert len(encoded) == len(lengths)
    assert not encoded.truncated.any()
    assert encoded.lengths.max() <= max_length
    for example, windows in zip(lengths, shown(encoded), strict=True):
        needed = 1
        for place, (whole, kept) in enumerate(room_of(example, max_length)):
            stretches = [window[place] for window in windows]
            assert sorted({token for tokens in stretches for token in tokens}) == list(range(whole))
            expected = [min(number * stride, whole - kept) for number in range(len(windows))]
            assert stretches == [list(range(start, start + kept)) for start in expected]
            needed = max(needed, next(n for n in range(1, 99) if (n - 1) * stride + kept >= whole))
        assert len(windows) == needed  # no window more than it takes


@given(st.one_of(SINGLES, PAIRS), st.integers(7, 60))
def test_what_is_not_too_long_is_encoded_the_same_in_every_mode(
    tokenizer: BertTokenizer, lengths: list[int] | list[tuple[int, int]], max_length: int
) -> None:
    plain = encode(lengths, tokenizer, max_length, "first")
    for mode in ("head-tail", "windows"):
        other = encode(lengths, tokenizer, max_length, mode)
        assert other.over_length.tolist() == plain.over_length.tolist() == plain.truncated.tolist()
        short = np.flatnonzero(~plain.truncated)
        for name in ("token_ids", "offsets", "first_lengths"):
            assert np.array_equal(getattr(other.take(short), name), getattr(plain.take(short), name))
        if len(short) == len(plain):
            assert other.example_offsets is None  # so all that follows does exactly the same


@given(PAIRS, st.lists(st.integers(0, 5), max_size=8))
def test_examples_are_taken_with_all_their_windows(
    tokenizer: BertTokenizer, lengths: list[tuple[int, int]], order: list[int]
) -> None:
    encoded = encode(lengths, tokenizer, 16, "windows")
    chosen = [number % len(lengths) for number in order]
    expected = shown(encoded)
    assert shown(encoded.take(chosen)) == [expected[number] for number in chosen]
    assert encoded.take(chosen).example_lengths.tolist() == [
        sum(len(tokens) + 1 for window in expected[number] for tokens in window) + len(expected[number])
        for number in chosen
    ]
    assert encoded.take(chosen).over_length.tolist() == [bool(encoded.over_length[number]) for number in chosen]


def test_by_default_neighbouring_windows_share_half_of_the_narrowest_room(tokenizer: BertTokenizer) -> None:
    windows = shown(encode([200], tokenizer, 128, "windows"))[0]
    assert [tokens[0] for (tokens,) in windows] == [0, 63, 74]
    both_long = shown(encode([(100, 90)], tokenizer, 43, "windows"))[0]
    assert [(first[0], len(first), second[0], len(second)) for first, second in both_long][:3] == [
        (0, 20, 0, 20),
        (10, 20, 10, 20),
        (20, 20, 20, 20),
    ]
    short_and_long = shown(encode([(8, 90)], tokenizer, 43, "windows"))[0]
    assert [(len(first), second[0], len(second)) for first, second in short_and_long][:2] == [(8, 0, 32), (8, 10, 32)]


@pytest.mark.parametrize(
    ("mode", "stride", "max_length", "pairs", "message"),
    [
        ("windows", 0, 32, False, "window_stride must lie between 1 and 30"),
        ("windows", 31, 32, False, "window_stride must lie between 1 and 30"),
        ("windows", 15, 32, True, "window_stride must lie between 1 and 14, the tokens of a text of a pair"),
        ("windows", None, 3, False, "max_length 3 is too small for windows"),
        ("windows", None, 6, True, "max_length 6 is too small for windows"),
        ("first", 8, 32, False, "--window-stride is for windows, and --long-text is first"),
        ("head-tail", 8, 32, True, "--window-stride is for windows, and --long-text is head-tail"),
        ("last", None, 32, False, "long_text must be one of first, head-tail, windows, not 'last'"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    mode: LongText, stride: int | None, max_length: int, pairs: bool, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        checked_stride(mode, stride, template=BERT, max_length=max_length, pairs=pairs)


def test_the_smallest_windows_work(tokenizer: BertTokenizer) -> None:
    assert [tokens for (tokens,) in shown(encode([4], tokenizer, 4, "windows"))[0]] == [[0, 1], [1, 2], [2, 3]]
    assert shown(encode([(3, 3)], tokenizer, 7, "windows"))[0] == [[[0, 1], [0, 1]], [[1, 2], [1, 2]]]


def test_the_account_says_how_many_and_what_became_of_them(tokenizer: BertTokenizer) -> None:
    lengths = [10, 31, 46, 30]
    said = {
        mode: LongTexts.of(encode(lengths, tokenizer, 32, mode), mode) for mode in ("first", "head-tail", "windows")
    }
    assert said["first"].summary() == "2 of 4 (50.0 %) over 32 tokens: cut"
    assert said["head-tail"].summary() == "2 of 4 (50.0 %) over 32 tokens: head and tail kept"
    assert said["windows"].summary() == "2 of 4 (50.0 %) over 32 tokens: read in 2.5 windows on average"
    assert said["windows"].to_dict() == {
        "long_text": "windows",
        "max_length": 32,
        "examples": 4,
        "over_length": 2,
        "windows": 5,
    }
    assert LongTexts.of(encode([3], tokenizer, 32, "windows"), "windows").summary() == "none of 1 over 32 tokens"
