"""The bytes of a file of text, unpacked where its name ends in .gz."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bertune.errors import DataError

PACKED = ".gz"
_ALWAYS_ALLOWED = 1 << 28
_RATIO = 200


def open_bytes(path: Path, shown: str) -> IO[bytes]:
    """Opens a file to be read.

    Args:
        path: the file.
        shown: how messages call it.

    Returns:
        A stream of its bytes, unpacked. Reading it raises DataError where the packed file is damaged, or holds more
        than 256 MiB and 200 times its size, as no text does.
    """
    return io.BufferedReader(_Unpacked(path, shown), 1 << 17) if path.suffix.lower() == PACKED else path.open("rb")


class _Unpacked(io.RawIOBase):
    """The content of a gzip file."""

    def __init__(self, path: Path, shown: str) -> None:
        self._shown = shown
        self._limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
        self._read = 0
        self._file = gzip.open(path, "rb")  # noqa: SIM115 (closed by `close`)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _damage_named(self._shown):
            count = self._file.readinto(buffer)
        self._read += count
        if self._read > self._limit:
            raise DataError(
                f"{self._shown} unpacks to more than {_RATIO} times its size, which no table of texts does",
                hint=f"if it is one, unpack it first: gunzip {self._shown}",
            )
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _damage_named(shown: str) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{shown} is damaged or cut short: {error}", hint="fetch or write the file again") from error
