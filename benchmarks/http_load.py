"""Requests over loopback, as many and as fast as told, by plain connections that are kept open."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Connection:
    """One connection to a server, which asks one request at a time.

    Args:
        port: on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Returns status and body.

        Raises:
            OSError, EOFError: the server has closed the connection.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), content

    @property
    def is_open(self) -> bool:
        """Whether the server may be asked again without another connection."""
        return self._streams is not None

    def close(self) -> None:
        """Closes it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Answers:
    """What came back.

    Args:
        seconds: of each answer, by status.
        lost: requests that got none.
        unsent: requests for which no connection was free.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    unsent: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Answers of each status."""
        return {str(status): len(seconds) for status, seconds in sorted(self.seconds.items())}

    async def ask(self, connection: Connection, body: bytes) -> int | None:
        """Asks for one prediction; None where there is no answer."""
        begun = time.perf_counter()
        try:
            status, _ = await connection.ask("POST", "/predict", body)
        except (OSError, EOFError):
            connection.close()
            self.lost += 1
            return None
        self.seconds.setdefault(status, []).append(time.perf_counter() - begun)
        return status


def bodies_of(pairs: Sequence[tuple[str, str]]) -> list[bytes]:
    """Makes the body of a request of each pair."""
    return [json.dumps({"inputs": list(pair)}).encode() for pair in pairs]


async def one_after_another(port: int, bodies: Sequence[bytes], count: int) -> Answers:
    """Asks by one connection, each request after the answer before."""
    connection, answers = Connection(port), Answers()
    for number in range(count):
        await answers.ask(connection, bodies[number % len(bodies)])
    connection.close()
    return answers


async def in_parallel(
    port: int, bodies: Sequence[bytes], *, connections: int, seconds: float, until_closed: bool = False
) -> Answers:
    """Asks by several connections, each request after the answer before on its own.

    Args:
        port: of the server.
        bodies: in turn.
        connections: at a time.
        seconds: for so long at most.
        until_closed: whether a connection that the server closes with an answer is the end, no loss.
    """
    answers, ends = Answers(), time.perf_counter() + seconds

    async def one(place: int) -> None:
        connection, number = Connection(port), place
        while time.perf_counter() < ends:
            status = await answers.ask(connection, bodies[number % len(bodies)])
            number += connections
            if until_closed and not connection.is_open:
                return
            if status is None:
                await asyncio.sleep(0.01)
        connection.close()

    await asyncio.gather(*map(one, range(connections)))
    return answers


async def at_a_rate(port: int, bodies: Sequence[bytes], *, rate: float, seconds: float, connections: int) -> Answers:
    """Asks so many requests a second, whether or not there are answers.

    Args:
        port: of the server.
        bodies: in turn.
        rate: requests a second.
        seconds: for so long.
        connections: at a time; a request that finds none free is counted and not sent.
    """
    answers, free = Answers(), [Connection(port) for _ in range(connections)]
    waiting: set[asyncio.Task[Any]] = set()
    begun = time.perf_counter()

    async def one(connection: Connection, body: bytes) -> None:
        await answers.ask(connection, body)
        free.append(connection)

    number = 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        for _ in range(int(elapsed * rate) - number):
            number += 1
            if not free:
                answers.unsent += 1
                continue
            task = asyncio.ensure_future(one(free.pop(), bodies[number % len(bodies)]))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(0.002)
    await asyncio.gather(*waiting)
    for connection in free:
        connection.close()
    return answers


async def slow_connections(port: int, count: int, seconds: float) -> list[float]:
    """Opens connections that send a byte a second: half of them a head, half of them a body.

    Returns:
        Seconds after which each was closed; those that were not are as old as the waiting.
    """

    async def one(place: int) -> float:
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /predict HTTP/1.1\r\nX: ")
        if place % 2:
            writer.write(b"y\r\nContent-Length: 1000\r\n\r\n")
        closed = asyncio.ensure_future(reader.read())
        while not closed.done() and time.perf_counter() - begun < seconds:
            try:
                writer.write(b"y")
                await asyncio.wait({closed}, timeout=1)
            except OSError:
                break
        closed.cancel()
        writer.close()
        return time.perf_counter() - begun

    return await asyncio.gather(*map(one, range(count)))


async def numbers_of(port: int) -> dict[str, float]:
    """Reads the numbers of the server that have no labels."""
    connection = Connection(port)
    _, content = await connection.ask("GET", "/metrics")
    connection.close()
    lines = (line.split() for line in content.decode().splitlines() if not line.startswith("#") and "{" not in line)
    return {words[0]: float(words[1]) for words in lines}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": len(ordered) // 2, "p99": min(len(ordered) - 1, int(len(ordered) * 0.99))}
    return {name: round(ordered[place] * 1000, 3) for name, place in at.items()}
