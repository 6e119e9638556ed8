"""TFRecord files: records one after another, each with checksums of its length and its content.

A record is `uint64 length | uint32 masked CRC32C of the length | content | uint32 masked CRC32C of the content`, little
endian (tensorflow/core/lib/io/record_writer.h). It lives in this room because prepared TFDS folders are read here.
"""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from bertune.errors import DataError
from bertune.system.bounded_file import refuse_pipe
from bertune.system.masked_crc import crc32c, masked

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_OVERHEAD = _HEADER.size + _FOOTER.size
# Read in pieces of this size, so that small records cost no system call each.
_BUFFER_BYTES = 1 << 20
_AGAIN = "fetch or write the file again"
_SUFFIXES = (".tfrecord", ".tf_record", ".tfrecords", ".record")


def is_record_file(path: Path) -> bool:
    """Tells by the name whether a file holds TFRecords: `eval.tf_record`, `train.tfrecord-00000-of-00004`."""
    return any(suffix in _SUFFIXES or suffix.startswith(".tfrecord") for suffix in path.suffixes)


def refuse_records(path: str | os.PathLike[str]) -> None:
    """Refuses TFRecords where texts are needed.

    Raises:
        DataError: the path leads to one, or to a folder with nothing else in it.
    """
    place = Path(path)
    files = [place] if place.is_file() else list(place.iterdir()) if place.is_dir() else []
    if files and all(file.is_file() and is_record_file(file) for file in files):
        raise DataError(
            f"{path} holds TFRecords, whose token ids do not say which tokenizer made them: nothing can be trained on "
            "or predicted from them alone",
            hint="encode the texts themselves with `bertune encode`, whose folders are read here; in Python "
            "bertune.read_records(PATH) gives the ids; `bertune inspect PATH` shows what is in them",
        )


def masked_crc32c(content: bytes) -> int:
    """CRC32C, rotated and shifted by a constant as TensorFlow does, so that checksums of checksums stay good."""
    return masked(crc32c((content,)))


def frame_record(content: bytes) -> bytes:
    """Gives a record as it stands in a file: length, content and both checksums."""
    length = _LENGTH.pack(len(content))
    crc_of_length, crc = _FOOTER.pack(masked_crc32c(length)), _FOOTER.pack(masked_crc32c(content))
    return b"".join((length, crc_of_length, content, crc))


def read_records_of(path: str | Path, *, shown: str | None = None) -> Iterator[tuple[int, bytes]]:
    """Reads the records of a file and checks both checksums of each.

    A length is believed only after its checksum is right and the file is long enough, so no damaged file makes the
    reader allocate more than the file's own size.

    Args:
        path: the file.
        shown: how messages call it, if not by its path.

    Yields:
        Where the record begins (bytes from the start of the file), and its content.

    Raises:
        DataError: the file cannot be read, or a record is cut off or not what was written; names file and offset.
    """
    name = str(path) if shown is None else shown
    refuse_pipe(path, shown=name, error=DataError)
    try:
        with Path(path).open("rb", buffering=_BUFFER_BYTES) as file:
            size = os.fstat(file.fileno()).st_size
            offset = 0
            while offset < size:
                content = _read_one(file.read, name, offset, size)
                yield offset, content
                offset += len(content) + _OVERHEAD
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error


def _read_one(read: Callable[[int], bytes], name: str, offset: int, size: int) -> bytes:
    header = read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise _truncated(name, offset, f"{len(header)} of the {_HEADER.size} bytes of its header are there")
    length, crc_of_length = _HEADER.unpack(header)
    if masked_crc32c(header[: _LENGTH.size]) != crc_of_length:
        hint = "the file is gzip-compressed; unpack it first" if header[:2] == b"\x1f\x8b" and offset == 0 else _AGAIN
        raise DataError(f"{name}: corrupted record at {offset}: the checksum of its length does not match", hint=hint)
    there = size - offset - _OVERHEAD
    if length > there:
        raise _truncated(name, offset, f"its content has {length:,} bytes, but only {max(there, 0):,} follow")
    content = read(length)
    footer = read(_FOOTER.size)
    if len(content) < length or len(footer) < _FOOTER.size:
        raise _truncated(name, offset, "the file became shorter while it was read")
    if masked_crc32c(content) != _FOOTER.unpack(footer)[0]:
        raise DataError(
            f"{name}: corrupted record at {offset}: the checksum of its content does not match", hint=_AGAIN
        )
    return content


def _truncated(name: str, offset: int, why: str) -> DataError:
    return DataError(f"{name}: truncated record at {offset}: {why}", hint=_AGAIN)
