import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from bertune.errors import ConfigError, DataError
from bertune.tokenization import unicode_tables
from bertune.tokenization.tokenizer import BertTokenizer


def test_special_tokens_in_a_text_are_plain_text(tokenizer: BertTokenizer) -> None:
    assert tokenizer.tokenize("a [SEP] b") == ["a", "[", "sep", "]", "b"]


def test_case_and_accents_go_in_an_uncased_tokenizer_and_stay_in_a_cased_one(tiny_vocab: Path) -> None:
    assert BertTokenizer(tiny_vocab, do_lower_case=True).tokenize("AB é e\u0301") == ["ab", "e", "e"]
    assert BertTokenizer(tiny_vocab, do_lower_case=False).tokenize("AB é e\u0301") == ["[UNK]", "é", "[UNK]"]


def test_pieces_and_ids_convert_both_ways(tokenizer: BertTokenizer) -> None:
    ids = tokenizer.encode_batch(["abba, c", "", "zz"])
    assert [tokenizer.convert_ids_to_tokens(row) for row in ids] == [["ab", "##b", "##a", ",", "c"], [], ["[UNK]"]]
    assert [tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(row)) for row in ids] == ids
    flat, offsets = tokenizer.encode_flat(["abba, c", "", "zz"])
    assert (flat.tolist(), offsets.tolist()) == ([*ids[0], *ids[2]], [0, 5, 5, 6])


def test_more_texts_than_one_chunk_keep_their_order(tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertune.tokenization.tokenizer._TEXTS_PER_CHUNK", 2)
    texts = ["a", "b a", "", "c", "ab b b"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode_batch([text])[0] for text in texts]
    flat, offsets = tokenizer.encode_flat(texts)
    assert np.diff(offsets).tolist() == [1, 2, 0, 1, 3]
    assert len(flat) == 7


def test_unknown_pieces_and_ids_are_refused(tokenizer: BertTokenizer) -> None:
    with pytest.raises(DataError, match="the token 'zebra' is not in the vocabulary"):
        tokenizer.convert_tokens_to_ids(["a", "zebra"])
    for index in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match=f"the id {index} is not in the vocabulary"):
            tokenizer.convert_ids_to_tokens([index])


def test_what_is_no_text_is_refused_with_its_number(tokenizer: BertTokenizer) -> None:
    with pytest.raises(DataError, match="text 1 is NoneType, expected str"):
        tokenizer.encode_batch(["a", None])  # type: ignore[list-item]
    with pytest.raises(DataError, match="expected a sequence of texts, got one string"):
        tokenizer.encode_batch("ab")


def test_half_a_surrogate_pair_makes_its_word_unknown(tokenizer: BertTokenizer) -> None:
    assert tokenizer.tokenize("a \ud800 b\udfff c") == ["a", "[UNK]", "[UNK]", "c"]


def test_a_word_may_have_400_characters(tokenizer: BertTokenizer) -> None:
    assert tokenizer.tokenize("a" * 400) == ["a", *["##a"] * 399]
    assert tokenizer.tokenize("a" * 401) == ["[UNK]"]


def test_encode_lays_out_singles_and_pairs(tokenizer: BertTokenizer) -> None:
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    a, b, c = tokenizer.convert_tokens_to_ids(["a", "b", "c"])
    assert tokenizer.encode("a b") == ([cls, a, b, sep], [0, 0, 0, 0])
    assert tokenizer.encode("a b", "c") == ([cls, a, b, sep, c, sep], [0, 0, 0, 0, 1, 1])
    assert tokenizer.encode("", "") == ([cls, sep, sep], [0, 0, 1])
    assert tokenizer.encode("a b c", max_length=4) == ([cls, a, b, sep], [0, 0, 0, 0])
    assert tokenizer.encode("a b c", "c b", max_length=6) == ([cls, a, b, sep, c, sep], [0, 0, 0, 0, 1, 1])


def test_a_length_without_room_for_text_is_refused(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ConfigError, match="max_length is 2, at least 3 is needed for single texts"):
        tokenizer.encode("a", max_length=2)
    with pytest.raises(ConfigError, match="max_length is 4, at least 5 is needed for pairs"):
        tokenizer.encode("a", "b", max_length=4)


def test_the_digest_tells_vocabularies_and_flags_apart(tmp_path: Path, tiny_vocab: Path) -> None:
    swapped = tmp_path / "swapped.txt"
    swapped.write_text(tiny_vocab.read_text("utf-8").replace("\nb\nc\n", "\nc\nb\n"), "utf-8")
    digests = {BertTokenizer(tiny_vocab, lower).digest for lower in (True, False)} | {BertTokenizer(swapped).digest}
    assert len(digests) == 3
    assert BertTokenizer(tiny_vocab).digest in digests


def test_the_tables_are_those_of_unicode_14() -> None:
    def members(table: str) -> set[str]:
        ends = [part.split("-") for part in table.split()]
        return {chr(code) for end in ends for code in range(int(end[0], 16), int(end[-1], 16) + 1)}

    # Other interpreters carry other versions, which agree on the oldest blocks.
    stop = sys.maxunicode + 1 if unicodedata.unidata_version == unicode_tables.UNICODE_VERSION else 0x250
    codes = [code for code in range(stop) if not 0xD800 <= code <= 0xDFFF]
    category = {chr(code): unicodedata.category(chr(code)) for code in codes}
    expected = {
        "MARKS": {char for char, kind in category.items() if kind == "Mn"},
        "UNASSIGNED": {char for char, kind in category.items() if kind == "Cn"},
        "PUNCTUATION": {char for char, kind in category.items() if kind[0] == "P"} | {*"$+<=>^`|~"},
        "REMOVED": {c for c, kind in category.items() if kind in ("Cc", "Cf") or c == "\ufffd"} - {*"\t\n\r"},
    }
    for name, chars in expected.items():
        assert members(getattr(unicode_tables, name)) & category.keys() == chars, name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_tokenizes_without_warning_or_hang(tiny_vocab: Path) -> None:
    program = f"""
import os, sys
from bertune.tokenization.tokenizer import BertTokenizer
tokenizer = BertTokenizer({str(tiny_vocab)!r})
texts = ["ab a c"] * 1000
expected = tokenizer.encode_batch(texts)
child = os.fork()
if child == 0:
    os._exit(0 if tokenizer.encode_batch(texts) == expected else 9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "TOKENIZERS_PARALLELISM" in os.environ)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-W", "ignore", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (result.stdout, result.stderr) == ("0 False\n", "")
