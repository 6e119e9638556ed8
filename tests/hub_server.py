"""A stand-in of the Hugging Face hub: what of its HTTP interface an upload needs, on the loopback."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_REPOSITORY = r"/api/models/(?P<name>[\w.-]+/[\w.-]+)"
_ROUTES = {
    "create": ("POST", r"/api/repos/create"),
    "card": ("POST", r"/api/validate-yaml"),
    "branch": ("POST", rf"{_REPOSITORY}/branch/(?P<revision>.+)"),
    "preupload": ("POST", rf"{_REPOSITORY}/preupload/(?P<revision>.+)"),
    "commit": ("POST", rf"{_REPOSITORY}/commit/(?P<revision>.+)"),
    "batch": ("POST", r"/(?P<name>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch"),
    "object": ("PUT", r"/objects/(?P<oid>[0-9a-f]{64})"),
    "info": ("GET", rf"{_REPOSITORY}(/revision/(?P<revision>.+))?"),
}


@dataclass
class Repository:
    """A model repository.

    Args:
        private: whether its owner alone may see it.
        branches: the files of each by their names.
        commits: message of each.
        pull_requests: how many were opened.
    """

    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[str] = field(default_factory=list)
    pull_requests: int = 0


class Hub(ThreadingHTTPServer):
    """Keeps what it was sent.

    Args:
        large: from how many bytes on a file is an object of the store for large files.
    """

    daemon_threads = True

    def __init__(self, large: int = 2**40) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.large = large
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        # What to answer instead, by the name of a route; of the store "quota" is an error of the object.
        self.refusals: dict[str, tuple[int, str]] = {}
        # After how many bytes of an object the connection breaks; None never.
        self.breaks_after: int | None = None
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        return self.repositories[name].branches[branch]

    def count(self, route: str) -> int:
        return self.asked.count(route)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        self._route()

    def _route(self) -> None:
        hub, path = self.server, urlsplit(self.path).path
        routes = {
            route: re.fullmatch(form, path) for route, (method, form) in _ROUTES.items() if method == self.command
        }
        route, found = next(((route, found) for route, found in routes.items() if found), ("", None))
        if found is None:
            self._answer({"error": f"no route {self.path}"}, 404)
            return
        hub.asked.append(route)
        if route not in ("object", "card"):  # addresses of the store hold their own right, and a card is no secret
            hub.tokens.add(self.headers["Authorization"])
        named = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
        if route == "object" and hub.breaks_after is not None:
            self.rfile.read(hub.breaks_after)
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        if route in hub.refusals:
            status, message = hub.refusals[route]
            self._answer({"error": message}, status)
            return
        getattr(self, f"_{route}")(body, **named)

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        answer = {"url": f"{self.server.address}/{name}", "id": name}
        if name in self.server.repositories:
            self._answer({"error": "You already created this model repo", **answer}, 409)
            return
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.server.repositories[name] = Repository(private)
        self._answer(answer)

    def _card(self, body: bytes) -> None:
        known = "license: nonsense" not in json.loads(body)["content"]
        errors = [] if known else [{"message": '"license" must be one of [apache-2.0, mit, …]'}]
        self._answer({"errors": errors, "warnings": []}, 200 if known else 400)

    def _branch(self, body: bytes, name: str, revision: str) -> None:
        branches = self.server.repositories[name].branches
        if revision in branches:
            self._answer({"error": "Reference already exists"}, 409)
            return
        branches[revision] = dict(branches["main"])
        self._answer({})

    def _preupload(self, body: bytes, name: str, revision: str) -> None:
        there = self.server.files(name, revision)
        answers = []
        for file in json.loads(body)["files"]:
            is_large = file["size"] >= self.server.large
            answer = {"path": file["path"], "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}
            if file["path"] in there:
                content = there[file["path"]]
                blob = b"blob %d\0%s" % (len(content), content)
                answer["oid"] = (
                    hashlib.sha256(content) if is_large else hashlib.sha1(blob, usedforsecurity=False)
                ).hexdigest()
            answers.append(answer)
        self._answer({"files": answers})

    def _batch(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            entry: dict[str, Any] = {"oid": each["oid"], "size": each["size"]}
            if "quota" in self.server.refusals:
                status, message = self.server.refusals["quota"]
                entry["error"] = {"code": status, "message": message}
            elif each["oid"] not in self.server.objects:
                entry["actions"] = {"upload": {"href": f"{self.server.address}/objects/{each['oid']}"}}
            objects.append(entry)
        self._answer({"transfer": "basic", "objects": objects})

    def _object(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self._answer({})

    def _commit(self, body: bytes, name: str, revision: str) -> None:
        repository = self.server.repositories[name]
        as_request = "create_pr=1" in self.path
        if as_request:
            repository.pull_requests += 1
            repository.branches[f"refs/pr/{repository.pull_requests}"] = dict(repository.branches[revision])
            revision = f"refs/pr/{repository.pull_requests}"
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.branches[revision][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.branches[revision][value["path"]] = self.server.objects[value["oid"]]
            else:
                repository.commits.append(value["summary"])
        number = len(repository.commits)
        request = f"{self.server.address}/{name}/discussions/{repository.pull_requests}"
        self._answer(
            {
                "commitUrl": f"https://huggingface.co/{name}/commit/{number}",
                "commitOid": f"{number:040d}",
                "hookOutput": "",
                **({"pullRequestUrl": request} if as_request else {}),
            }
        )

    def _info(self, body: bytes, name: str, revision: str = "main") -> None:
        repository = self.server.repositories.get(name)
        if repository is None:
            self._answer({"error": "Repository not found"}, 404)
            return
        sha = f"{len(repository.commits):040d}"
        self._answer({"id": name, "sha": sha, "private": repository.private, "siblings": []})

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, values: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
