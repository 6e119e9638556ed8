"""Physical lines of a UTF-8 file, with errors that know their line."""

from collections.abc import Iterator
from functools import partial
from typing import IO

from bertune.errors import DataError

LINE_LIMIT = 1 << 27
"""Most bytes in one line: several cells of the largest size, escaped."""


def text_lines(file: IO[bytes], path: str) -> Iterator[str]:
    r"""Decodes a file line by line.

    Lines end with a line feed and nothing else: a carriage return or U+2028 inside a text does not end it. A byte order
    mark at the very beginning is no part of the text.

    Args:
        file: the open file, at its beginning.
        path: how messages call it.

    Yields:
        Each line with its ending.

    Raises:
        DataError: a line is not UTF-8 or too long; names file, line and byte.
    """
    encoding = "utf-8-sig"
    for line, raw in enumerate(iter(partial(file.readline, LINE_LIMIT), b""), start=1):
        if len(raw) == LINE_LIMIT:
            raise DataError(
                f"{path}:{line}: the line is longer than {LINE_LIMIT:,} bytes",
                hint="is this a text table with line feeds?",
            )
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, line, raw, error) from error
        encoding = "utf-8"


def without_ending(line: str) -> str:
    r"""Takes off one ``\n`` or ``\r\n``; a carriage return elsewhere belongs to the text."""
    if line.endswith("\n"):
        return line[:-2] if line.endswith("\r\n") else line[:-1]
    return line


def _not_utf8(path: str, line: int, raw: bytes, error: UnicodeDecodeError) -> DataError:
    # utf-8-sig reports positions after the mark.
    offset = error.start + (len(raw) - len(error.object))
    try:
        raw.decode("cp1252")
        likely = "WINDOWS-1252"
    except UnicodeDecodeError:
        likely = "ENCODING"
    guess = f" (it may be {likely})" if likely != "ENCODING" else ""
    return DataError(
        f"{path}:{line}: not UTF-8: byte 0x{raw[offset]:02x} at byte {offset + 1} of the line{guess}",
        hint=f"convert the file: iconv -f {likely} -t UTF-8 {path} > NEW",
    )
