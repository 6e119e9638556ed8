"""The binary form of tensors in the Open Inference Protocol: their bytes behind the JSON.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bertune.serving.refused_request import RefusedError

HEADER: Final = "inference-header-content-length"
_LENGTH: Final = struct.Struct("<I")
_NUMBERS: Final = {"FP32": "<f4", "INT64": "<i8"}


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """Splits a body into its JSON and the tensors behind it.

    Args:
        body: of the request.
        header_length: the header of the extension; None where there is none.

    Raises:
        RefusedError: the header says something that cannot be.
    """
    if header_length is None:
        return body, b""
    if not header_length.isdecimal() or len(header_length) > 9 or int(header_length) > len(body):
        raise RefusedError("malformed", "Inference-Header-Content-Length does not fit the body")
    return body[: int(header_length)], body[int(header_length) :]


def texts_in(content: bytes) -> list[str]:
    """Reads a tensor of texts: each with its length before it.

    Raises:
        RefusedError: it is cut off, or a text is not UTF-8.
    """
    texts = []
    place = 0
    while place < len(content):
        start = place + _LENGTH.size
        place = start + (_LENGTH.unpack_from(content, place)[0] if start <= len(content) else len(content))
        if place > len(content):
            raise RefusedError("malformed", "a binary tensor of texts is cut off")
        try:
            texts.append(content[start:place].decode("utf-8"))
        except UnicodeDecodeError:
            raise RefusedError("malformed", "a text of a binary tensor is not UTF-8") from None
    return texts


def binary_tensor(datatype: str, values: Sequence[Any]) -> bytes:
    """Writes a tensor.

    Args:
        datatype: BYTES, FP32 or INT64.
        values: texts, or numbers, nested or not.
    """
    if datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(text)) + text for text in (value.encode() for value in values))
    return np.asarray(values, _NUMBERS[datatype]).tobytes()
