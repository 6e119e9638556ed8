"""A server in a process of its own, asked over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

READY_SECONDS = 120


class ServingProcess:
    """`bertune serve` with a free port, once it answers.

    Args:
        arguments: of the verb.
    """

    def __init__(self, *arguments: str, **variables: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bertune", "serve", *arguments, "--port", "0", "--json"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(READY_SECONDS) or self.process.poll() is not None:
            self.process.kill()
            raise AssertionError("".join(self.lines))
        self.address = next(event["address"] for event in self.events("listening"))
        self.port = int(self.address.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.address, timeout=60)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if '"listening"' in line:
                self._listening.set()
        self._listening.set()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name so far."""
        found = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def connect(self) -> socket.socket:
        """A plain connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def ends(self, seconds: float = 30) -> int:
        """Waits for the end, and returns the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def close(self) -> None:
        """Ends it, where it has not ended."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[ServingProcess]:
    """A server for as long as the context lasts."""
    process = ServingProcess(*arguments, **variables)
    try:
        yield process
    finally:
        process.close()


def received(connection: socket.socket, seconds: float = 60) -> bytes:
    """All that comes until the other side closes."""
    connection.settimeout(seconds)
    content = b""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            part = connection.recv(65_536)
        except ConnectionResetError:
            break
        if not part:
            break
        content += part
    return content


class Askers:
    """Clients that ask again and again, each on a connection of its own, until an answer says that it is the last.

    Args:
        address: of the server.
        count: of the clients; all of them are connected when this returns.
    """

    def __init__(self, address: str, count: int) -> None:
        self.answers: list[int] = []
        self.lost: list[BaseException] = []
        self._address = address
        self._begun = threading.Barrier(count + 1)
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self._begun.wait(60)

    def join(self) -> None:
        """Waits until all have had their last answer."""
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._address, timeout=60) as client:
            client.get("/healthz")
            self._begun.wait(60)
            try:
                while True:
                    answer = client.post("/predict", json={"inputs": [["film " * 50]] * 8})
                    self.answers.append(answer.status_code)
                    if answer.headers.get("connection") == "close":
                        return
            except BaseException as error:
                self.lost.append(error)
