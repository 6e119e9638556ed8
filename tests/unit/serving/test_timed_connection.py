"""Connections whose clients are slow, or too many, on a real socket with short deadlines."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.serving.stand_ins import in_loop, served

from bertune.serving.http_server import DrainingServer, address_of, listening_socket
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.timed_connection import TimedConnection

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
BODY = b'{"inputs": "good"}'
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@contextlib.asynccontextmanager
async def listening(folder: Path, limits: ServingLimits) -> AsyncIterator[int]:
    """A server on a free port, without the signals of a process."""
    async with served(folder, limits=limits) as inside:
        server = DrainingServer(inside.app, limits)
        server.capture_signals = contextlib.nullcontext
        with listening_socket("127.0.0.1", 0) as taken:
            port = int(address_of(taken).rpartition(":")[2])
            serving = asyncio.ensure_future(server.serve(sockets=[taken]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield port
            server.should_exit = True
            inside.state.is_stopping = True
            await serving
            gc.unfreeze()


async def sent(port: int, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """What comes back until the server closes, and after how many seconds."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.ensure_future(reader.read())
    with contextlib.suppress(OSError):
        for part in parts:
            if answer.done():
                break
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    content = await asyncio.wait_for(answer, 20)
    writer.close()
    return content, time.monotonic() - begun


def test_heads_and_bodies_that_come_byte_by_byte_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedConnection, "header_seconds", 0.3)
    monkeypatch.setattr(TimedConnection, "body_seconds", 0.6)

    async def ask() -> None:
        async with listening(tmp_path, ServingLimits(drain_timeout=5)) as port:
            nothing, slow_head, slow_body, second_head = await asyncio.gather(
                sent(port),
                sent(port, *(bytes([byte]) for byte in HEAD), pause=0.05),
                sent(port, HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 100, pause=0.05),
                sent(port, WHOLE, *(bytes([byte]) for byte in HEAD), pause=0.05),
            )
            for content, seconds in (nothing, slow_head):
                assert content.startswith(b"HTTP/1.1 408 ")
                assert 0.25 < seconds < 5
            assert slow_body[0].startswith(b"HTTP/1.1 408 ")
            assert 0.5 < slow_body[1] < 5
            # An idle connection may wait, a head that has begun may not.
            assert second_head[0].startswith(b"HTTP/1.1 200 ")
            assert b"HTTP/1.1 408 " in second_head[0]

    in_loop(ask())


def test_connections_beyond_the_most_are_told_so(tmp_path: Path) -> None:
    async def ask() -> None:
        async with listening(tmp_path, ServingLimits(max_connections=3, drain_timeout=5)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await asyncio.sleep(0.1)
            content, _ = await sent(port, WHOLE)
            assert content.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after" in content
            held[0][1].write(WHOLE)
            assert (await held[0][0].readline()).startswith(b"HTTP/1.1 200 ")
            held[1][1].close()
            await asyncio.sleep(0.1)
            content, _ = await sent(port, WHOLE.replace(b"Host: a", b"Host: a\r\nConnection: close"))
            assert content.startswith(b"HTTP/1.1 200 ")
            for _, writer in held:
                writer.close()

    in_loop(ask())


def test_requests_behind_one_another_on_a_connection_are_all_answered(tmp_path: Path) -> None:
    async def ask() -> None:
        async with listening(tmp_path, ServingLimits(drain_timeout=5)) as port:
            last = WHOLE.replace(b"Host: a", b"Host: a\r\nConnection: close")
            content, _ = await sent(port, WHOLE * 20 + last)
            assert content.count(b"HTTP/1.1 200 ") == 21

    in_loop(ask())


def test_no_request_waits_for_garbage_to_be_looked_for_in_what_is_kept(tmp_path: Path) -> None:
    class Kept:
        pass

    async def run() -> None:
        kept = Kept()
        async with listening(tmp_path, ServingLimits()):
            assert gc.get_freeze_count() > 0
            assert all(tracked is not kept for tracked in gc.get_objects())
        assert any(tracked is kept for tracked in gc.get_objects())

    in_loop(run())


def test_connections_of_others_that_serve_with_it_count(tmp_path: Path) -> None:
    counted: list[int] = []

    def in_all(own: int) -> int:
        counted.append(own)
        return own + 3

    async def ask(limits: ServingLimits) -> bytes:
        async with served(tmp_path) as inside:
            server = DrainingServer(inside.app, limits, in_all=in_all)
            server.capture_signals = contextlib.nullcontext
            with listening_socket("127.0.0.1", 0) as taken:
                serving = asyncio.ensure_future(server.serve(sockets=[taken]))
                while not server.started:
                    await asyncio.sleep(0.01)
                content, _ = await sent(taken.getsockname()[1], WHOLE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                server.should_exit = True
                inside.state.is_stopping = True
                await serving
                return content

    assert in_loop(ask(ServingLimits(max_connections=4))).startswith(b"HTTP/1.1 200 ")
    assert in_loop(ask(ServingLimits(max_connections=3))).startswith(b"HTTP/1.1 503 ")
    assert counted == [1, 0, 1, 0]
