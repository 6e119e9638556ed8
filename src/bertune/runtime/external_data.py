"""Weights that an ONNX file keeps in other files, which no export of bertune has: they could lie anywhere."""

import contextlib
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bertune.errors import CheckpointError
from bertune.system.protobuf_wire import LENGTH_DELIMITED, VARINT, WireError, raw_fields, read_varint

# Where messages hold messages that can hold a tensor, by the numbers of onnx.proto; source:
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
_INSIDE: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_MOST_NESTED: Final = 100
_LONGEST_NAME: Final = 1000


def refuse_external_data(path: Path) -> None:
    """Makes sure that an ONNX file holds all of its weights.

    Raises:
        CheckpointError: it names another file, is empty, or is no protocol buffer.
    """
    try:
        # Mapped, since of hundreds of megabytes of weights nothing but their heads is looked at.
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as whole,
        ):
            location = _external(whole, "model", 0)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not an ONNX file ({error})") from error
    if location is not None:
        raise CheckpointError(
            f"{path}: keeps weights in another file{location}, which no export of bertune does",
            hint="do not use it; export the model again: bertune export RUN OUT --format onnx",
        )


def _external(message: memoryview, kind: str, depth: int) -> str | None:
    """Returns what a message says of the first tensor that is kept elsewhere; None where there is none."""
    if depth > _MOST_NESTED:
        raise WireError("messages inside messages without end")
    for number, wire, value in raw_fields(message):
        with value:
            if kind == "tensor":
                if number == _EXTERNAL_DATA and wire == LENGTH_DELIMITED:
                    return f" ({_named(bytes(value[:_LONGEST_NAME]))})"
                if number == _DATA_LOCATION and wire == VARINT and read_varint(value, 0)[0] != 0:
                    return ""
            elif wire == LENGTH_DELIMITED and number in _INSIDE[kind]:
                found = _external(value, _INSIDE[kind][number], depth + 1)
                if found is not None:
                    return found
    return None


def _named(entry: bytes) -> str:
    """Returns key and value of an entry, `location: ../elsewhere`, as far as they can be read."""
    texts: list[str] = []
    with contextlib.suppress(WireError):
        texts.extend(text.decode("utf-8", "replace") for _, wire, text in raw_fields(entry) if wire == LENGTH_DELIMITED)
    return ": ".join(texts)
