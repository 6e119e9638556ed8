"""TensorFlow's files: what is written is read, and what claims the impossible is refused by name."""

import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertune.checkpoints.bundle_entries import BundleEntry, slice_key
from bertune.checkpoints.bundle_writer import _MAGIC, _append_block, message, table, write_bundle
from bertune.checkpoints.table_file import read_table
from bertune.checkpoints.tensor_bundle import TensorBundle, _overlap
from bertune.errors import CheckpointError
from bertune.system.masked_crc import crc32c, masked
from bertune.system.protobuf_wire import WireError, fields, read_varint, varint

HEADER = message((1, 1))
DATA = np.arange(6, dtype=np.float32).tobytes()


def entry(
    dtype: int = 1, shape: tuple[int, ...] = (2, 3), shard: int = 0, offset: int = 0, size: int = 24, more: bytes = b""
) -> bytes:
    sizes = b"".join(message((2, message((1, length)))) for length in shape)
    numbers = message((1, dtype), (2, sizes), (3, shard), (4, offset), (5, size))
    return numbers + varint(6 << 3 | 5) + masked(crc32c([DATA])).to_bytes(4, "little") + more


def bundle_of(folder: Path, entries: dict[bytes, bytes], header: bytes = HEADER) -> TensorBundle:
    (folder / "x.data-00000-of-00001").write_bytes(DATA)
    (folder / "x.index").write_bytes(table({b"": header} | entries))
    return TensorBundle(folder / "x")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensors = {f"layer/{number}": np.full((2, 3), number, np.float32) for number in range(1500)}
    tensors |= {"count": np.array(7, np.int64), "none": np.zeros((0, 4), np.float16), "flag": np.array([True, False])}
    write_bundle(tmp_path / "x", [*tensors.items(), ("text", b"graph" * 100)])
    bundle = TensorBundle(tmp_path / "x")
    assert set(bundle.tensors) == {*tensors, "text"}
    for name, value in tensors.items():
        np.testing.assert_array_equal(bundle.read(name), value)
    assert bundle.read_strings("text") == [b"graph" * 100]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, (1 << 32) - 1, (1 << 64) - 1])
def test_numbers_survive_base_128(number: int) -> None:
    assert read_varint(memoryview(varint(number)), 0) == (number, len(varint(number)))


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 11, b"\x0a\x05ab", b"\x0b", b"\x09\x01", b"\x02\x00"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(memoryview(data)))


# Keys in the index that TensorFlow 2.20 writes for `a/b` of shape (20000, 3), saved in these rows.
@pytest.mark.parametrize(
    ("rows", "key"),
    [
        ((0, 64), "00612f620001010280c040807f"),
        ((64, 8128), "00612f6200010102c040dfc0807f"),
        ((8192, 11808), "00612f6200010102e02000e02e20807f"),
    ],
)
def test_the_key_of_a_slice_is_tensorflows(rows: tuple[int, int], key: str) -> None:
    assert slice_key("a/b", (rows, (0, -1))).hex() == key


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (entry(dtype=21), "tensor w: unknown dtype 21"),
        (entry(size=20), "tensor w: 20 bytes do not hold the shape"),
        (entry(shape=(1 << 40, 1 << 40)), "do not hold the shape"),
        (entry(shape=(1 << 40,), size=4 << 40), "truncated: tensor w needs 4,398,046,511,104 bytes, the file has 24"),
        (entry(offset=4), "truncated: tensor w needs 28 bytes, the file has 24"),
        (entry(offset=(1 << 64) - 1), "truncated"),
        (entry(shard=1), "tensor w is in data file 1, of 1"),
        (entry(shape=(1,) * 17), "a shape that no tensor has"),
        (entry(more=message((7, message((1, b""))))), "a slice of another rank than its tensor"),
        (entry(more=message((7, message((1, message((2, 3))), (1, b""))))), "a slice outside of its tensor"),
        (entry(more=message((7, message((1, b""), (1, b""))))), "a slice is missing"),
        (b"\x0a", "the message ends"),
    ],
)
def test_an_impossible_entry_is_refused_by_name(value: bytes, pattern: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=pattern):
        bundle_of(tmp_path, {b"w": value})


@pytest.mark.parametrize(
    ("header", "pattern"),
    [
        (message((1, 20_000)), "claims 20,000 data files"),
        (b"", "claims 0 data files"),
        (message((1, 1), (2, 1)), "big-endian"),
        (message((1, 2)), r"x\.data-00000-of-00002: no such file"),
    ],
)
def test_an_impossible_header_is_refused(header: bytes, pattern: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=pattern):
        bundle_of(tmp_path, {b"w": entry()}, header)


def test_parts_that_overlap_or_leave_gaps_are_refused(tmp_path: Path) -> None:
    def sliced(*rows: tuple[int, int]) -> dict[bytes, bytes]:
        # A whole axis has no length.
        parts = b"".join(message((7, message((1, message((1, a), (2, n))), (1, b"")))) for a, n in rows)
        entries = {b"w": entry(shape=(2, 3), size=0, more=parts)}
        return entries | {slice_key("w", ((a, n), (0, -1))): entry(shape=(n, 3), size=12 * n) for a, n in rows}

    whole = sliced((0, 2))
    assert bundle_of(tmp_path, whole).read("w").tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(CheckpointError, match="do not make up the whole"):
        bundle_of(tmp_path, sliced((0, 1)))
    with pytest.raises(CheckpointError, match="a slice is missing"):
        bundle_of(tmp_path, sliced((0, 1), (0, 1)))
    with pytest.raises(CheckpointError, match="slices that belong to no tensor"):
        bundle_of(tmp_path, whole | {slice_key("v", ((0, -1),)): entry()})


def test_names_that_would_deceive_a_terminal_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not printable"):
        bundle_of(tmp_path, {b"w\x1b[2J": entry()})


def test_a_compressed_index_is_refused_politely(tmp_path: Path) -> None:
    write_bundle(tmp_path / "x", [("w", np.zeros(2, np.float32))])
    index = tmp_path / "x.index"
    content = bytearray(index.read_bytes())
    (start, at) = read_varint(memoryview(content)[-48:], 0)
    # The first block, of data: from 0 up to the second, which is empty.
    end = start - 5
    content[end] = 1
    content[end + 1 : start] = masked(crc32c([bytes(content[: end + 1])])).to_bytes(4, "little")
    index.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"x\.index: the block at offset 0 is compressed \(snappy\)") as caught:
        TensorBundle(tmp_path / "x")
    assert at
    assert "save the checkpoint again" in (caught.value.hint or "")


def test_another_format_is_refused_by_its_magic_number(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(b"<!DOCTYPE html>" * 20)
    with pytest.raises(CheckpointError, match=r"x\.index: truncated or not the index of a TensorFlow checkpoint"):
        TensorBundle(tmp_path / "x")


def test_a_flipped_bit_in_a_tensor_is_named_with_its_place(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, {b"w": entry()})
    bundle.read("w")
    file = tmp_path / "x.data-00000-of-00001"
    file.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(CheckpointError, match=r"the CRC32C of tensor w \(offset 0, 24 bytes\) is wrong"):
        TensorBundle(tmp_path / "x").read("w")


def test_numbers_that_are_not_finite_or_no_floats_are_refused(tmp_path: Path) -> None:
    values = {
        "nan": np.array([1, np.nan], np.float32),
        "too large": np.array([1e300]),
        "whole": np.array([1, 2], np.int32),
    }
    write_bundle(tmp_path / "x", values.items())
    bundle = TensorBundle(tmp_path / "x")
    for name in ("nan", "too large"):
        with pytest.raises(CheckpointError, match=f"tensor {name} holds NaN or infinite") as refused:
            bundle.read_float(name)
        assert "an earlier checkpoint" in (refused.value.hint or "")
    with pytest.raises(CheckpointError, match="tensor whole is I32, expected a floating-point type"):
        bundle.read_float("whole")


def test_an_index_of_a_million_entries_is_refused_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(table({b"": HEADER} | {b"%06d" % n: b"" for n in range(300_000)}))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="more entries than any BERT has"):
        TensorBundle(tmp_path / "x")
    assert tracemalloc.get_traced_memory()[1] < 64_000_000
    tracemalloc.stop()


def test_strings_that_claim_too_much_are_refused(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, {b"w": entry(dtype=7, shape=(1 << 50,))})
    with pytest.raises(CheckpointError, match="is not 1,125,899,906,842,624 strings"):
        bundle.read_strings("w")
    bundle = bundle_of(tmp_path, {b"w": entry(dtype=7, shape=(2,))})
    with pytest.raises(CheckpointError, match="the lengths of its strings do not add up"):
        bundle.read_strings("w")


def test_a_block_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    """Else 49,000 names of one block of 7 MB in a small index take half a minute of checksums."""
    written = bytearray()
    block = _append_block(written, [(b"", message((1, 1), (3, message((1, 1)))))])
    index = [(f"{number:05d}".encode(), block) for number in range(3)]
    footer = _append_block(written, []) + _append_block(written, index)
    (tmp_path / "x.index").write_bytes(bytes(written) + footer.ljust(40, b"\x00") + _MAGIC)
    with pytest.raises(CheckpointError, match="the block at offset 0 is named twice"):
        read_table(tmp_path / "x.index")


def test_the_slices_of_a_large_tensor_are_compared_at_once() -> None:
    """Two by two in Python, the 512 slices that a tensor may have took a fifth of a second, of each tensor."""
    slices = tuple(((number, 1), (0, -1)) for number in range(512))
    sliced = BundleEntry("F32", (512, 8), 0, 0, 0, 0, slices)
    start = time.process_time()
    assert not any(_overlap(sliced) for _ in range(20))
    assert time.process_time() - start < 2
    assert _overlap(replace(sliced, slices=(*slices[:-1], ((3, 1), (7, 1)))))
    assert not _overlap(replace(sliced, slices=(((0, 256), (0, 4)), ((0, 256), (4, 4)), ((256, 256), (0, -1)))))
    assert _overlap(replace(sliced, slices=(((0, 256), (0, 5)), ((0, 256), (4, 4)))))
