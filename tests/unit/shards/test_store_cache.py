"""Encoded examples are found again by later runs, and never mistaken for others."""

import os
import stat
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertune.shards import store_cache
from bertune.shards.store_cache import encode_cached
from bertune.system.cache_folder import cache_folder
from bertune.tokenization import components
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.tokenizer import BertTokenizer

# Beyond what Linux gives to any process.
DEAD_PROCESS = 4_194_305
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(40))]
FIRST = [f"w{i % 40} w{i % 7}" for i in range(1200)]
SECOND = [f"w{i % 31}" for i in range(1200)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder("tokens")


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return BertTokenizer(tmp_path / "vocab.txt")


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) if folder.exists() else []


@pytest.mark.parametrize("second", [SECOND, None])
def test_the_second_time_the_examples_are_found_and_equal(
    tokenizer: BertTokenizer, folder: Path, second: list[str] | None
) -> None:
    expected = encode_examples(FIRST, second, tokenizer, 16)
    for known in (False, True):
        encoded, found = encode_cached(FIRST, second, tokenizer, 16)
        assert found is known
        for name in ("token_ids", "offsets", "first_lengths", "truncated"):
            assert np.array_equal(getattr(encoded, name), getattr(expected, name))
        assert encoded.max_length == 16
    assert len(files_of(folder)) == 1


def test_without_the_cache_nothing_is_found_and_nothing_written(
    tokenizer: BertTokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", "token-cache")
    for _ in range(2):
        assert not encode_cached(FIRST, SECOND, tokenizer, 16)[1]
    assert files_of(folder) == []


def test_other_texts_another_length_and_another_tokenizer_are_not_found(
    tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    encode_cached(FIRST, SECOND, tokenizer, 16)
    (tmp_path / "other.txt").write_text("\n".join([*WORDS[:-1], "other"]) + "\n", encoding="utf-8")
    assert not encode_cached([*FIRST[:-1], "w1"], SECOND, tokenizer, 16)[1]
    assert not encode_cached(FIRST, SECOND, tokenizer, 17)[1]
    assert not encode_cached(FIRST, SECOND, BertTokenizer(tmp_path / "other.txt"), 16)[1]


def test_what_other_code_made_is_not_found(
    tokenizer: BertTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vocabulary is the same, and so is the digest that a model keeps; a component or a version is not."""
    long_word = [f"{text} w1{'1' * 50}" for text in FIRST]
    before, _ = encode_cached(long_word, None, tokenizer, 16)
    with monkeypatch.context() as patch:
        patch.setattr(components, "MAX_CHARACTERS_PER_WORD", 1)
        mended = BertTokenizer(tmp_path / "vocab.txt")
    assert mended.digest == tokenizer.digest
    encoded, found = encode_cached(long_word, None, mended, 16)
    assert not found
    assert not np.array_equal(encoded.token_ids, before.token_ids)
    version = metadata.version
    for package in ("tokenizers", "bertune"):
        with monkeypatch.context() as patch:
            patch.setattr(metadata, "version", lambda name, p=package: "0.1" if name == p else version(name))
            assert not encode_cached(long_word, None, tokenizer, 16)[1]
    assert encode_cached(long_word, None, BertTokenizer(tmp_path / "vocab.txt"), 16)[1]


def test_only_the_owner_can_read_what_is_kept(tokenizer: BertTokenizer, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)  # as earlier versions made it
    encode_cached(FIRST, SECOND, tokenizer, 16)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(files_of(folder)) == 1


def test_each_way_with_long_texts_is_found_by_itself(tokenizer: BertTokenizer, folder: Path) -> None:
    long = [f"{text} {text} {text}" for text in FIRST]
    ways: list[dict[str, Any]] = [
        {},
        {"long_text": "head-tail"},
        {"long_text": "windows", "window_stride": 2},
        {"long_text": "windows", "window_stride": 1},
    ]
    for known in (False, True):
        for way in ways:
            encoded, found = encode_cached(long, SECOND, tokenizer, 8, **way)
            assert found is known
            expected = encode_examples(long, SECOND, tokenizer, 8, **way)
            for name in ("token_ids", "offsets", "first_lengths", "truncated", "example_offsets"):
                assert np.array_equal(getattr(encoded, name), getattr(expected, name)), (way, name)
    assert len(files_of(folder)) == 4
    assert not encode_cached(long, None, tokenizer, 8, long_text="windows")[1]
    assert encode_cached(long, None, tokenizer, 8, long_text="windows", window_stride=3)[1]  # the default, named


def test_a_damaged_file_is_made_again(tokenizer: BertTokenizer, folder: Path) -> None:
    encode_cached(FIRST, SECOND, tokenizer, 16)
    (path,) = files_of(folder)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    encoded, found = encode_cached(FIRST, SECOND, tokenizer, 16)
    assert not found
    assert np.array_equal(encoded.token_ids, encode_examples(FIRST, SECOND, tokenizer, 16).token_ids)
    assert encode_cached(FIRST, SECOND, tokenizer, 16)[1]


def test_few_examples_leave_no_file(tokenizer: BertTokenizer, folder: Path) -> None:
    encode_cached(FIRST[:999], SECOND[:999], tokenizer, 16)
    assert files_of(folder) == []


def test_where_nothing_can_be_written_the_examples_are_encoded_each_time(
    tokenizer: BertTokenizer, folder: Path
) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in the folder's place", encoding="utf-8")
    for _ in range(2):
        encoded, found = encode_cached(FIRST, SECOND, tokenizer, 16)
        assert not found
        assert len(encoded) == 1200


def test_the_files_not_used_for_longest_go_first(
    tokenizer: BertTokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_cached(FIRST, SECOND, tokenizer, 16)
    size = files_of(folder)[0].stat().st_size
    monkeypatch.setattr(store_cache, "_MOST_BYTES", int(2.5 * size))
    encode_cached(FIRST, SECOND, tokenizer, 17)
    assert encode_cached(FIRST, SECOND, tokenizer, 16)[1]  # used last now
    encode_cached(FIRST, SECOND, tokenizer, 18)
    assert len(files_of(folder)) == 2
    assert encode_cached(FIRST, SECOND, tokenizer, 16)[1]
    assert not encode_cached(FIRST, SECOND, tokenizer, 17)[1]


def test_what_a_killed_process_left_is_removed(tokenizer: BertTokenizer, folder: Path) -> None:
    folder.mkdir(parents=True)
    for process in (DEAD_PROCESS, os.getpid()):
        (folder / f".tmp-{'0' * 64}.safetensors-{process}-0").write_bytes(bytes(1000))
    encode_cached(FIRST, SECOND, tokenizer, 16)
    left = [path.name for path in files_of(folder) if path.name.startswith(".tmp-")]
    assert left == [f".tmp-{'0' * 64}.safetensors-{os.getpid()}-0"]
