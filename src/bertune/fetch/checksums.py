"""Checksums that a server sends beside a file, and those of the file that came."""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import google_crc32c

_CHUNK_BYTES = 1 << 20
# Header -> the algorithms in it that are checked, by their names here.
_HEADERS = {
    "x-goog-hash": {
        "crc32c": "crc32c",
        "md5": "md5",
    },  # https://cloud.google.com/storage/docs/xml-api/reference-headers
    "digest": {"sha-256": "sha256", "md5": "md5"},  # RFC 3230
    "repr-digest": {"sha-256": "sha256"},  # RFC 9530
}
_BYTES = {"crc32c": 4, "md5": 16, "sha256": 32}


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def from_headers(headers: Mapping[str, str], *, is_whole: bool) -> dict[str, str]:
    """Reads the checksums of a whole file from the headers of an answer.

    Args:
        headers: of the answer; equal names joined by commas.
        is_whole: whether the answer holds the whole file; `Content-MD5` is that of the answer alone.

    Returns:
        Algorithm (`crc32c`, `md5`, `sha256`) to its value in hexadecimal.
    """
    found: dict[str, str] = {}
    # Google computes its hashes over what is stored, which may be packed where what is sent is not.
    if headers.get("x-goog-stored-content-encoding", "identity") == "identity":
        _take(found, headers.get("x-goog-hash", ""), _HEADERS["x-goog-hash"])
    for name in ("digest", "repr-digest"):
        _take(found, headers.get(name, ""), _HEADERS[name])
    if is_whole:
        _take(found, f"md5={headers.get('content-md5', '')}", {"md5": "md5"})
    return found


def digest_file(path: Path, algorithms: Collection[str]) -> dict[str, str]:
    """Computes checksums of a file in one pass, 1 MiB at a time."""
    hashes: dict[str, _Hash] = {algorithm: _new(algorithm) for algorithm in algorithms}
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            for each in hashes.values():
                each.update(chunk)
    return {algorithm: each.digest().hex() for algorithm, each in hashes.items()}


def _new(algorithm: str) -> _Hash:
    if algorithm == "crc32c":
        checksum: _Hash = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        return checksum
    # MD5 is what old servers offer; it finds accidents, and https keeps attackers out.
    return hashlib.new(algorithm, usedforsecurity=False)


def _take(found: dict[str, str], value: str, names: Mapping[str, str]) -> None:
    """Adds the checksums of one header, `NAME=BASE64, …`; what is not one is left out."""
    for part in value.split(","):
        match = re.fullmatch(r"\s*([\w-]+)\s*=\s*:?([A-Za-z0-9+/]+=*):?\s*", part)
        algorithm = names.get(match[1].lower()) if match else None
        if match is None or algorithm is None:
            continue
        try:
            content = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            continue
        if len(content) == _BYTES[algorithm]:
            found[algorithm] = content.hex()
