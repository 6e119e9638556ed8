"""Physical lines of a text file, with errors that know their line."""

import codecs
import io
from collections.abc import Iterator
from functools import partial
from typing import IO

from bertune.data.read_options import is_utf_8
from bertune.errors import DataError


class EncodingError(DataError):
    """Bytes that are no text in the encoding in which a file is read."""


LINE_LIMIT = 1 << 27
"""Most bytes in one line: several cells of the largest size, escaped."""


def text_lines(file: IO[bytes], path: str, encoding: str | None = None) -> Iterator[str]:
    r"""Decodes a file line by line.

    Lines end with a line feed and nothing else: a carriage return or U+2028 inside a text does not end it. A byte order
    mark at the very beginning is no part of the text.

    Args:
        file: the open file, at its beginning.
        path: how messages call it.
        encoding: of the file; None for UTF-8.

    Yields:
        Each line with its ending.

    Raises:
        EncodingError: a line is not in the encoding; names file, line and byte.
        DataError: a line is too long.
    """
    if is_utf_8(encoding):
        yield from _utf_8_lines(file, path)
    elif "\n".encode(encoding or "") == b"\n":
        # Every other encoding whose line feed is the byte of ASCII has it nowhere else.
        for line, raw in enumerate(_raw_lines(file, path), start=1):
            try:
                yield raw.decode(encoding or "")
            except UnicodeDecodeError as error:
                raise _not_in(path, line, raw, error, encoding or "") from error
    else:
        yield from _wide_lines(file, path, encoding or "")


def without_ending(line: str) -> str:
    r"""Takes off one ``\n`` or ``\r\n``; a carriage return elsewhere belongs to the text."""
    if line.endswith("\n"):
        return line[:-2] if line.endswith("\r\n") else line[:-1]
    return line


def is_single_byte(encoding: str) -> bool:
    """Tells whether every byte is a character of its own, so that next to nothing is not in this encoding."""
    try:
        return len(bytes(range(0x80, 0x100)).decode(encoding, "replace")) == 0x80 and not is_utf_8(encoding)
    except UnicodeError:
        return False


def is_utf_8_beyond_ascii(file: IO[bytes]) -> bool:
    """Tells whether the rest of a file is UTF-8 and not ASCII alone: text of a single-byte encoding never is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        for block in iter(partial(file.read, 1 << 20), b""):
            beyond = beyond or not block.isascii()
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return beyond


def _raw_lines(file: IO[bytes], path: str) -> Iterator[bytes]:
    for line, raw in enumerate(iter(partial(file.readline, LINE_LIMIT), b""), start=1):
        if len(raw) == LINE_LIMIT:
            raise _too_long(path, line)
        yield raw


def _utf_8_lines(file: IO[bytes], path: str) -> Iterator[str]:
    encoding = "utf-8-sig"
    for line, raw in enumerate(_raw_lines(file, path), start=1):
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, line, raw, error) from error
        encoding = "utf-8"


def _wide_lines(file: IO[bytes], path: str, encoding: str) -> Iterator[str]:
    """Decodes what cannot be cut at a byte, such as UTF-16."""
    lines = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    line = 0
    try:
        for line, text in enumerate(iter(partial(lines.readline, LINE_LIMIT), ""), start=1):
            if len(text) == LINE_LIMIT:
                raise _too_long(path, line)
            yield text.removeprefix("\ufeff") if line == 1 else text
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"{path}:{line + 1}: here or a little below it is not {encoding}: {error.reason}",
            hint="name another --encoding, or none for UTF-8",
        ) from error
    finally:
        if not file.closed:
            lines.detach()


def _too_long(path: str, line: int) -> DataError:
    return DataError(
        f"{path}:{line}: the line is longer than {LINE_LIMIT:,} bytes", hint="is this a text table with line feeds?"
    )


def _not_in(path: str, line: int, raw: bytes, error: UnicodeDecodeError, encoding: str) -> EncodingError:
    return EncodingError(
        f"{path}:{line}: not {encoding}: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line",
        hint="name another --encoding, or none for UTF-8",
    )


def _not_utf8(path: str, line: int, raw: bytes, error: UnicodeDecodeError) -> EncodingError:
    # utf-8-sig reports positions after the mark.
    offset = error.start + (len(raw) - len(error.object))
    try:
        raw.decode("cp1252")
        guess, hint = " (it may be WINDOWS-1252)", "if it is that, read it with --encoding cp1252"
    except UnicodeDecodeError:
        guess, hint = "", "name what it is with --encoding, such as gb18030, shift_jis or cp1251"
    return EncodingError(
        f"{path}:{line}: not UTF-8: byte 0x{raw[offset]:02x} at byte {offset + 1} of the line{guess}", hint=hint
    )
