import json
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import CheckpointError
from bertune.tokenization.tokenizer import BertTokenizer

URL = {"id": 17, "content": "<url>", "normalized": True, "special": False}
BA = {"id": 18, "content": "Ba", "normalized": False, "single_word": True}


@pytest.fixture
def folder(tiny_vocab: Path) -> Path:
    return tiny_vocab.parent


def write(folder: Path, name: str, **values: Any) -> None:
    (folder / name).write_text(json.dumps(values), "utf-8")


def in_decoder(folder: Path) -> None:
    write(folder, "tokenizer_config.json", added_tokens_decoder={str(token["id"]): token for token in (URL, BA)})


def in_tokenizer_json(folder: Path) -> None:
    BertTokenizer.from_directory(folder).save(folder / "saved")
    values = json.loads((folder / "saved" / "tokenizer.json").read_bytes())
    (folder / "tokenizer.json").write_text(json.dumps(values | {"added_tokens": [URL, BA]}), "utf-8")


@pytest.mark.parametrize("put", [in_decoder, in_tokenizer_json])
def test_added_tokens_are_cut_out_of_texts_with_their_flags(folder: Path, put: Any) -> None:
    plain = BertTokenizer.from_directory(folder)
    put(folder)
    tokenizer = BertTokenizer.from_directory(folder)
    assert tokenizer.vocab_size == 19
    assert tokenizer.convert_tokens_to_ids(["<url>", "Ba"]) == [17, 18]
    # Normalized: found whatever its case; as given: in this case alone, and not inside of a word.
    assert tokenizer.encode_batch(["a<URL>b", "Ba ba Bab", "a, [SEP]"]) == [
        [5, 17, 6],
        [18, 6, 8, 6, 8, 9],
        [5, 11, 12, 14, 13],
    ]
    assert plain.encode_batch(["a, [SEP]"]) == tokenizer.encode_batch(["a, [SEP]"])[-1:]
    assert tokenizer.digest != plain.digest


def test_a_saved_tokenizer_keeps_its_added_tokens(folder: Path) -> None:
    in_decoder(folder)
    before = BertTokenizer.from_directory(folder)
    before.save(folder / "saved")
    after = BertTokenizer.from_directory(folder / "saved")
    assert (after.digest, after.vocab) == (before.digest, before.vocab)
    texts = ["a<URL>b", "Ba ba Bab"]
    assert after.encode_batch(texts) == before.encode_batch(texts)
    assert (folder / "saved" / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()


def test_the_files_of_early_transformers_give_the_same_tokens(folder: Path) -> None:
    write(folder, "added_tokens.json", **{"<url>": 17, "[e1]": 18})
    write(folder, "special_tokens_map.json", additional_special_tokens=["[e1]"], cls_token="[CLS]")
    tokenizer = BertTokenizer.from_directory(folder)
    # A special one is looked for in the text as it was given.
    assert tokenizer.encode_batch(["<URL> [e1]", "[E1]"]) == [[17, 18], [12, 1, 13]]


def test_a_special_token_that_is_a_piece_has_its_id(folder: Path) -> None:
    write(folder, "tokenizer_config.json", extra_special_tokens=["sep", {"content": "[CLS]"}])
    tokenizer = BertTokenizer.from_directory(folder)
    assert tokenizer.vocab_size == 17
    assert tokenizer.encode_batch(["asepb"]) == [[5, 14, 6]]


def test_the_place_of_an_added_token_in_its_text_is_kept(folder: Path) -> None:
    in_decoder(folder)
    aligned = BertTokenizer.from_directory(folder).align("a <URL>, b")
    assert [(piece.piece, piece.start, piece.end) for piece in aligned] == [
        ("a", 0, 1),
        ("<url>", 2, 7),
        (",", 7, 8),
        ("b", 9, 10),
    ]
    assert len({piece.word for piece in aligned}) == 4


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"<url>": 18}, "'<url>' has the id 18, expected 17"),
        ({"<url>": 17, "<tag>": 17}, "'<tag>' has the id 17, which does not agree with"),
        ({"a": 17}, "'a' has the id 17, expected 17|'a' has the id 17"),
        ({"<url>": "x"}, "the added token .* is malformed"),
    ],
)
def test_ids_that_no_table_could_have_are_refused(folder: Path, ids: dict[str, Any], message: str) -> None:
    write(folder, "added_tokens.json", **ids)
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_directory(folder)


def test_files_that_number_a_token_differently_are_refused(folder: Path) -> None:
    in_decoder(folder)
    write(folder, "added_tokens.json", **{"<url>": 18, "Ba": 17})
    with pytest.raises(CheckpointError, match="'<url>' has the id 18, which does not agree with"):
        BertTokenizer.from_directory(folder)
