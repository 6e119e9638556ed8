"""A web server for tests that behaves as badly as it is told."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass
class Served:
    """A file, and how it is served.

    Args:
        content: of the file.
        cuts: after how many bytes of the body the connection is cut, for the first, second, … request.
        statuses: answered to the first, second, … request before the file is given.
        ranges: whether parts are given.
        largest_range: bytes of a part at most.
        if_range: whether `If-Range` is looked at.
        conditional: whether `If-None-Match` and `If-Modified-Since` are.
        etag: None for none; by default that of the content.
        modified: whether the time of the last change is told.
        headers: more of them.
        length: what `Content-Length` claims; -1 to leave it out.
        chunked: sends it in chunks, without a length.
        location: leads on to another address.
        pause_seconds: after each 8 kB.
        silent: requests that get the headers and then nothing until the client gives up.
    """

    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    largest_range: int | None = None
    if_range: bool = True
    conditional: bool = True
    etag: str | None = "of the content"
    modified: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunked: bool = False
    location: str = ""
    pause_seconds: float = 0.0
    silent: int = 0

    @property
    def tag(self) -> str | None:
        return f'"{sha256(self.content).hexdigest()[:16]}"' if self.etag == "of the content" else self.etag


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    status: int = 0


class ModelServer(ThreadingHTTPServer):
    """Serves `files`, by their paths with a slash before them; `requests` tells what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []
        self.not_found = Served(b"not here")
        self.not_found_status = 404

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_folder(self, folder: Path, path: str, **how: Any) -> None:
        """Serves all files of a folder under a path."""
        for file in folder.rglob("*"):
            if file.is_file():
                self.files[f"{path}/{file.relative_to(folder).as_posix()}"] = Served(file.read_bytes(), **how)

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away; that is what is tested."""


@contextmanager
def serving() -> Iterator[ModelServer]:
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        request = Request(path, {name.lower(): value for name, value in self.headers.items()})
        self.server.requests.append(request)
        file = self.server.files.get(path)
        if file is None:
            self._answer(self.server.not_found, self.server.not_found_status, request)
        elif file.location:
            request.status = 302
            self.send_response(302)
            self.send_header("Location", file.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif file.statuses:
            self._answer(Served(b"later", headers=file.headers), file.statuses.pop(0), request)
        elif file.conditional and self._is_unchanged(file):
            request.status = 304
            self.send_response(304)
            self.end_headers()
        else:
            self._give(file, request)

    def _is_unchanged(self, file: Served) -> bool:
        by_tag = file.tag is not None and self.headers.get("If-None-Match") == file.tag
        return by_tag or (file.modified and "If-Modified-Since" in self.headers)

    def _give(self, file: Served, request: Request) -> None:
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        same = not file.if_range or self.headers.get("If-Range") in (None, file.tag, _DATE)
        if not asked or not file.ranges or not same:
            self._answer(file, 200, request)
        elif start >= len(file.content):
            request.status = 416
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(file.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(file, 206, request, start)

    def _answer(self, file: Served, status: int, request: Request, start: int = 0) -> None:
        request.status = status
        body = file.content[start:]
        if status == 206:
            body = body[: file.largest_range]
        self.send_response(status)
        if status == 206:
            end = start + len(body) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(file.content)}")
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif file.length != -1:
            self.send_header("Content-Length", str(len(body) if file.length is None else file.length - start))
        if file.length == -1:
            self.close_connection = True
        if file.tag is not None:
            self.send_header("ETag", file.tag)
        if file.modified:
            self.send_header("Last-Modified", _DATE)
        for name, value in file.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(file, body)

    def _send(self, file: Served, body: bytes) -> None:
        if file.silent:
            file.silent -= 1
            time.sleep(2)
            self.close_connection = True
            return
        cut = file.cuts.pop(0) if file.cuts else None
        for offset in range(0, len(body[:cut]), 8192):
            piece = body[:cut][offset : offset + 8192]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if file.chunked else piece)
            time.sleep(file.pause_seconds)
        if cut is not None or (file.length or 0) > len(file.content):
            self.close_connection = True
        elif file.chunked:
            self.wfile.write(b"0\r\n\r\n")


_DATE = formatdate(1_580_000_000, usegmt=True)
