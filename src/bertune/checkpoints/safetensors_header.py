"""The header of a safetensors file, believed only where the file's size confirms it.

Layout: 8 bytes of header length (little-endian), the header as JSON, the tensors' bytes without gap or overlap.

Source: https://github.com/huggingface/safetensors#format.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from bertune.errors import CheckpointError
from bertune.system.git_pointer import refuse_pointer

# The format allows 100 MB. BERT-large takes 50 kB; what JSON makes of 2 MB still fits in 64 MB of memory.
MAX_HEADER_BYTES = 2_000_000
_LENGTH_BYTES = 8
# The length, and enough of what follows to tell other formats.
_START_BYTES = 32
_MAX_NAME_CHARACTERS = 500
_ELEMENT_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 1),
}
_AGAIN = "download the file again and compare its size and SHA-256"
_PICKLE_HINT = "give a file that torch saved its own name, pytorch_model.bin, or take the model's .safetensors file"


@dataclass(frozen=True)
class HeaderEntry:
    """Header entry of one tensor.

    Args:
        shape: of the tensor.
        dtype: in the format's words, such as `F32`.
        begin: first byte, counted from the end of the header.
        end: the byte behind the last.
    """

    shape: tuple[int, ...]
    dtype: str
    begin: int
    end: int


def read_header(stream: BinaryIO, size: int, file: Path) -> dict[str, HeaderEntry]:
    """Reads and checks a header; no length in it is believed before the file's size confirms it.

    Args:
        stream: the file, at its beginning.
        size: of the file, in bytes.
        file: its name, for messages.

    Returns:
        The entries by tensor name.

    Raises:
        CheckpointError: the file is truncated, damaged, or of another format; names the file and the tensor.
    """
    # Every header begins with a brace, other formats do not.
    start = stream.read(_START_BYTES)
    header_bytes = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if size < _LENGTH_BYTES + 2:
        raise CheckpointError(f"{file}: only {size} bytes, not a safetensors file", hint="download the file again")
    if start[_LENGTH_BYTES:][:1] != b"{" or header_bytes > min(size - _LENGTH_BYTES, MAX_HEADER_BYTES):
        _refuse_other_formats(file, start)
        raise CheckpointError(
            f"{file}: truncated or not safetensors: the header claims {header_bytes:,} bytes, the file has {size:,}",
            hint=_AGAIN,
        )
    stream.seek(_LENGTH_BYTES)
    entries = _parse(file, stream.read(header_bytes))
    _check_offsets(file, entries, size - _LENGTH_BYTES - header_bytes)
    return entries


def _parse(file: Path, text: bytes) -> dict[str, HeaderEntry]:
    try:
        header = json.loads(
            text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    # ValueError: not UTF-8, not JSON, a name twice, or a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: the safetensors header is damaged ({error})", hint=_AGAIN) from error
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{file}: the metadata in the safetensors header are not texts by name", hint=_AGAIN)
    return {_checked_name(file, name): _entry(file, name, values) for name, values in header.items()}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _checked_name(file: Path, name: str) -> str:
    # Names are shown to people: line ends and terminal codes in them could show something else.
    if len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
        raise CheckpointError(f"{file}: the tensor name {name[:40]!a} is too long or not printable", hint=_AGAIN)
    return name


def _entry(file: Path, name: str, values: Any) -> HeaderEntry:
    try:
        shape, dtype, (begin, end) = values["shape"], values["dtype"], values["data_offsets"]
        if not all(_is_size(number) for number in [*shape, begin, end]) or not isinstance(shape, list):
            raise ValueError("expected whole numbers from 0")
        element_bytes = _ELEMENT_BYTES[dtype]
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: the header's entry for tensor {name} is malformed", hint=_AGAIN) from error
    if end - begin != math.prod(shape) * element_bytes:
        raise CheckpointError(
            f"{file}: tensor {name} takes the bytes {begin:,} to {end:,}, which do not hold its shape", hint=_AGAIN
        )
    return HeaderEntry(tuple(shape), dtype, begin, end)


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < 1 << 63


def _check_offsets(file: Path, entries: dict[str, HeaderEntry], data_bytes: int) -> None:
    """Demands that the tensors lie end to end and fill the file: nothing hides between, under or behind them."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.end > data_bytes:
            raise CheckpointError(
                f"{file}: truncated: tensor {name} needs {entry.end:,} bytes of data, the file has {data_bytes:,}",
                hint=_AGAIN,
            )
        if entry.begin != position:
            what = "overlaps the tensor before it" if entry.begin < position else "leaves a gap before it"
            raise CheckpointError(f"{file}: tensor {name} at byte {entry.begin:,} {what}", hint=_AGAIN)
        position = entry.end
    if position != data_bytes:
        raise CheckpointError(
            f"{file}: {data_bytes - position:,} bytes behind the last tensor belong to none", hint=_AGAIN
        )


def _refuse_other_formats(file: Path, start: bytes) -> None:
    """Judges by content, not by suffix."""
    refuse_pointer(file, start)
    is_zip = start.startswith(b"PK\x03\x04")
    if is_zip or (start[0] == 0x80 and start[1] <= 5):
        raise CheckpointError(f"{file}: a pickle, not safetensors", hint=_PICKLE_HINT)
    if start.lstrip().startswith(b"<"):
        raise CheckpointError(
            f"{file}: a web page, not the weights", hint="the download gave a page instead of the file; download again"
        )
