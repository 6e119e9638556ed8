"""A tokenizer of another kind, template and vocabulary, through all that encodes, counts, keeps and explains."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.tokenization.byte_level import VOCABULARY, ByteLevelTokenizer

from bertune.batches.batch import pack
from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Columns, Examples, Task
from bertune.data.formats.record_file import read_records_of
from bertune.data.formats.tf_example import parse_example
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.errors import ConfigError
from bertune.evaluation.explain import explain
from bertune.evaluation.explain_texts import read_texts
from bertune.evaluation.explanation import Method
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.shards.manifest import ShardFormat, read_manifest
from bertune.shards.read_records import read_records
from bertune.shards.reencode import reencode
from bertune.shards.store import load_store, save_store
from bertune.shards.store_cache import encode_cached
from bertune.tokenization.encode_texts import EncodedExamples, bert_encode, encode_examples, encode_with_origins
from bertune.tokenization.long_texts import LongText
from bertune.tokenization.token_scan import TokenScan
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer

BOS, PAD, EOS = 0, 1, 2
FIRST = [
    "good bad good",
    "bad",
    "",
    "good  bad é good",
    "bad good, good",
    "good good good good good bad bad good bad good",
]
SECOND = ["bad", "good bad good bad good bad", "good", "", "good", "bad bad bad good good bad bad"]
LENGTHS = [6, 7, 8, 9, 12, 40]
METHODS: tuple[Method, ...] = ("integrated-gradients", "occlusion")


@pytest.fixture
def tokenizer() -> ByteLevelTokenizer:
    return ByteLevelTokenizer()


def rows(encoded: EncodedExamples) -> list[list[int]]:
    return [part.tolist() for part in np.split(encoded.token_ids, encoded.offsets[1:-1])]


def whole_ids(tokenizer: ByteLevelTokenizer, text: str) -> list[int]:
    return tokenizer.pipeline.encode(text, add_special_tokens=False).ids


def popped(texts: list[list[int]], room: int) -> list[list[int]]:
    """Takes tokens away one at a time from the longer text, on a tie from the second."""
    texts = [list(ids) for ids in texts]
    while sum(map(len, texts)) > room:
        max(reversed(texts), key=len).pop()
    return texts


def around(texts: list[list[int]]) -> list[int]:
    between = [EOS, EOS] if len(texts) == 2 else []
    return [BOS, *texts[0], *between, *(texts[1] if len(texts) == 2 else []), EOS]


def texts_of(pairs: bool) -> list[Sequence[str]]:
    return list(zip(FIRST, SECOND, strict=True)) if pairs else [(text,) for text in FIRST]


def test_it_has_what_the_protocol_asks_for_and_no_more() -> None:
    """So nothing that is tested here asks a tokenizer for anything else."""
    asked, second, bert = (
        {name for name in dir(each) if not name.startswith("_")}
        for each in (Tokenizer, ByteLevelTokenizer, BertTokenizer)
    )
    assert second == asked
    assert bert > asked


@pytest.mark.parametrize("pairs", [False, True])
def test_what_is_not_cut_is_what_the_library_writes_by_its_own_template(
    tokenizer: ByteLevelTokenizer, pairs: bool
) -> None:
    encoded = encode_examples(FIRST, SECOND if pairs else None, tokenizer, 64)
    expected = [tokenizer.pipeline.encode(*texts) for texts in texts_of(pairs)]
    assert rows(encoded) == [found.ids for found in expected]
    assert {type_id for found in expected for type_id in found.type_ids} == {0}
    assert encoded.first_lengths.tolist() == encoded.lengths.tolist()
    assert not encoded.truncated.any()


@pytest.mark.parametrize("max_length", LENGTHS)
@pytest.mark.parametrize("pairs", [False, True])
def test_truncation_leaves_room_for_two_or_four_special_tokens(
    tokenizer: ByteLevelTokenizer, max_length: int, pairs: bool
) -> None:
    encoded = encode_examples(FIRST, SECOND if pairs else None, tokenizer, max_length)
    whole = [[whole_ids(tokenizer, text) for text in texts] for texts in texts_of(pairs)]
    expected = [around(popped(texts, max_length - (4 if pairs else 2))) for texts in whole]
    assert rows(encoded) == expected
    assert encoded.truncated.tolist() == [len(around(texts)) > max_length for texts in whole]


def test_the_least_length_of_a_pair_is_one_more_than_berts(tokenizer: ByteLevelTokenizer) -> None:
    for encode in (encode_examples, encode_with_origins):
        assert encode(["good"], ["bad"], tokenizer, 6)
        with pytest.raises(ConfigError, match="max_length is 5, at least 6 is needed for pairs") as refused:
            encode(["good"], ["bad"], tokenizer, 5)
        assert refused.value.hint == "max_length counts <s> and </s> too"
        with pytest.raises(ConfigError, match="max_length 7 is too small for windows") as refused:
            encode(["good"], ["bad"], tokenizer, 7, long_text="windows")
        assert refused.value.hint == "use --max-length 8 or more"
    with pytest.raises(ConfigError, match="at least 6 is needed"):
        bert_encode({"sentence1": ["good"], "sentence2": ["bad"]}, tokenizer, max_length=5)


def test_all_types_are_zero_in_padded_arrays_and_in_batches(tokenizer: ByteLevelTokenizer) -> None:
    inputs = bert_encode({"sentence1": FIRST, "sentence2": SECOND}, tokenizer)
    assert not inputs["input_type_ids"].any()
    assert (inputs["input_word_ids"][inputs["input_mask"] == 0] == PAD).all()
    batch = pack(encode_examples(FIRST, SECOND, tokenizer, 12))
    assert not batch.token_type_ids.any()
    assert len(batch.token_type_ids) == batch.layout.num_tokens


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("stride", [None, 1])
def test_windows_show_every_token_between_their_own_special_tokens(
    tokenizer: ByteLevelTokenizer, pairs: bool, stride: int | None
) -> None:
    max_length, special = 9, 4 if pairs else 2
    encoded = encode_examples(
        FIRST, SECOND if pairs else None, tokenizer, max_length, long_text="windows", window_stride=stride
    )
    room = (max_length - special) // (2 if pairs else 1)
    step, windows = stride or room // 2, rows(encoded)
    bounds = [*encoded.first_sequences.tolist(), len(windows)]
    for number, texts in enumerate(texts_of(pairs)):
        whole = [whole_ids(tokenizer, text) for text in texts]
        kept = [len(ids) for ids in popped(whole, max_length - special)]
        expected = []
        while not expected or any(
            step * (len(expected) - 1) + n < len(ids) for ids, n in zip(whole, kept, strict=True)
        ):
            starts = [min(len(expected) * step, len(ids) - n) for ids, n in zip(whole, kept, strict=True)]
            shown = [ids[start : start + n] for ids, start, n in zip(whole, starts, kept, strict=True)]
            expected.append(around(shown))
        assert windows[bounds[number] : bounds[number + 1]] == expected
    assert encoded.first_lengths.tolist() == encoded.lengths.tolist()
    assert len(windows) > len(FIRST)


def test_head_and_tail_leave_the_middle_out(tokenizer: ByteLevelTokenizer) -> None:
    encoded = encode_examples(FIRST, SECOND, tokenizer, 12, long_text="head-tail")
    for row, texts in zip(rows(encoded), texts_of(pairs=True), strict=True):
        whole = [whole_ids(tokenizer, text) for text in texts]
        kept = [len(ids) for ids in popped(whole, 8)]
        shown = [ids[: -(-n // 4)] + ids[len(ids) - (n - -(-n // 4)) :] for ids, n in zip(whole, kept, strict=True)]
        assert row == around(shown)


@pytest.mark.parametrize("long_text", ["first", "head-tail", "windows"])
@pytest.mark.parametrize("pairs", [False, True])
def test_each_token_knows_its_text_and_its_number_there(
    tokenizer: ByteLevelTokenizer, long_text: LongText, pairs: bool
) -> None:
    second = SECOND if pairs else None
    encoded, origins = encode_with_origins(FIRST, second, tokenizer, 9, long_text=long_text)
    same = encode_examples(FIRST, second, tokenizer, 9, long_text=long_text)
    for name in ("token_ids", "offsets", "first_lengths", "truncated"):
        assert np.array_equal(getattr(encoded, name), getattr(same, name))
    example = np.repeat(np.arange(len(FIRST)), encoded.example_lengths)
    for token, row, text, number in zip(encoded.token_ids, example, origins.text, origins.number, strict=True):
        if text == -1:
            assert (number, token in (BOS, EOS)) == (-1, True)
        else:
            assert token == whole_ids(tokenizer, (FIRST, SECOND)[text][row])[number]
    specials = np.add.reduceat(origins.text == -1, encoded.offsets[:-1])
    assert set(specials.tolist()) == {4 if pairs else 2}


@pytest.mark.parametrize("long_text", ["first", "windows"])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("white_space", ["leads", "unknown"])
def test_the_scan_counts_tokens_of_whole_texts_and_their_special_ones(
    white_space: str, pairs: bool, long_text: LongText
) -> None:
    tokenizer = ByteLevelTokenizer(white_space)  # type: ignore[arg-type]
    examples = Examples.from_lists(FIRST, SECOND if pairs else None)
    tokens = [sum(len(whole_ids(tokenizer, text)) for text in texts) for texts in texts_of(pairs)]
    lengths = [count + (4 if pairs else 2) for count in tokens]
    texts_alone, with_encoded = (TokenScan(tokenizer, 9) for _ in range(2))
    texts_alone.add(examples)
    with_encoded.add_encoded(
        examples, encode_examples(examples.texts_a, examples.texts_b, tokenizer, 9, long_text=long_text)
    )
    figures = texts_alone.figures()
    assert with_encoded.figures() == figures
    assert (figures.tokens, figures.unknown, figures.unknown_rows) == (sum(tokens), 0, 0)
    assert figures.over_length == sum(length > 9 for length in lengths)
    assert (figures.lengths["minimum"], figures.lengths["maximum"]) == (min(lengths), max(lengths))
    assert figures.lengths["mean"] == pytest.approx(np.mean(lengths))
    words = [word for texts in texts_of(pairs) for text in texts for word in text.split(" ")]
    by_words = sum(len(whole_ids(tokenizer, word)) for word in words)
    assert by_words != sum(tokens)  # the way that counts for WordPiece is wrong here


class Watched(ByteLevelTokenizer):
    """Keeps the longest text that it was given."""

    longest = 0

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        self.longest = max([self.longest, *map(len, texts)])
        return super().encode_flat(texts)


@pytest.mark.parametrize(("white_space", "is_cut"), [("leads", True), ("unknown", False)])
def test_a_long_text_is_encoded_no_further_than_is_safe(white_space: str, is_cut: bool) -> None:
    tokenizer = Watched(white_space)  # type: ignore[arg-type]
    text = "good  bad " * 2000
    (row,) = rows(encode_examples([text], None, tokenizer, 32))
    assert row == around([whole_ids(tokenizer, text)[:30]])
    assert (tokenizer.longest < len(text)) == is_cut


@pytest.mark.parametrize("pairs", [False, True])
def test_a_store_gives_back_what_was_encoded(tokenizer: ByteLevelTokenizer, tmp_path: Path, pairs: bool) -> None:
    encoded = encode_examples(FIRST, SECOND if pairs else None, tokenizer, 9, long_text="windows")
    save_store(encoded, np.arange(len(FIRST)), tmp_path / "store", metadata={"tokenizer_digest": tokenizer.digest})
    found = load_store(tmp_path / "store")
    for name in ("token_ids", "offsets", "first_lengths", "truncated", "example_offsets"):
        assert np.array_equal(getattr(found.encoded, name), getattr(encoded, name))


def test_the_cache_finds_its_examples_again(
    tokenizer: ByteLevelTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = FIRST * 200
    made, was_found = encode_cached(texts, texts, tokenizer, 12)
    again, is_found = encode_cached(texts, texts, tokenizer, 12)
    assert (was_found, is_found) == (False, True)
    assert rows(made) == rows(again)
    assert not pack(again, np.arange(20)).token_type_ids.any()


@pytest.mark.parametrize("format", ["tfrecord", "store"])
@pytest.mark.parametrize("processes", [1, 2])
def test_records_and_shards_are_read_as_they_were_encoded(
    tokenizer: ByteLevelTokenizer, tmp_path: Path, format: ShardFormat, processes: int
) -> None:
    draw = random.Random(5)
    texts = [" ".join(draw.choices(["good", "bad", "é", ""], k=draw.randint(0, 9))) or "-" for _ in range(60)]
    lines = [f"{a}|{b}|{draw.choice('xy')}" for a, b in zip(texts, texts[::-1], strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(["a,b,label", *(line.replace("|", ",") for line in lines)]) + "\n")
    columns = Columns("a", "b", "label")
    task = Task.for_columns(columns)
    source = RowSource(find_splits(tmp_path / "train.csv", task)["train"], task, columns)
    out = tmp_path / "out"
    reencode(source, tokenizer, out, format=format, max_length=12, processes=processes)
    assert read_manifest(out).recipe.tokenizer_digest == tokenizer.digest
    expected, found = encode_examples(texts, texts[::-1], tokenizer, 12), read_records(out).encoded
    assert rows(found) == rows(expected)
    assert found.first_lengths.tolist() == expected.first_lengths.tolist() == expected.lengths.tolist()
    if format == "tfrecord":
        (file,) = out.glob("*.tfrecord")
        features = [parse_example(content) for _, content in read_records_of(file)]
        assert {int(feature["segment_ids"].max()) for feature in features} == {0}  # type: ignore[union-attr]
        assert [int(feature["input_mask"].sum()) for feature in features] == expected.lengths.tolist()  # type: ignore[union-attr]


def test_encoding_refuses_pairs_that_leave_no_room(tokenizer: ByteLevelTokenizer, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b,label\ngood,bad,x\nbad,good,y\n")
    columns = Columns("a", "b", "label")
    task = Task.for_columns(columns)
    source = RowSource(find_splits(tmp_path / "train.csv", task)["train"], task, columns)
    with pytest.raises(ConfigError, match="max_length is 5, at least 6 is needed for pairs"):
        reencode(source, tokenizer, tmp_path / "out", max_length=5)


def model_of(tokenizer: ByteLevelTokenizer, **signature: object) -> LoadedModel:
    values: dict[str, object] = {"labels": ("down", "up"), "is_pair": True, "max_length": 40} | signature
    made = ModelSignature(**values)  # type: ignore[arg-type]
    sizes = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    return LoadedModel(classifier_model(sizes, 2, seed=3)[0].eval(), tokenizer, made)


@pytest.mark.parametrize(
    "signature", [{}, {"max_length": 9}, {"max_length": 9, "long_text": "windows", "window_stride": 2}]
)
def test_an_explanation_knows_which_token_is_which_piece(
    tokenizer: ByteLevelTokenizer, signature: dict[str, object]
) -> None:
    examples = Examples.from_lists(FIRST, SECOND)
    for row, (first, second) in enumerate(zip(FIRST, SECOND, strict=True)):
        texts = read_texts(model_of(tokenizer, **signature), examples, row)
        ids = texts.sequences.token_ids
        assert np.isin(ids[~texts.is_text], [BOS, EOS]).all()
        assert (~texts.is_text).sum() == 4 * len(texts.sequences)
        pieces = [texts.pieces[number].piece for number in texts.piece_of_token[texts.is_text]]
        assert tokenizer.convert_tokens_to_ids(pieces) == ids[texts.is_text].tolist()
        in_second = texts.text_of_piece[texts.piece_of_token[texts.is_text]]
        counts = [len(whole_ids(tokenizer, text)) for text in (first, second)]
        assert np.bincount(texts.text_of_piece, minlength=2).tolist() == counts
        shown = [len(np.unique(texts.piece_of_token[texts.is_text][in_second == text])) for text in (0, 1)]
        assert texts.unread == tuple(count - read for count, read in zip(counts, shown, strict=True))
        reads_all = signature.get("max_length") is None or "long_text" in signature or sum(counts) <= 5
        assert (texts.unread == (0, 0)) == reads_all


@pytest.mark.parametrize("method", METHODS)
def test_words_of_both_texts_are_explained(tokenizer: ByteLevelTokenizer, method: Method) -> None:
    (explanation,) = explain(model_of(tokenizer), [("good bad", "bad good bad")], method=method)
    (reason,) = explanation.reasons
    assert [(word.text, word.word) for word in reason.words] == [
        (0, "good"),
        (0, "bad"),
        (1, "bad"),
        (1, "good"),
        (1, "bad"),
    ]
    assert len({word.attribution for word in reason.words}) == 5


def test_the_padding_piece_stands_in_the_place_of_one_that_is_taken_away(tokenizer: ByteLevelTokenizer) -> None:
    model = model_of(tokenizer)
    (explanation,) = explain(model, [("good bad", "bad")], method="occlusion")
    (reason,) = explanation.reasons

    def score(*ids: int) -> float:
        row = np.array([ids])
        inputs = {"input_word_ids": row, "input_mask": np.ones_like(row), "input_type_ids": np.zeros_like(row)}
        with torch.inference_mode():
            down, up = model.classifier(inputs)[0].tolist()
        return up - down if reason.label == "up" else down - up

    good, bad = whole_ids(tokenizer, "good bad")
    (alone,) = whole_ids(tokenizer, "bad")
    whole = score(BOS, good, bad, EOS, EOS, alone, EOS)
    assert reason.score == pytest.approx(whole, abs=1e-5)
    assert reason.blank_score == pytest.approx(score(BOS, PAD, PAD, EOS, EOS, PAD, EOS), abs=1e-5)
    without = score(BOS, good, PAD, EOS, EOS, alone, EOS)
    assert reason.words[1].attribution == pytest.approx(whole - without, abs=1e-5)
