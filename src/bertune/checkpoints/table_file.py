"""The sorted table in which TensorFlow keeps the index of a checkpoint.

Layout (that of LevelDB): blocks, the last of them an index of the others; a footer of 48 bytes with the places of two
blocks and a magic number. A block is entries with prefix-compressed keys, an array of restart positions, one byte that
names the compression, and a masked CRC32C over all that.

Source: https://github.com/google/leveldb/blob/main/doc/table_format.md.
"""

from collections.abc import Iterator
from pathlib import Path

from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.git_pointer import refuse_pointer
from bertune.system.masked_crc import crc32c, masked
from bertune.system.protobuf_wire import WireError, read_varint

AGAIN = "copy or download the file again and compare its size and checksum"
# BERT-large with all its optimizer's slots takes 200 kB; the bounds keep hostile files below 64 MB of memory.
_MAX_FILE_BYTES = 8_000_000
_MAX_ENTRIES = 50_000
_MAX_ENTRY_BYTES = 12_000_000
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_MAGIC = bytes.fromhex("57fb808b247547db")
_SNAPPY = 1


def read_table(file: Path) -> dict[bytes, bytes]:
    """Reads every entry of a table, checking the CRC32C of every block.

    Raises:
        CheckpointError: the file is missing, too large, truncated, damaged, compressed or of another format; names the
            file and the offset.
    """
    content = memoryview(_read_file(file))
    meta, index = _footer(file, content)
    _block(file, content, *meta)
    entries: dict[bytes, bytes] = {}
    # Else a small file could have a large block checked again and again.
    blocks: set[int] = set()
    block_bytes = 0
    total = 0
    for _, handle in _entries(file, _block(file, content, *index), index[0]):
        offset, size, _ = _handle(file, memoryview(handle), 0)
        if offset in blocks:
            raise CheckpointError(f"{file}: damaged: the block at offset {offset:,} is named twice", hint=AGAIN)
        blocks.add(offset)
        block_bytes += size
        if block_bytes > len(content):
            raise CheckpointError(f"{file}: damaged: the block at offset {offset:,} overlaps others", hint=AGAIN)
        for key, value in _entries(file, _block(file, content, offset, size), offset):
            total += len(key) + len(value)
            if key in entries or len(entries) >= _MAX_ENTRIES or total > _MAX_ENTRY_BYTES:
                raise CheckpointError(f"{file}: offset {offset}: a name twice, or more entries than any BERT has")
            entries[key] = value
    return entries


def _read_file(file: Path) -> bytes:
    content = read_bounded(file, _MAX_FILE_BYTES)
    refuse_pointer(file, content)
    return content


def _footer(file: Path, content: memoryview) -> tuple[tuple[int, int], tuple[int, int]]:
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or footer[-len(_MAGIC) :] != _MAGIC:
        raise CheckpointError(
            f"{file}: truncated or not the index of a TensorFlow checkpoint: the magic number {_MAGIC.hex()} is not at "
            f"its end (the file has {len(content):,} bytes)",
            hint=AGAIN,
        )
    meta_offset, meta_size, position = _handle(file, footer, 0)
    index_offset, index_size, _ = _handle(file, footer, position)
    return (meta_offset, meta_size), (index_offset, index_size)


def _handle(file: Path, data: memoryview, position: int) -> tuple[int, int, int]:
    """Reads where a block is: its offset and its size; also returns the position behind them."""
    try:
        offset, position = read_varint(data, position)
        size, position = read_varint(data, position)
    except WireError as error:
        raise CheckpointError(f"{file}: the place of a block is damaged ({error})", hint=AGAIN) from error
    return offset, size, position


def _block(file: Path, content: memoryview, offset: int, size: int) -> memoryview:
    """Returns the entries and restarts of a block whose CRC was checked."""
    end = offset + size + _TRAILER_BYTES
    if end > len(content) - _FOOTER_BYTES:
        raise CheckpointError(
            f"{file}: truncated: a block of {size:,} bytes at offset {offset:,} reaches behind the end "
            f"({len(content):,} bytes)",
            hint=AGAIN,
        )
    stored = int.from_bytes(content[end - 4 : end], "little")
    if masked(crc32c([content[offset : end - 4]])) != stored:
        raise CheckpointError(f"{file}: damaged: the CRC32C of the block at offset {offset:,} is wrong", hint=AGAIN)
    compression = content[offset + size]
    if compression != 0:
        name = "snappy" if compression == _SNAPPY else f"kind {compression}"
        raise CheckpointError(
            f"{file}: the block at offset {offset:,} is compressed ({name}); bertune reads uncompressed indexes",
            hint="TensorFlow writes them uncompressed; save the checkpoint again with tf.train.Checkpoint or Saver",
        )
    return content[offset : offset + size]


def _entries(file: Path, block: memoryview, offset: int) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little") if len(block) >= 4 else -1
    end = len(block) - 4 * (restarts + 1)
    if restarts < 0 or end < 0:
        raise CheckpointError(f"{file}: damaged: the block at offset {offset:,} has no restart array", hint=AGAIN)
    key, position, count = b"", 0, 0
    try:
        while position < end:
            count += 1
            key, value, position = _entry(block[:end], position, key)
            if count > _MAX_ENTRIES:
                raise WireError("more entries than any BERT has")
            yield key, value
    except WireError as error:
        raise CheckpointError(f"{file}: damaged: the block at offset {offset:,}: {error}", hint=AGAIN) from error


def _entry(data: memoryview, position: int, previous: bytes) -> tuple[bytes, bytes, int]:
    shared, position = read_varint(data, position)
    fresh, position = read_varint(data, position)
    length, position = read_varint(data, position)
    if shared > len(previous) or position + fresh + length > len(data):
        raise WireError("an entry reaches behind the end")
    key = previous[:shared] + bytes(data[position : position + fresh])
    return key, bytes(data[position + fresh : position + fresh + length]), position + fresh + length
