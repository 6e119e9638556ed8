import json
import os
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import CheckpointError
from bertune.tokenization import tokenizer_json, vocabulary
from bertune.tokenization.tokenizer import BertTokenizer

TEXTS = ["Ab [SEP] É, e\u0301", "\ue000ab \U0001fae8 ΑΣ", "a" * 401]


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | entries), "utf-8")


@pytest.fixture
def saved(tmp_path: Path, tokenizer: BertTokenizer) -> Path:
    tokenizer.save(tmp_path / "saved", model_max_length=128)
    return tmp_path / "saved"


@pytest.mark.parametrize("lower", [True, False])
def test_a_saved_tokenizer_comes_back_the_same(tmp_path: Path, small_vocab: Path, lower: bool) -> None:
    before = BertTokenizer(small_vocab, do_lower_case=lower)
    before.save(tmp_path)
    after = BertTokenizer.from_directory(tmp_path)
    assert (after.vocab, after.do_lower_case, after.digest) == (before.vocab, lower, before.digest)
    assert after.encode_batch(TEXTS) == before.encode_batch(TEXTS)
    assert (tmp_path / "vocab.txt").read_bytes() == small_vocab.read_bytes()


def test_the_model_length_is_written_down(saved: Path) -> None:
    assert json.loads((saved / "tokenizer_config.json").read_bytes())["model_max_length"] == 128


@pytest.mark.parametrize("lower", [True, False])
def test_each_file_alone_gives_the_tokenizer(tmp_path: Path, tiny_vocab: Path, lower: bool) -> None:
    BertTokenizer(tiny_vocab, do_lower_case=lower).save(tmp_path / "a")
    (tmp_path / "a" / "vocab.txt").unlink()
    (tmp_path / "a" / "tokenizer_config.json").unlink()
    from_json = BertTokenizer.from_directory(tmp_path / "a")
    assert (from_json.do_lower_case, from_json.vocab) == (lower, BertTokenizer(tiny_vocab).vocab)


def test_a_vocabulary_alone_tells_its_case(tmp_path: Path, tiny_vocab: Path, small_vocab: Path) -> None:
    assert BertTokenizer.from_directory(tiny_vocab.parent).do_lower_case
    (tmp_path / "cased").mkdir()
    (tmp_path / "cased" / "vocab.txt").write_bytes(small_vocab.read_bytes())
    assert not BertTokenizer.from_directory(tmp_path / "cased").do_lower_case


@pytest.mark.parametrize("lower", [True, False])
def test_the_usual_bert_normalizer_is_read(saved: Path, lower: bool) -> None:
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": lower}
    change(saved / "tokenizer.json", normalizer=normalizer | {"strip_accents": None})
    (saved / "tokenizer_config.json").unlink()
    assert BertTokenizer.from_directory(saved).do_lower_case is lower


def test_files_that_disagree_on_case_are_both_named(saved: Path) -> None:
    change(saved / "tokenizer_config.json", do_lower_case=False)
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json says do_lower_case=False.*tokenizer\.json"):
        BertTokenizer.from_directory(saved)


def test_vocabularies_that_disagree_are_both_named(saved: Path) -> None:
    path = saved / "vocab.txt"
    path.write_text(path.read_text("utf-8").replace("\nb\nc\n", "\nc\nb\n"), "utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.txt and .*tokenizer\.json disagree: id 6 is 'c' .* 'b'"):
        BertTokenizer.from_directory(saved)
    path.write_text(path.read_text("utf-8").replace("\nc\nb\n", "\nb\nc\n") + "more\n", "utf-8")
    with pytest.raises(CheckpointError, match=r"id 17 is 'more' in the one and nothing in the other"):
        BertTokenizer.from_directory(saved)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes', expected true or false"),
        ({"strip_accents": False}, "strip_accents=False with do_lower_case=True"),
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars=false"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize=false"),
        ({"cls_token": "<s>"}, r"cls_token is '<s>', only BERT's '\[CLS\]' is supported"),
        ({"added_tokens_decoder": {"99": {"content": "<url>"}}}, "'<url>' has the id 99, expected 17"),
        ({"added_tokens_decoder": {"5": {"content": "<url>"}}}, "'<url>' has the id 5, which is that of the piece 'a'"),
        ({"added_tokens_decoder": {"x": {"content": "<url>"}}}, "the added token .* is malformed"),
        ({"additional_special_tokens": ["<url>"]}, "the special token '<url>' has no id"),
        (
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "tokenizer_class is 'BertJapaneseTokenizer', which is not BERT's",
        ),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is 'mecab'"),
        ({"subword_tokenizer_type": "character"}, "subword_tokenizer_type is 'character'"),
        ({"mecab_kwargs": {"mecab_dic": "ipadic"}}, "mecab_kwargs is"),
        ({"never_split": ["<url>"]}, "never_split is"),
        ({"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}, "auto_map names code of the model's own"),
        ({"split_by_punct": False}, "the key 'split_by_punct' is not known"),
    ],
)
def test_flags_that_would_change_ids_are_refused(saved: Path, entries: dict[str, Any], message: str) -> None:
    change(saved / "tokenizer_config.json", **entries)
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_directory(saved)


def test_special_tokens_written_out_in_full_are_understood(saved: Path) -> None:
    change(saved / "tokenizer_config.json", cls_token={"content": "[CLS]", "lstrip": False})
    change(saved / "tokenizer_config.json", added_tokens_decoder={"2": {"content": "[CLS]", "special": True}})
    assert BertTokenizer.from_directory(saved).cls_id == 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "the model is BPE, expected WordPiece"),
        ({"model": {"vocab": []}}, "the model is of no declared type, expected WordPiece"),
        ({"model": None}, "not a tokenizer file"),
        ({"added_tokens": [{"id": 50, "content": "<url>"}]}, "'<url>' has the id 50, expected 17"),
        ({"added_tokens": [5]}, "the added token 5 is malformed"),
        ({"added_tokens": {"<url>": 17}}, "added_tokens is dict, expected a list"),
        ({"normalizer": {"type": "NFKC"}}, r"the normalizer \(NFKC\) is not BERT's"),
        ({"normalizer": None}, r"the normalizer \(none\) is not BERT's"),
    ],
)
def test_another_kind_of_tokenizer_file_is_refused(saved: Path, entries: dict[str, Any], message: str) -> None:
    change(saved / "tokenizer.json", **entries)
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_directory(saved)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"vocab": {}}, "the vocabulary is empty"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 2}}, r"the id of '\[UNK\]' is 2, expected 1"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 1}}, r"lacks \[CLS\], \[SEP\], \[MASK\]"),
        ({"vocab": {"[PAD]": 0, "a ": 1}}, "id 1: white space around"),
        ({"unk_token": "<unk>"}, r"unk_token is '<unk>', expected '\[UNK\]'"),
        ({"continuing_subword_prefix": "@@"}, "continuing_subword_prefix is '@@'"),
    ],
)
def test_a_broken_vocabulary_in_a_tokenizer_file_is_refused(saved: Path, entries: dict[str, Any], message: str) -> None:
    path = saved / "tokenizer.json"
    change(path, model=json.loads(path.read_bytes())["model"] | entries)
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_directory(saved)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_file_that_is_not_json_is_named(saved: Path, name: str, content: str) -> None:
    (saved / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match=name):
        BertTokenizer.from_directory(saved)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither vocab\.txt nor tokenizer\.json is there"):
        BertTokenizer.from_directory(tmp_path)


def test_a_class_named_in_the_models_configuration_alone_is_read_too(tmp_path: Path, tiny_vocab: Path) -> None:
    (tiny_vocab.parent / "config.json").write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
    with pytest.raises(CheckpointError, match=r"config\.json: tokenizer_class is 'BertJapaneseTokenizer'"):
        BertTokenizer.from_directory(tiny_vocab.parent)
    (tiny_vocab.parent / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast"}))
    assert BertTokenizer.from_directory(tiny_vocab.parent).vocab_size == 17


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.txt"])
def test_a_git_lfs_pointer_is_called_that(saved: Path, name: str) -> None:
    (saved / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1319\n")
    with pytest.raises(CheckpointError, match=rf"{name}: a Git LFS pointer") as caught:
        BertTokenizer.from_directory(saved)
    assert "git lfs pull" in str(caught.value.hint)


def test_a_piece_that_the_library_stripped_is_the_one_of_the_vocabulary(saved: Path) -> None:
    path = saved / "tokenizer.json"
    model = json.loads(path.read_bytes())["model"]
    (saved / "vocab.txt").write_bytes((saved / "vocab.txt").read_bytes() + "\u2028\n".encode())
    change(path, model=model | {"vocab": model["vocab"] | {"": 17}})
    tokenizer = BertTokenizer.from_directory(saved)
    tokenizer.save(saved / "again")
    assert (saved / "again" / "vocab.txt").read_bytes() == (saved / "vocab.txt").read_bytes()
    (saved / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="id 17: blank"):
        BertTokenizer.from_directory(saved)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", {"type": "Sequence", "normalizers": 5}),
        ("normalizer", {"type": "Sequence", "normalizers": [None, "NFD"]}),
        ("normalizer", []),
        ("normalizer", None),
        ("model", None),
        ("model", []),
        ("vocab", None),
        ("vocab", {"[PAD]": None}),
        ("vocab", {"[PAD]": "0", "[UNK]": 1}),
        ("vocab", {"[PAD]": 10**18}),
        ("vocab", {"\ud800": 0}),
        ("vocab", {"[PAD]": 0.0}),
    ],
)
def test_a_tokenizer_file_of_another_form_is_refused(saved: Path, part: str, value: Any) -> None:
    path = saved / "tokenizer.json"
    if part == "vocab":
        change(path, model=json.loads(path.read_bytes())["model"] | {"vocab": value})
    else:
        change(path, **{part: value})
    (saved / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        BertTokenizer.from_directory(saved)


def test_vocabularies_that_no_model_has_are_refused_unread(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_PIECES", 3)
    with pytest.raises(CheckpointError, match=r"vocab\.txt: more than 3 lines"):
        vocabulary.read_vocabulary(saved / "vocab.txt")
    monkeypatch.setattr(vocabulary, "MAX_VOCABULARY_BYTES", 10)
    with pytest.raises(CheckpointError, match=r"vocab\.txt: more than 10 bytes"):
        vocabulary.read_vocabulary(saved / "vocab.txt")
    monkeypatch.setattr(tokenizer_json, "MAX_PIECES", 3)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: \d+ pieces, more than any vocabulary has"):
        tokenizer_json.read_tokenizer_json(saved / "tokenizer.json")
    (saved / "tokenizer.json").unlink()
    (saved / "vocab.txt").unlink()
    os.mkfifo(saved / "vocab.txt")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: not a file"):
        BertTokenizer.from_directory(saved)
