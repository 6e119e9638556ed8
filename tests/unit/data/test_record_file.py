"""TFRecord framing, held to files of the original tool, and damaged files."""

import random
from pathlib import Path

import pytest

from bertune.data.formats.record_file import frame_record, masked_crc32c, read_records_of, refuse_records
from bertune.data.table_opening import open_table
from bertune.errors import DataError
from bertune.training.run_settings import RunSettings

GOLDEN = Path(__file__).parents[2] / "golden" / "tfrecords"


def test_checksum_is_tensorflows() -> None:
    # CRC32C of "123456789" is 0xe3069283 (RFC 3720); masked: rotate right by 15, add 0xa282ead8.
    assert masked_crc32c(b"123456789") == (((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) % 2**32


@pytest.mark.parametrize("name", ["mrpc-train", "stsb-validation"])
def test_framing_again_gives_the_original_file(name: str) -> None:
    path = GOLDEN / f"{name}.tfrecord"
    records = list(read_records_of(path))
    assert len(records) == {"mrpc-train": 48, "stsb-validation": 8}[name]
    assert b"".join(frame_record(content) for _, content in records) == path.read_bytes()
    assert records[0][0] == 0
    assert records[1][0] == len(records[0][1]) + 16


def test_a_file_without_bytes_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    assert list(read_records_of(tmp_path / "empty.tfrecord")) == []


def test_every_bit_flip_and_truncation_of_a_golden_file_is_detected(tmp_path: Path) -> None:
    original = (GOLDEN / "mrpc-train.tfrecord").read_bytes()
    boundaries = {offset for offset, _ in read_records_of(GOLDEN / "mrpc-train.tfrecord")}
    source = random.Random(5)
    path = tmp_path / "damaged.tfrecord"
    detected = {"flips": 0, "truncations": 0, "truncations between records": 0}
    for _ in range(1000):
        bit = source.randrange(len(original) * 8)
        damaged = bytearray(original)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"^{path}: (corrupted|truncated) record at \d+"):
            list(read_records_of(path))
        detected["flips"] += 1
    for size in source.sample(range(len(original)), 100):
        path.write_bytes(original[:size])
        if size in boundaries:
            # The format cannot tell this; the manifest of a re-encoded folder does (tests/unit/shards).
            list(read_records_of(path))
            detected["truncations between records"] += 1
            continue
        with pytest.raises(DataError, match=rf"^{path}: truncated record at \d+"):
            list(read_records_of(path))
        detected["truncations"] += 1
    print(detected)
    assert detected["flips"] == 1000
    assert detected["truncations"] + detected["truncations between records"] == 100
    assert detected["truncations"] >= 99


def test_a_wrong_record_is_named_by_its_offset(tmp_path: Path) -> None:
    first, second = frame_record(b"first"), frame_record(b"second")
    path = tmp_path / "x.tfrecord"
    path.write_bytes(first + second[:-1] + b"\x00")
    with pytest.raises(DataError, match=rf"x.tfrecord: corrupted record at {len(first)}: the checksum of its content"):
        list(read_records_of(path))
    path.write_bytes(first + second[:-3])
    with pytest.raises(DataError, match=rf"x.tfrecord: truncated record at {len(first)}: its content has 6 bytes"):
        list(read_records_of(path))


def test_a_length_beyond_the_file_is_not_allocated(tmp_path: Path) -> None:
    """The checksum of the length is right, so only the size of the file can tell."""
    length = (1 << 62).to_bytes(8, "little")
    path = tmp_path / "huge.tfrecord"
    path.write_bytes(length + masked_crc32c(length).to_bytes(4, "little") + b"x" * 100)
    with pytest.raises(DataError, match="truncated record at 0: its content has 4,611,686,018,427,387,904 bytes"):
        list(read_records_of(path))


def test_a_compressed_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"\x1f\x8b" + bytes(40))
    with pytest.raises(DataError) as raised:
        list(read_records_of(path))
    assert raised.value.hint == "the file is gzip-compressed; unpack it first"


def test_records_in_the_place_of_texts_are_told_with_what_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "encoded"
    folder.mkdir()
    for name in ("train.tf_record", "eval.tfrecord-00000-of-00001"):
        (folder / name).write_bytes(frame_record(b"x"))
    for path in (folder, folder / "train.tf_record"):
        with pytest.raises(DataError, match="holds TFRecords, whose token ids") as caught:
            RunSettings(data=str(path), out=tmp_path / "run")
        assert "`bertune encode`" in str(caught.value.hint)
        assert "bertune.read_records" in str(caught.value.hint)
    with pytest.raises(DataError, match="holds TFRecords"):
        open_table(folder / "train.tf_record")
    (folder / "train.csv").write_text("text,label\n")
    refuse_records(folder)
