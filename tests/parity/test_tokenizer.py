"""A saved tokenizer read by transformers."""

import json
import runpy
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from bertune.tokenization.tokenizer import BertTokenizer

transformers = pytest.importorskip("transformers", reason="the peer package transformers is not installed")

GOLDEN = Path(__file__).parents[1] / "golden"
STRINGS = list(runpy.run_path(str(GOLDEN / "hostile_strings.py"))["hostile_strings"](10_000))
# tokenizers, and so transformers, takes no halves of surrogate pairs.
CARRIED = [text for text in STRINGS if not any("\ud800" <= char <= "\udfff" for char in text)]


@pytest.fixture(params=[True, False], ids=["lower", "cased"])
def ours(request: pytest.FixtureRequest) -> BertTokenizer:
    return BertTokenizer(GOLDEN / "small_cased_vocab.txt", do_lower_case=request.param)


@pytest.mark.parametrize("with_config", [True, False])
def test_auto_tokenizer_gives_our_ids_on_hostile_strings(
    tmp_path: Path, ours: BertTokenizer, with_config: bool
) -> None:
    ours.save(tmp_path, model_max_length=256)
    if with_config:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), "utf-8")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = [[ours.cls_id, *ids, ours.sep_id] for ids in ours.encode_batch(CARRIED)]
    assert theirs(CARRIED)["input_ids"] == expected
    assert theirs.model_max_length == 256
    assert (theirs.cls_token_id, theirs.sep_token_id, theirs.pad_token_id) == (ours.cls_id, ours.sep_id, ours.pad_id)


@pytest.mark.parametrize("max_length", [None, 7, 9])
def test_auto_tokenizer_gives_our_pairs(tmp_path: Path, ours: BertTokenizer, max_length: int | None) -> None:
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for first, second in [("the run", "of the un"), ("the of the of", "un"), ("run", "un the of the run"), ("", "un")]:
        encoded = theirs(first, second, truncation=max_length is not None, max_length=max_length)
        assert (encoded["input_ids"], encoded["token_type_ids"]) == ours.encode(first, second, max_length=max_length)


def test_two_known_differences_of_transformers_pairs_remain(tmp_path: Path, ours: BertTokenizer) -> None:
    """Documented in docs/concepts/tokenizer.md; when this fails, transformers follows the original now."""
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = {word: ours.vocab[word] for word in ("the", "of")}
    # An odd budget: the original leaves the first text the extra token, transformers the second.
    assert ours.encode("the the", "of of", max_length=6)[0][1:-1] == [ids["the"], ids["the"], ours.sep_id, ids["of"]]
    cut = theirs("the the", "of of", truncation=True, max_length=6)["input_ids"]
    assert cut[1:-1] == [ids["the"], ours.sep_id, ids["of"], ids["of"]]
    # An empty second text: the original still closes it with [SEP], transformers takes the pair for a single text.
    assert ours.encode("the", "")[0] == [ours.cls_id, ids["the"], ours.sep_id, ours.sep_id]
    assert theirs("the", "")["input_ids"] == [ours.cls_id, ids["the"], ours.sep_id]


def test_the_tokenizer_file_alone_carries_the_corrections(tmp_path: Path, ours: BertTokenizer) -> None:
    ours.save(tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    encodings = theirs.encode_batch(CARRIED, add_special_tokens=False)
    assert [encoding.ids for encoding in encodings] == ours.encode_batch(CARRIED)


def test_what_transformers_saves_again_is_still_our_tokenizer(tmp_path: Path, ours: BertTokenizer) -> None:
    ours.save(tmp_path / "ours")
    transformers.AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    assert BertTokenizer.from_directory(tmp_path / "theirs").digest == ours.digest


@pytest.mark.parametrize("lower", [True, False])
def test_added_tokens_have_the_ids_of_transformers(tmp_path: Path, ours: BertTokenizer, lower: bool) -> None:
    ours.save(tmp_path / "plain")
    theirs = transformers.BertTokenizer(str(tmp_path / "plain" / "vocab.txt"), do_lower_case=lower)
    theirs.add_tokens(["<url>", "Covid", transformers.AddedToken("Run7", single_word=True, normalized=False)])
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]", "run"]})
    theirs.save_pretrained(tmp_path / "added")
    texts = ["the <url> and <URL>", "covid covidrun COVID Covid", "Run7, Run7x run runs", "[E1][E1] the [e1]", "run"]
    expected = theirs(texts)["input_ids"]
    tokenizer = BertTokenizer.from_directory(tmp_path / "added")
    assert [tokenizer.encode(text)[0] for text in texts] == expected
    assert tokenizer.vocab_size == len(theirs)
    tokenizer.save(tmp_path / "again")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again(texts)["input_ids"] == expected
