"""Damaged and hostile weight files: always a CheckpointError that names the file, never another exception."""

import json
import os
import pickle
import random
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.safetensors_header import MAX_HEADER_BYTES
from bertune.errors import CheckpointError

TENSORS = {
    "embeddings.weight": torch.arange(24, dtype=torch.float32).reshape(6, 4),
    "dense.weight": torch.ones(4, 4, dtype=torch.float16),
    "dense.bias": torch.zeros(4),
    "position_ids": torch.arange(4),
}
SOUND = save(TENSORS, metadata={"format": "pt"})
HEADER_END = 8 + int.from_bytes(SOUND[:8], "little")


def read_all(content: bytes, folder: Path) -> dict[str, Any]:
    """Reads every tensor as restoring does."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    files = TensorFiles([path])
    return {name: files.read(name) for name, stored in files.tensors.items() if stored.dtype != "I64"}


def with_header(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin: Any, end: Any, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_sound_file_is_read_to_the_bit(tmp_path: Path) -> None:
    for name, value in read_all(SOUND, tmp_path).items():
        assert torch.equal(value, TENSORS[name].float())


@pytest.mark.parametrize("header_bytes", [128, 384, 640, 896])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path, header_bytes: int) -> None:
    text = json.dumps({"a": entry(0, 8)}).encode().ljust(header_bytes)
    content = with_header(text, bytes(8))
    assert content[0] == 0x80
    assert content[1] <= 5, "the first bytes of a pickle"
    assert read_all(content, tmp_path)["a"].tolist() == [0, 0]


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    lengths = sorted({round(index * (len(SOUND) - 1) / 99) for index in range(100)})
    assert len(lengths) == 100
    for length in lengths:
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            read_all(SOUND[:length], tmp_path)


def test_a_file_with_something_appended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="4 bytes behind the last tensor belong to none"):
        read_all(SOUND + b"PK\x03\x04", tmp_path)


def test_a_flipped_bit_is_detected_or_changes_only_what_no_header_can_know(tmp_path: Path) -> None:
    sound = read_all(SOUND, tmp_path)
    source = random.Random(0)
    fates: Counter[str] = Counter()
    for _ in range(1000):
        position, bit = source.randrange(len(SOUND)), source.randrange(8)
        damaged = bytearray(SOUND)
        damaged[position] ^= 1 << bit
        try:
            values = read_all(bytes(damaged), tmp_path)
        except CheckpointError:
            fates["detected"] += 1
            continue
        if position >= HEADER_END:
            fates["in the numbers"] += 1
        elif values.keys() != sound.keys():
            fates["in a name"] += 1
        elif all(torch.equal(value, sound[name]) for name, value in values.items()):
            fates["in the metadata"] += 1
        else:
            # Types of one width, such as F16 and BF16: the receipt shows the type.
            fates["in a type"] += 1
    print(dict(fates))
    assert sum(fates.values()) == 1000
    header_share = HEADER_END / len(SOUND)
    assert fates["detected"] > 0.6 * header_share * 1000
    assert fates["in a type"] <= 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\x00" * 7,
        b"\x00" * 8,
        b"\x00" * 4096,
        b"\xff" * 4096,
        (1 << 63).to_bytes(8, "little") + b"{" + bytes(100),
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{" + bytes(MAX_HEADER_BYTES),
        with_header(b"[]"),
        with_header(b"{"),
        with_header(b"{}x"),
        with_header(b'{"a":\xff}'),
        with_header(b'{"a":' * 100_000),
        with_header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        with_header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,' + b"9" * 5000 + b"]}}"),
        with_header(b'{"a":NaN}'),
        with_header(b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,8]}}', bytes(8)),
        with_header(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],'
            b'"data_offsets":[0,8]}}',
            bytes(8),
        ),
        with_header({"a": None}),
        with_header({"a": []}),
        with_header({"a": {}}),
        with_header({"a": entry(0, 8) | {"shape": "2"}}, bytes(8)),
        with_header({"a": entry(0, 8, shape={"2": 1})}, bytes(8)),
        with_header({"a": entry(0, 8, shape=[2.0])}, bytes(8)),
        with_header({"a": entry(0, 8, shape=["2"])}, bytes(8)),
        with_header({"a": entry(0, 8, shape=[True, 2])}, bytes(8)),
        with_header({"a": entry(0, 8, shape=[-1, -2])}, bytes(8)),
        with_header({"a": entry(0, 8, shape=[1 << 62, 1 << 62])}, bytes(8)),
        with_header({"a": entry(0, 8, shape=[1 << 70])}, bytes(8)),
        with_header({"a": entry(0, 8, dtype="F33")}, bytes(8)),
        with_header({"a": entry(0, 8, dtype=["F32"])}, bytes(8)),
        with_header({"a": entry(0, 8, dtype=None)}, bytes(8)),
        with_header({"a": entry(-8, 0)}, bytes(8)),
        with_header({"a": entry(8, 0)}, bytes(8)),
        with_header({"a": entry(0, 8.0)}, bytes(8)),
        with_header({"a": entry("0", "8")}, bytes(8)),
        with_header({"a": entry(0, 8) | {"data_offsets": [0, 8, 16]}}, bytes(16)),
        with_header({"a": entry(0, 16)}, bytes(16)),
        with_header({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
        with_header({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
        with_header({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)),
        with_header({"a": entry(4, 12)}, bytes(12)),
        with_header({"a": entry(0, 8)}, bytes(12)),
        with_header({"a": entry(0, 8)}, bytes(7)),
        with_header({"a": entry(0, 4 << 40, shape=[1 << 40])}, bytes(8)),
        with_header({"a\nerror: nothing is wrong": entry(0, 8)}, bytes(8)),
        with_header({"\x1b[2J": entry(0, 8)}, bytes(8)),
        with_header({"n" * 100_000: entry(0, 8)}, bytes(8)),
        with_header({"__metadata__": [], "a": entry(0, 8)}, bytes(8)),
        with_header({"__metadata__": {"a": 1}, "b": entry(0, 8)}, bytes(8)),
    ],
    ids=lambda content: str(content[:60])[2:],
)
def test_a_header_that_claims_what_cannot_be_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        read_all(content, tmp_path)
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 600


def test_random_bytes_behind_a_sound_length_are_refused(tmp_path: Path) -> None:
    source = random.Random(1)
    for _ in range(200):
        garbage = b"{" + source.randbytes(200)
        with pytest.raises(CheckpointError):
            read_all(with_header(garbage), tmp_path)


def test_a_header_rewritten_at_random_is_refused_or_read(tmp_path: Path) -> None:
    """Replaces pieces of the JSON by others that are JSON too."""
    source = random.Random(2)
    pieces = [b"0", b"-1", b"1e308", b"[]", b"{}", b"null", b"true", b'"F32"', b'"x"', b"99999999999999999999", b","]
    refused = 0
    for _ in range(500):
        text = SOUND[8:HEADER_END]
        for _ in range(source.randint(1, 3)):
            start = source.randrange(len(text))
            text = text[:start] + source.choice(pieces) + text[start + source.randint(0, 12) :]
        try:
            read_all(with_header(text, SOUND[HEADER_END:]), tmp_path)
        except CheckpointError:
            refused += 1
    assert refused > 400


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "weights", "model.txt"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_known_by_its_content_and_never_run(tmp_path: Path, name: str, protocol: int) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    path = tmp_path / name
    path.write_bytes(pickle.dumps([Bomb()], protocol=protocol))
    message = "a pickle, not safetensors" if name.endswith(".safetensors") else "which no state dict needs"
    with pytest.raises(CheckpointError, match=message) as caught:
        TensorFiles([path])
    assert caught.value.hint is not None
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_the_oldest_pickles_are_refused_too(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(CheckpointError):
        read_all(pickle.dumps({"a": list(range(100))}, protocol=protocol), tmp_path)


def test_what_torch_saves_is_refused_under_the_name_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for zipped in (True, False):
        torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
        assert zipfile.is_zipfile(path) == zipped
        with pytest.raises(CheckpointError, match="a pickle"):
            TensorFiles([path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa\nsize 90868376\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>Not Found</body></html>", "a web page"),
        (b"\n\n<html>" + bytes(100), "a web page"),
        (b"Entry not found", "truncated or not safetensors"),
        (b'{"error": "Repository not found"}', "truncated or not safetensors"),
        (b"\x1f\x8b\x08" + bytes(100), "truncated or not safetensors"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_another_kind_of_file_is_called_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_all(content, tmp_path)


def test_nothing_but_a_plain_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name, message in (("pipe.safetensors", "not a file"), (".", "not a file"), ("absent", "no such file")):
        with pytest.raises(CheckpointError, match=message):
            TensorFiles([tmp_path / name])


@pytest.mark.parametrize(
    "header",
    [
        b"{" + b'"":[],' * (MAX_HEADER_BYTES // 7) + b'"a":0}',
        b'{"a":[' + b"{}," * (MAX_HEADER_BYTES // 3 - 10) + b"0]}",
        b'{"a":[' + b"[0]," * (MAX_HEADER_BYTES // 4 - 10) + b"0]}",
        b'{"a":[' + b'{"":0},' * (MAX_HEADER_BYTES // 7 - 10) + b"0]}",
        b'{"a":[' + b"0.5," * (MAX_HEADER_BYTES // 4 - 10) + b"0]}",
        (1 << 40).to_bytes(8, "little"),
    ],
    ids=lambda header: str(header[:12]),
)
def test_no_header_makes_the_reader_take_more_than_64_mb(tmp_path: Path, header: bytes) -> None:
    content = with_header(header) if header.startswith(b"{") else header + b"{" + bytes(1000)
    assert len(content) <= MAX_HEADER_BYTES + 8
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read_all(content, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64_000_000, f"{peak:,} bytes"


def test_a_file_that_changes_after_its_check_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    files = TensorFiles([path])
    path.write_bytes(SOUND[: HEADER_END + 5])
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        files.read("dense.bias")
    path.unlink()
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        files.read("dense.bias")


@pytest.mark.parametrize(
    ("header", "data_bytes", "message"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, "tensor b at byte 4 overlaps the tensor before it"),
        ({"a": entry(0, 8), "b": entry(12, 20)}, 20, "tensor b at byte 12 leaves a gap before it"),
        ({"a": entry(0, 8), "b": entry(8, 16)}, 15, "truncated: tensor b needs 16 bytes of data, the file has 15"),
        ({"a": entry(0, 8)}, 9, "1 bytes behind the last tensor belong to none"),
    ],
)
def test_the_header_alone_tells_what_is_wrong_before_a_tensor_is_read(
    tmp_path: Path, header: dict[str, Any], data_bytes: int, message: str
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(header, bytes(data_bytes)))
    with pytest.raises(CheckpointError, match=message):
        TensorFiles([path])


def test_an_empty_tensor_is_read(tmp_path: Path) -> None:
    assert read_all(save({"a": torch.zeros(0, 3)}), tmp_path)["a"].shape == (0, 3)
