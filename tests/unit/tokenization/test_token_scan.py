"""Lengths, truncation and unknown words as the audit counts them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertune.audit.token_figures import TokenFigures, findings_of_tokens
from bertune.data.examples import Examples
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.long_texts import LongText
from bertune.tokenization.token_scan import TokenScan
from bertune.tokenization.tokenizer import BertTokenizer

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", ".", *LETTERS, *(f"##{one}" for one in LETTERS)]


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return BertTokenizer(tmp_path / "vocab.txt")


def counted(tokenizer: BertTokenizer, *chunks: Examples, max_length: int = 6) -> TokenFigures:
    scan = TokenScan(tokenizer, max_length)
    for examples in chunks:
        scan.add(examples)
    return scan.figures()


def test_lengths_are_those_before_truncation(tokenizer: BertTokenizer) -> None:
    texts = ["good", "good bad", "good good good good good", "good good good good"]
    figures = counted(tokenizer, Examples.from_lists(texts[:2]), Examples.from_lists(texts[2:]))
    assert (figures.lengths["minimum"], figures.lengths["maximum"], figures.lengths["mean"]) == (3, 7, 5.0)
    assert (figures.over_length, figures.rows, figures.tokens) == (1, 4, 12)
    assert sum(bucket["count"] for bucket in figures.histogram) == 4
    assert figures.lines() == ["  tokens      3 ██ ██ 7; median 6, 95 % 7, 99 % 7; 1 (25.0 %) over 6"]


def test_pairs_count_both_texts_and_three_special_tokens(tokenizer: BertTokenizer) -> None:
    figures = counted(tokenizer, Examples.from_lists(["good bad"], ["bad."]))
    assert (figures.lengths["maximum"], figures.tokens, figures.over_length) == (7, 4, 1)


def test_the_characters_behind_unknown_words_are_named(tokenizer: BertTokenizer) -> None:
    texts = ["good 😀 bad", "so 5€ x😀", "good", "b" * 500]
    figures = counted(tokenizer, Examples.from_lists(texts, name="dev.tsv"))
    assert (figures.unknown, figures.unknown_rows, figures.unknown_examined) == (4, 3, 4)
    blamed = {blame.character: (blame.code, blame.name, blame.words) for blame in figures.unknown_characters}
    assert blamed == {
        "😀": ("U+1F600", "grinning face", 2),
        "5": ("U+0035", "digit five", 1),
        "€": ("U+20AC", "euro sign", 1),
    }
    assert figures.unknown_elsewise == 1
    assert figures.unknown_places == ("dev.tsv:1", "dev.tsv:2", "dev.tsv:4")
    assert figures.unknown_line() == "4 of 9 tokens (44.4 %), because of 😀 2, 5 1, € 1, words too long 1"


def test_texts_that_are_read_in_windows_lose_nothing(tokenizer: BertTokenizer) -> None:
    examples = Examples.from_lists(["good bad good bad good"] * 4)
    scan = TokenScan(tokenizer, 6, loses_tokens=False)
    scan.add(examples)
    figures = scan.figures()
    assert (figures.over_length, figures.loses_tokens) == (4, False)
    assert list(findings_of_tokens("train", figures)) == []


def test_much_truncation_and_many_unknown_words_are_findings(tokenizer: BertTokenizer) -> None:
    texts = ["good"] * 50 + ["good bad good bad good"] * 3 + ["日本"] * 2
    found = list(findings_of_tokens("train", counted(tokenizer, Examples.from_lists(texts, name="t.tsv"))))
    assert [finding.code for finding in found] == ["truncation", "unknown_tokens"]
    assert found[0].message.startswith("train: 3 of 55 rows (5.5 %) lose tokens at a length of 6; the longest has 7")
    assert "because of 日 2, 本 2" in found[1].message
    assert found[1].places == ("t.tsv:54", "t.tsv:55")


def test_a_little_of_both_is_none(tokenizer: BertTokenizer) -> None:
    texts = ["good bad good."] * 99 + ["good bad good bad good 😀"]
    assert list(findings_of_tokens("train", counted(tokenizer, Examples.from_lists(texts)))) == []


@given(st.lists(st.text("abgod .!é日😀\t\n\x1c\u0301Σ\u3000 ", max_size=30), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counting_by_words_is_counting_by_texts(tokenizer: BertTokenizer, texts: list[str]) -> None:
    figures = counted(tokenizer, Examples.from_lists(texts, texts[::-1]))
    ids = [index for row in tokenizer.encode_batch(texts) for index in row]
    assert figures.tokens == 2 * len(ids)
    assert figures.unknown == 2 * ids.count(tokenizer.unk_id)
    assert figures.lengths["mean"] == pytest.approx(2 * len(ids) / len(texts) + 3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.text("gobad .#é", max_size=30), st.text("gobad .#é", max_size=30)), min_size=1),
    is_pair=st.booleans(),
    long_text=st.sampled_from(["first", "head-tail", "windows"]),
)
def test_what_is_encoded_is_counted_as_its_texts_are(
    tokenizer: BertTokenizer, rows: list[tuple[str, str]], is_pair: bool, long_text: LongText
) -> None:
    examples = Examples.from_lists([a for a, _ in rows], [b for _, b in rows] if is_pair else None)
    stride = 2 if long_text == "windows" else None
    encoded = encode_examples(
        examples.texts_a, examples.texts_b, tokenizer, 9, long_text=long_text, window_stride=stride
    )
    scan = TokenScan(tokenizer, 9)
    scan.add_encoded(examples, encoded)
    assert scan.figures() == counted(tokenizer, examples, max_length=9)


@pytest.mark.parametrize(("texts", "weighs"), [(["好 吗"] * 4, True), (["good bad good bad good 好"] * 4, False)])
def test_a_vocabulary_of_another_language_weighs_more_than_a_few_words(
    tokenizer: BertTokenizer, texts: list[str], weighs: bool
) -> None:
    (finding,) = findings_of_tokens("train", counted(tokenizer, Examples.from_lists(texts), max_length=20))
    assert finding.code == "unknown_tokens"
    assert ("little of the texts is left: take an encoder of their language" in finding.message) == weighs
