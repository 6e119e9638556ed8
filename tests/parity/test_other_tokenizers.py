"""Tokenizers of other families than BERT's beside transformers, and SentencePiece itself."""

import json
import re
import runpy
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.tokenization.test_family_files import byte_level
from tests.unit.tokenization.trained import CORPUS, KINDS, ROLES, save, write

from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer

transformers = pytest.importorskip("transformers", reason="the peer package transformers is not installed")
spm = pytest.importorskip("sentencepiece", reason="the peer package sentencepiece is not installed")

GOLDEN = Path(__file__).parents[1] / "golden"
HOSTILE = list(runpy.run_path(str(GOLDEN / "hostile_strings.py"))["hostile_strings"]())
# What transformers takes: no halves of surrogate pairs.
CARRIED = [text for text in HOSTILE if not any("\ud800" <= char <= "\udfff" for char in text)]
#: One sentence or two of a script, and what is between scripts.
MULTILINGUAL = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello, world! It's 12:34 — \"quote\" 'apostrophe' (paren).",
    "Visit https://example.org/docs and mail bob@example.com.",
    "def add(a: int, b: int) -> int:\n    return a + b",
    "Voilà l'été à Besançon, où l'on mange du fromage.",
    "Straße, Größe, Übung und Ärger; ein GROẞES Haus.",
    "Привет, мир! Это проверка разбиения на части.",
    "Καλημέρα κόσμε, τι κάνεις; ΟΔΥΣΣΕΥΣ",
    "がぎぐげござじずぜぞ ぱぴぷぺぽ パピプペポ ﾊﾝｶｸ",
    "日本語の文は空白で区切られない。東京へ行く。",
    "机器学习是人工智能的一个重要分支。",
    "機器學習是人工智慧的一個重要分支。",
    "안녕하세요. 한글 자모 분리와 음절.",
    "اللغة العربية جميلة جدا. بِسْمِ اللَّهِ",
    "שלום עולם. זה טקסט בעברית.",
    "हिन्दी भाषा बहुत समृद्ध है।",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "Tiếng Việt có nhiều dấu thanh.",
    "🚀 to the moon 🌙 👨\u200d👩\u200d👧 🇯🇵 👋🏽",
    "Hello 世界 안녕 שלום مرحبا नमस्ते สวัสดี",
    "caf\u00e9 and cafe\u0301, \u212b and \u00c5, \ufb01 and fi",
    "a" * 64 + " " + "b" * 64,
]
TEXTS = [*CARRIED, *MULTILINGUAL]
FEWER = [*CARRIED[::5], *MULTILINGUAL]
# Letters that join the ones before them in one cluster.
JAMO = {chr(code) for code in range(0x1100, 0x1200)}
THAI_VOWELS = {"\u0e33", "\u0eb3"}
BERT = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
BERT_PIECES = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}


def rows(tokenizer: Tokenizer, first: Sequence[str], second: Sequence[str] | None = None) -> list[list[int]]:
    encoded = encode_examples(first, second, tokenizer, 100_000)
    return [part.tolist() for part in np.split(encoded.token_ids, encoded.offsets[1:-1])]


def different(ours: list[list[int]], theirs: list[list[int]]) -> list[str]:
    texts = TEXTS if len(ours) == len(TEXTS) else FEWER
    return [text for text, one, other in zip(texts, ours, theirs, strict=True) if one != other]


def theirs_of(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    lines = [text for text in CARRIED[:3000] if not set("\0\n\r") & set(text)]
    path.write_text("\n".join([*lines, *MULTILINGUAL * 5, *CORPUS]), "utf-8")
    return path


def trained(
    folder: Path, corpus: Path, name: str, model_type: str, *, algorithm: str = "unigram", **options: Any
) -> Path:
    """Trains a model of SentencePiece on hostile strings."""
    folder.mkdir(parents=True)
    spm.SentencePieceTrainer.train(
        input=str(corpus),
        model_type=algorithm,
        model_prefix=str(folder / "made"),
        vocab_size=6000,
        hard_vocab_limit=False,
        character_coverage=0.98,
        minloglevel=2,
        **options,
    )
    (folder / "made.model").rename(folder / name)
    (folder / "made.vocab").unlink()
    write(folder, "config.json", {"model_type": model_type})
    return folder


@pytest.fixture(scope="module", params=["roberta", "deberta", "xlm-roberta", "camembert"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("family") / "model"
    if request.param in ("roberta", "deberta"):
        return byte_level(folder, request.param)
    return trained(folder, corpus, "sentencepiece.bpe.model", request.param)


def test_family_files_give_the_ids_of_transformers(family: Path) -> None:
    ours, theirs = read_tokenizer(family), theirs_of(family)
    assert different(rows(ours, TEXTS), theirs(TEXTS)["input_ids"]) == []
    second = TEXTS[::-1]
    found = theirs(TEXTS, second)["input_ids"]
    if ours.template.has_segments:
        # transformers 5 writes [SEP] twice between the texts of DeBERTa's pairs; its version 4 and the original do not.
        sep = theirs.sep_token_id
        ends = [ids.index(sep, len(theirs(text)["input_ids"]) - 1) for ids, text in zip(found, TEXTS, strict=True)]
        assert {ids[end + 1] for ids, end in zip(found, ends, strict=True)} == {sep}
        found = [[*ids[:end], *ids[end + 1 :]] for ids, end in zip(found, ends, strict=True)]
    assert different(rows(ours, TEXTS, second), found) == []
    assert (ours.pad_id, ours.vocab_size) == (theirs.pad_token_id, len(theirs))


@pytest.mark.parametrize(("kind", "with_config"), [*((kind, True) for kind in KINDS), ("unigram", False)])
def test_a_saved_tokenizer_gives_transformers_our_ids(tmp_path: Path, kind: str, with_config: bool) -> None:
    ours = read_tokenizer(save(KINDS[kind](), tmp_path / "given", **ROLES.get(kind, {})))
    ours.save(tmp_path / "saved", model_max_length=99)
    if with_config:
        types = {"unigram": "xlm-roberta", "byte-level": "roberta", "modern": "modernbert", "mpnet": "mpnet"}
        write(tmp_path / "saved", "config.json", {"model_type": types.get(kind, "bert")})
    theirs = theirs_of(tmp_path / "saved")
    second = FEWER[::-1]
    assert different(rows(ours, FEWER), theirs(FEWER)["input_ids"]) == []
    assert different(rows(ours, FEWER, second), theirs(FEWER, second)["input_ids"]) == []
    assert (theirs.model_max_length, theirs.pad_token_id) == (99, ours.pad_id)


def test_a_saved_family_gives_transformers_our_ids(family: Path, tmp_path: Path) -> None:
    ours = read_tokenizer(family)
    ours.save(tmp_path)
    (tmp_path / "config.json").write_bytes((family / "config.json").read_bytes())
    assert different(rows(ours, FEWER), theirs_of(tmp_path)(FEWER)["input_ids"]) == []


def test_what_transformers_saves_of_it_is_read_with_the_same_ids(family: Path, tmp_path: Path) -> None:
    theirs_of(family).save_pretrained(tmp_path)
    assert different(rows(read_tokenizer(tmp_path), FEWER), rows(read_tokenizer(family), FEWER)) == []


@pytest.mark.parametrize("kind", ["byte-level", "unigram", "modern"])
def test_tokens_that_transformers_adds_have_their_ids(tmp_path: Path, kind: str) -> None:
    read_tokenizer(save(KINDS[kind](), tmp_path / "given", **ROLES.get(kind, {}))).save(tmp_path / "plain")
    theirs = theirs_of(tmp_path / "plain")
    theirs.add_tokens(["<url>", transformers.AddedToken("Run7", single_word=True, normalized=False, lstrip=True)])
    theirs.add_special_tokens({"extra_special_tokens": ["[E1]", "good"]})
    theirs.save_pretrained(tmp_path / "added")
    texts = ["the <url> and<URL>", "a  Run7, xRun7", "[E1][E1] the [e1]", "goods good", " <url>  <mask> x"]
    ours = read_tokenizer(tmp_path / "added")
    assert rows(ours, texts) == theirs(texts)["input_ids"]
    assert ours.vocab_size == len(theirs)


def differs_by_design(text: str) -> bool:
    """Whether the library's table of characters, or special tokens in a text, part it from SentencePiece.

    The library looks a whole cluster of characters up by its first ones, and so loses what follows in it.
    """
    has_cluster = "\r\n" in text or any(
        unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf") or char in JAMO or char in THAI_VOWELS for char in text
    )
    # Of equal ways to split what repeats each takes another: the one adds up 32-bit numbers, the other 64-bit ones.
    return has_cluster or "[" in text or "<" in text or re.search(r"(.{1,3})\1\1", text) is not None


@pytest.mark.parametrize("bytes_too", [False, True])
def test_deberta_has_the_ids_of_sentencepiece(tmp_path: Path, corpus: Path, bytes_too: bool) -> None:
    """transformers 5 knows neither its table of characters nor its bytes; the model was trained with both."""
    folder = trained(
        tmp_path / "deberta", corpus, "spm.model", "deberta-v2", byte_fallback=bytes_too, **BERT, **BERT_PIECES
    )
    original = spm.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    ours = read_tokenizer(folder)
    cls, sep = ours.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    expected = [[cls, *ids, sep] for ids in original.encode(TEXTS)]
    wrong = different(rows(ours, TEXTS), expected)
    assert [text for text in wrong if not differs_by_design(text)] == []
    plain = [text for text in TEXTS if not differs_by_design(text)]
    assert len(plain) > 6000
    theirs = different([[cls, *ids, sep] for ids in original.encode(TEXTS)], theirs_of(folder)(TEXTS)["input_ids"])
    assert len(wrong) < len(theirs) / 2
    assert read_tokenizer(folder).vocab_size == len(theirs_of(folder))


def test_albert_has_the_ids_of_transformers_but_for_commas_behind_digits(tmp_path: Path, corpus: Path) -> None:
    special = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
    folder = trained(
        tmp_path / "albert", corpus, "spiece.model", "albert", normalization_rule_name="nmt_nfkc_cf", **special
    )
    wrong = different(rows(read_tokenizer(folder), TEXTS), theirs_of(folder)(TEXTS)["input_ids"])
    assert all("," in text for text in wrong)
    assert len(wrong) < 100


def test_a_model_of_bpe_is_refused_by_name(tmp_path: Path, corpus: Path) -> None:
    folder = trained(tmp_path / "bpe", corpus, "sentencepiece.bpe.model", "xlm-roberta", algorithm="bpe")
    with pytest.raises(Exception, match="the algorithm is BPE"):
        read_tokenizer(folder)


def test_the_words_of_the_files_are_transformers(tmp_path: Path) -> None:
    """Where the mask takes the white space before it, tokenizer_config.json says so."""
    folder = byte_level(tmp_path, mask_token={"content": "<mask>", "lstrip": True, "__type": "AddedToken"})
    texts = ["a  <mask> b", "<mask>", " <mask>"]
    assert rows(read_tokenizer(folder), texts) == theirs_of(folder)(texts)["input_ids"]
    assert json.loads((folder / "tokenizer_config.json").read_bytes())["mask_token"]["lstrip"]
