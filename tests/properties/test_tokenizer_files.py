"""Damaged and hostile tokenizer files: each is read, or refused with one error, in little time and memory."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.damage import damaged
from tests.json_changes import changed
from tests.unit.tokenization import trained
from tests.unit.tokenization.test_family_files import byte_level, spm
from tests.unit.tokenization.trained import KINDS, ROLES, TEXTS, bert_pieces, save, sentencepiece, trained_pieces

from bertune.errors import BertuneError
from bertune.tokenization.read_tokenizer import read_tokenizer

MUTATIONS = 1000
SECONDS = 2.0
#: More than any of these needs, and far less than a length of a damaged file can ask for.
KILOBYTES = 600_000


def is_read(folder: Path) -> bool:
    """Reads a tokenizer and uses it; whether it is one. What is refused must be refused with one error of ours."""
    begun, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused: BertuneError | None = None
    try:
        tokenizer = read_tokenizer(folder)
        ids, offsets = tokenizer.encode_flat(TEXTS)
        tokenizer.align(TEXTS[0])
    except BertuneError as error:
        refused = error
    assert time.monotonic() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < KILOBYTES
    if refused is None:
        assert len(offsets) == len(TEXTS) + 1
        assert not len(ids) or 0 <= ids.min() <= ids.max() < tokenizer.vocab_size
        assert 0 <= tokenizer.pad_id < tokenizer.vocab_size
    else:
        assert refused.exit_code == 3
        assert str(folder) in refused.message
        assert len(refused.message) < 1000
    return refused is None


def roberta(folder: Path) -> Path:
    return byte_level(folder)


def xlm_roberta(folder: Path) -> Path:
    return spm(folder, sentencepiece(trained_pieces(), charsmap=trained.table()))


def deberta(folder: Path) -> Path:
    return spm(folder, sentencepiece(bert_pieces()), model_type="deberta-v2", name="spm.model")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (roberta, "vocab.json"),
        (roberta, "merges.txt"),
        (roberta, "config.json"),
        (xlm_roberta, "sentencepiece.bpe.model"),
        (deberta, "spm.model"),
    ],
)
def test_damaged_family_files_are_read_or_refused(tmp_path: Path, make: Callable[[Path], Path], name: str) -> None:
    path = make(tmp_path) / name
    read = 0
    for content in damaged(path.read_bytes(), MUTATIONS, seed=name):
        path.write_bytes(content)
        read += is_read(tmp_path)
    assert 0 < read < MUTATIONS


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_damaged_tokenizer_json_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    path = save(KINDS[kind](), tmp_path, **ROLES.get(kind, {})) / "tokenizer.json"
    for content in damaged(path.read_bytes(), MUTATIONS // 2, seed=kind):
        path.write_bytes(content)
        is_read(tmp_path)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_changed_tokenizer_json_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    """One value at a time is another one, or not there."""
    path = save(KINDS[kind](), tmp_path, **ROLES.get(kind, {})) / "tokenizer.json"
    values = json.loads(path.read_bytes())
    # Each entry of these alone would be hundreds of changes of the same kind.
    large = {key: values["model"].pop(key) for key in ("vocab", "merges") if key in values["model"]}
    count = 0
    for other in changed(values):
        if isinstance(other, dict) and isinstance(other.get("model"), dict):
            other["model"] |= large
        path.write_text(json.dumps(other), "utf-8")
        is_read(tmp_path)
        count += 1
    assert count > 300


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_changed_files_beside_it_are_read_or_refused(tmp_path: Path, name: str) -> None:
    save(trained.byte_level(), tmp_path)
    values: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": {
            "add_prefix_space": False,
            "split_special_tokens": False,
            "model_input_names": ["input_ids"],
            "added_tokens_decoder": {"330": {"content": "<ent>", "lstrip": True}},
            "pad_token": "<pad>",
            "mask_token": {"content": "<mask>", "lstrip": True},
            "extra_special_tokens": ["<ent>"],
        },
        "special_tokens_map.json": {"additional_special_tokens": ["good"], "cls_token": {"content": "<s>"}},
        "added_tokens.json": {"<ent>": 330, "<new>": 331},
    }
    for other in changed(values[name]):
        (tmp_path / name).write_text(json.dumps(other), "utf-8")
        is_read(tmp_path)
