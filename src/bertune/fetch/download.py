"""One file over HTTP into a folder: resumed, checked, and there whole or not at all."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from shutil import disk_usage
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bertune.errors import CheckpointError
from bertune.fetch.checksums import digest_file, from_headers
from bertune.fetch.http_client import (
    COPY_HINT,
    is_final,
    make_client,
    opened,
    reason_of,
    unreachable,
)
from bertune.fetch.model_address import without_query
from bertune.fetch.part_file import FileState, PartFile, disk_errors, full

if TYPE_CHECKING:
    import httpx

# A server that is not reached at all is soon given up; one that was reached gets more patience.
_TRIES_TO_CONNECT = 2
_TRIES = 5
_FIRST_WAIT_SECONDS = 0.5
_MAX_WAIT_SECONDS = 60.0
# BERT-large with its optimizer's slots takes 4 GB.
MAX_FILE_BYTES = 20_000_000_000
# A file may take ten minutes, and what it needs at a speed below which nobody waits for a model: a server that sends a
# byte now and then, or has its rest asked for again and again, would else keep a process for ever.
_GRACE_SECONDS = 600.0
_SLOWEST_BYTES_PER_SECOND = 10_000
# Storage that does not show its lists answers 403 for a file that is not there, and 401 without a login.
_NOT_THERE = {401, 403, 404, 410}
_TRY_LATER = {408, 425, 429}
_NUMBER = "[0-9]{1,18}"
_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)


@dataclass(frozen=True)
class FetchProgress:
    """Progress of a download.

    Args:
        file: its name.
        done: bytes that are here.
        total: bytes in all; None where the server did not say.
        note: something that people should read, such as that a connection was cut; else empty.
    """

    file: str
    done: int = 0
    total: int | None = None
    note: str = ""


Report = Callable[[FetchProgress], None]


class _TryAgainError(Exception):
    """Trouble that may pass.

    Args:
        reason: in words.
        wait_seconds: that the server asked for.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _WrongSumError(Exception):
    """The file that came is not the one whose checksum the server gave."""


class Downloader:
    """Fetches files one after another over the same connection.

    Args:
        report: told how far it is; several times a second.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._client = make_client()
        self._was_reached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def fetch(self, url: str, target: Path, *, max_bytes: int = MAX_FILE_BYTES) -> str | None:
        """Fetches a file, or the rest of it where a part is here already.

        A file that is whole is asked for once more, and kept when the server says that it is the same.

        Args:
            url: of the file.
            target: where it goes; beside it `.part` and `.state` hold what is unfinished.
            max_bytes: a longer file is none of its kind, and nothing of it is kept.

        Returns:
            None when the file is here; else why the server does not have it.

        Raises:
            CheckpointError: the network's trouble did not pass, the server is too slow or the file too long, or the
                bytes are not those of the checksum twice.
            ResourceError: the disk has no room.
        """
        import httpx

        file = PartFile(target)
        self._max_bytes = max_bytes
        self._started, self._received = monotonic(), 0
        tries, farthest, was_wrong = 0, file.size, False
        while True:
            wait = 0.0
            try:
                return self._attempt(url, file)
            except _WrongSumError as error:
                file.discard()
                if was_wrong:
                    raise CheckpointError(
                        f"{without_query(url)}: damaged twice: {error}",
                        hint="something on the way changes the file; " + COPY_HINT,
                    ) from error
                was_wrong, reason = True, str(error)
            except (_TryAgainError, httpx.HTTPError) as error:
                reason = reason_of(error)
                # Bytes that were not here before are a success, however often the connection is cut.
                tries = 1 if file.size > farthest else tries + 1
                farthest = max(farthest, file.size)
                limit = _TRIES if self._was_reached else _TRIES_TO_CONNECT
                if tries >= limit or (isinstance(error, httpx.HTTPError) and is_final(error)):
                    raise unreachable(url, f"{reason} ({tries} tries)" if tries > 1 else reason) from error
                asked = error.wait_seconds if isinstance(error, _TryAgainError) else 0.0
                wait = min(max(asked, _FIRST_WAIT_SECONDS * 2 ** (tries - 1)), _MAX_WAIT_SECONDS)
            except httpx.InvalidURL as error:
                raise unreachable(url, reason_of(error)) from error
            self._report(FetchProgress(target.name, file.size, note=f"{target.name}: {reason}; trying again"))
            sleep(wait)
            self._refuse_slowness(url)

    def _attempt(self, url: str, file: PartFile) -> str | None:
        known = file.state
        with opened(self._client, url, _conditions(file, known)) as response:
            self._was_reached = True
            status = response.status_code
            if status in _NOT_THERE:
                return f"{status} {HTTPStatus(status).phrase}"
            if status in _TRY_LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                asked = response.headers.get("retry-after", "")
                raise _TryAgainError(f"the server answered {status}", float(asked) if asked.isdecimal() else 0.0)
            if status == HTTPStatus.NOT_MODIFIED and file.is_whole:
                return None
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and file.size:
                if response.headers.get("content-range") == f"bytes */{file.size}" and known.size == file.size:
                    # All was here already, but not yet checked when the process ended.
                    _finish(file, known)
                    return None
                file.discard()
                raise _TryAgainError(f"the server does not have the rest of a file of {known.size} bytes")
            if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise unreachable(url, f"the server answered {status}")
            return self._take(response, file, known)

    def _take(self, response: "httpx.Response", file: PartFile, known: FileState) -> str | None:
        """Reads the body of an answer that has one."""
        told = _state_of(response)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            start = file.size
            if not start or not _continues(response, start) or not known.is_same_file(told):
                file.discard()
                raise _TryAgainError("the server sent another part of the file, or of another file")
            # The size is that of the first answer: the two are equal where both are told.
            told = replace(told, size=told.size or known.size, checksums=known.checksums | told.checksums)
        else:
            start = 0
            if file.is_whole and known.validator and known.validator == told.validator and known.is_same_file(told):
                return None
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise unreachable(str(response.url), f"the server sends it packed ({encoding}), which nobody asked for")
        chunks = response.iter_raw()
        first = next(chunks, b"")
        if start == 0 and _is_page(first, response.headers.get("content-type", "")):
            return "a web page instead of the file"
        _check_size(response, told, file, start, self._max_bytes)
        self._receive(chain([first], chunks), file, told, start, str(response.url))
        _finish(file, told)
        return None

    def _receive(self, chunks: Iterator[bytes], file: PartFile, told: FileState, start: int, url: str) -> None:
        done = start
        with disk_errors(file.part), file.part.open("r+b" if start else "wb") as stream:
            if start:
                stream.seek(start)
            else:
                # Only now is nothing here of an earlier state of the file.
                file.target.unlink(missing_ok=True)
                file.keep_state(told)
            for chunk in chunks:
                stream.write(chunk)
                done += len(chunk)
                self._received += len(chunk)
                if done > self._max_bytes:
                    file.discard()
                    raise unreachable(url, f"more than {self._max_bytes:,} bytes, more than such a file of a BERT has")
                self._refuse_slowness(url)
                self._report(FetchProgress(file.target.name, done, told.size))
        if told.size is not None and done != told.size:
            raise _TryAgainError(f"the connection ended at {done:,} of {told.size:,} bytes")

    def _refuse_slowness(self, url: str) -> None:
        """Gives up a file that comes so slowly that it would not end."""
        allowed = _GRACE_SECONDS + self._received / _SLOWEST_BYTES_PER_SECOND
        if monotonic() - self._started > allowed:
            raise unreachable(
                url,
                f"{self._received:,} bytes came in {allowed:,.0f} seconds, which is too slow; "
                "the next try resumes where this one stopped",
            )


def _conditions(file: PartFile, known: FileState) -> dict[str, str]:
    """The headers that ask for no more than is missing, and for nothing of another state of the file."""
    if file.is_whole and known.validator:
        return {"If-None-Match": known.etag} if known.etag else {"If-Modified-Since": known.modified}
    if file.size and known.validator:
        return {"Range": f"bytes={file.size}-", "If-Range": known.validator}
    return {}


def _state_of(response: "httpx.Response") -> FileState:
    headers = response.headers
    is_whole = response.status_code == HTTPStatus.OK
    etag = headers.get("etag", "")
    length = headers.get("content-length" if is_whole else "content-range", "").rpartition("/")[2]
    return FileState(
        # A weak ETag stays when bytes change.
        etag=etag if etag.startswith('"') else "",
        modified=headers.get("last-modified", ""),
        size=int(length) if re.fullmatch(_NUMBER, length) else None,
        checksums=from_headers(headers, is_whole=is_whole),
    )


def _continues(response: "httpx.Response", start: int) -> bool:
    match = re.fullmatch(rf"bytes ({_NUMBER})-{_NUMBER}/({_NUMBER}|\*)", response.headers.get("content-range", ""))
    return match is not None and int(match[1]) == start


def _check_size(response: "httpx.Response", told: FileState, file: PartFile, start: int, max_bytes: int) -> None:
    """Refuses what could not be known to be whole, and what the disk has no room for, before anything is written."""
    chunked = response.headers.get("transfer-encoding", "").lower() == "chunked"
    if told.size is None and not chunked and not told.checksums:
        raise unreachable(str(response.url), "the server does not say how long it is, so a cut would not be seen")
    if (told.size or 0) > max_bytes:
        raise unreachable(str(response.url), f"{told.size:,} bytes, more than such a file of a BERT has")
    missing = (told.size or 0) - start
    free = disk_usage(file.part.parent).free
    if missing > free:
        raise full(file.part, f"needs {missing:,} bytes more, and the disk has {free:,} free")


def _is_page(first: bytes, content_type: str) -> bool:
    """Tells whether the first bytes are those of a web page, such as the log-in page of a firewall."""
    says_so = content_type.partition(";")[0].strip().endswith(("html", "xml"))
    return _PAGE.match(first) is not None or (says_so and first.lstrip()[:1] == b"<")


def _finish(file: PartFile, told: FileState) -> None:
    found = digest_file(file.part, {"sha256", *told.checksums})
    for algorithm, expected in told.checksums.items():
        if found[algorithm] != expected:
            raise _WrongSumError(f"its {algorithm} is {found[algorithm]}, the server says {expected}")
    file.finish(replace(told, size=file.size, sha256=found["sha256"]))
