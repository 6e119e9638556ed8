import base64
import hashlib
import random
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import httpx
import pytest
from tests.model_server import ModelServer, Served, serving

from bertune.errors import CheckpointError, ResourceError
from bertune.fetch import download, http_client
from bertune.fetch.download import Downloader, FetchProgress
from bertune.fetch.part_file import PartFile

CONTENT = random.Random(7).randbytes(100_000)
OTHER = random.Random(8).randbytes(100_000)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; returns how long it would have been."""
    waits: list[float] = []
    monkeypatch.setattr(download, "sleep", waits.append)
    return waits


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def fetch(server: ModelServer, target: Path, path: str = "/weights") -> tuple[str | None, list[FetchProgress]]:
    reports: list[FetchProgress] = []
    with Downloader(reports.append) as downloader:
        return downloader.fetch(server.url + path, target), reports


def fails(server: ModelServer, target: Path, match: str) -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        fetch(server, target)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3
    assert not target.exists()
    return caught.value


def statuses(server: ModelServer) -> list[int]:
    return [request.status for request in server.requests]


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_a_file_comes_whole_with_progress(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT)
    reason, reports = fetch(server, target)
    assert reason is None
    assert target.read_bytes() == CONTENT
    assert reports[-1] == FetchProgress("weights", len(CONTENT), len(CONTENT))
    assert PartFile(target).state.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert sorted(path.name for path in target.parent.iterdir()) == ["weights", "weights.state"]


def test_a_download_goes_on_where_the_connection_was_cut_however_often(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[10_000] * 9)
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT
    asked = [request.headers.get("range") for request in server.requests]
    assert asked == [None, *(f"bytes={10_000 * number}-" for number in range(1, 10))]
    assert statuses(server) == [200] + [206] * 9


def test_whatever_the_places_of_the_cuts_the_bytes_are_those_of_the_file(server: ModelServer, tmp_path: Path) -> None:
    source = random.Random(1)
    for number in range(40):
        how: dict[str, Any] = {"ranges": source.random() < 0.7, "chunked": source.random() < 0.3}
        cuts = [
            source.choice([0, 1, 8191, 8192, 70_000, source.randrange(100_000)]) for _ in range(source.randrange(4))
        ]
        server.files["/weights"] = Served(CONTENT, cuts=cuts, etag=source.choice([None, "of the content"]), **how)
        target = tmp_path / str(number)
        assert fetch(server, target)[0] is None
        assert target.read_bytes() == CONTENT


def test_a_later_process_goes_on_with_the_part_of_an_earlier_one(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000, 0, 0, 0, 0])
    fails(server, target, r"weights: cannot be fetched: .* \(5 tries\)")
    assert PartFile(target).size == 60_000
    server.requests.clear()
    assert fetch(server, target)[0] is None
    (request,) = server.requests
    assert request.headers["range"] == "bytes=60000-"
    assert request.headers["if-range"] == server.files["/weights"].tag
    assert target.read_bytes() == CONTENT


def test_a_server_that_gives_less_than_the_rest_is_asked_again(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[20_000], largest_range=30_000)
    assert fetch(server, target)[0] is None
    assert statuses(server) == [200, 206, 206, 206]
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over_and_nothing_is_appended(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000, 30_000], ranges=False)
    assert fetch(server, target)[0] is None
    assert statuses(server) == [200, 200, 200]
    assert target.read_bytes() == CONTENT


def test_a_server_that_never_gets_farther_is_given_up(server: ModelServer, target: Path, waits: list[float]) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000] * 20, ranges=False)
    fails(server, target, r"\(5 tries\)")
    assert len(server.requests) == 5
    assert waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range", "If-Range ignored"])
def test_a_file_that_changed_meanwhile_is_never_glued_to_its_earlier_part(
    server: ModelServer, target: Path, if_range: bool
) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000, 0, 0, 0, 0])
    fails(server, target, "5 tries")
    server.files["/weights"] = Served(OTHER, if_range=if_range)
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_same_file_no_rest_is_asked_for(
    server: ModelServer, target: Path, etag: str | None
) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000], etag=etag, modified=False)
    assert fetch(server, target)[0] is None
    assert ["range" in request.headers for request in server.requests] == [False, False]
    assert target.read_bytes() == CONTENT


def sums(content: bytes) -> dict[str, dict[str, str]]:
    md5 = base64_of(hashlib.md5(content).digest())
    sha = base64_of(hashlib.sha256(content).digest())
    crc = google_crc32c.Checksum()
    crc.update(content)
    return {
        "crc32c": {"x-goog-hash": f"crc32c={base64_of(crc.digest())}"},
        "both": {"x-goog-hash": f"crc32c={base64_of(crc.digest())},md5={md5}"},
        "Content-MD5": {"Content-MD5": md5},
        "Digest": {"Digest": f"SHA-256={sha}"},
        "Repr-Digest": {"Repr-Digest": f"sha-256=:{sha}:"},
    }


@pytest.mark.parametrize("kind", sums(b""))
def test_a_checksum_of_the_server_is_checked(server: ModelServer, target: Path, kind: str) -> None:
    server.files["/weights"] = Served(CONTENT, headers=sums(CONTENT)[kind], cuts=[50_000])
    assert fetch(server, target)[0] is None
    server.files["/weights"] = Served(CONTENT, headers=sums(OTHER)[kind])
    target.unlink()
    server.requests.clear()
    error = fails(server, target, "damaged twice: its (crc32c|md5|sha256) is [0-9a-f]+, the server says [0-9a-f]+")
    assert len(server.requests) == 2
    assert error.message.count("weights") == 1
    assert not PartFile(target).size


def test_bytes_that_were_changed_on_the_way_once_come_again(server: ModelServer, target: Path) -> None:
    changed = bytearray(CONTENT)
    changed[10] ^= 1
    server.files["/weights"] = Served(bytes(changed), cuts=[50_000], etag='"x"', headers=sums(CONTENT)["crc32c"])

    def mend(progress: FetchProgress) -> None:
        if progress.note:
            server.files["/weights"].content = CONTENT

    with Downloader(mend) as downloader:
        assert downloader.fetch(f"{server.url}/weights", target) is None
    # The first half was bad, the second good: only the checksum tells.
    assert statuses(server) == [200, 206, 200]
    assert target.read_bytes() == CONTENT


def test_the_hash_of_what_is_stored_packed_is_not_that_of_what_is_sent(server: ModelServer, target: Path) -> None:
    headers = {**sums(OTHER)["crc32c"], "x-goog-stored-content-encoding": "gzip"}
    server.files["/weights"] = Served(CONTENT, headers=headers)
    assert fetch(server, target)[0] is None


def test_a_length_that_is_too_large_ends_in_an_error(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, length=120_000)
    fails(server, target, r"cannot be fetched: .*\(\d tries\)")


def test_a_length_that_is_too_small_is_found_by_the_checksum(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, length=80_000, headers=sums(CONTENT)["crc32c"])
    fails(server, target, "damaged twice: its crc32c is")


def test_a_body_without_length_chunks_or_checksum_is_refused(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, length=-1)
    fails(server, target, "does not say how long it is")
    server.files["/weights"] = Served(CONTENT, length=-1, headers=sums(CONTENT)["both"])
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT


def test_a_server_in_trouble_is_asked_again_after_the_time_it_wants(
    server: ModelServer, target: Path, waits: list[float]
) -> None:
    server.files["/weights"] = Served(CONTENT, statuses=[503, 429, 500, 520], headers={"Retry-After": "7"})
    assert fetch(server, target)[0] is None
    assert waits == [7.0] * 4


def test_a_server_that_asks_for_a_year_is_asked_again_after_a_minute(
    server: ModelServer, target: Path, waits: list[float]
) -> None:
    server.files["/weights"] = Served(CONTENT, statuses=[503], headers={"Retry-After": "31536000"})
    assert fetch(server, target)[0] is None
    assert waits == [60.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_no_error_but_a_reason(server: ModelServer, target: Path, status: int) -> None:
    server.not_found_status = status
    reason, _ = fetch(server, target)
    assert reason is not None
    assert reason.startswith(str(status))
    assert len(server.requests) == 1
    assert not list(target.parent.iterdir())


def test_an_answer_that_means_nothing_is_named(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, statuses=[418])
    fails(server, target, "the server answered 418")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"<!DOCTYPE html><p>Log in", "application/octet-stream"),
        (b"\n <HTML><body>", ""),
        (b"<div>please log in</div>", "text/html; charset=utf-8"),
        (b"<?xml version='1.0'?><Error/>", "application/xml"),
    ],
)
def test_a_web_page_is_not_taken_for_the_file(
    server: ModelServer, target: Path, content: bytes, content_type: str
) -> None:
    server.files["/weights"] = Served(content, headers={"Content-Type": content_type})
    assert fetch(server, target)[0] == "a web page instead of the file"
    assert not list(target.parent.iterdir())


def test_a_file_that_happens_to_begin_as_a_page_does_is_a_file(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(b"<" + CONTENT, headers={"Content-Type": "application/octet-stream"})
    assert fetch(server, target)[0] is None


def test_numbers_of_absurd_length_are_no_numbers(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, cuts=[60_000], statuses=[503], headers={"Retry-After": "9" * 5000})
    assert fetch(server, target)[0] is None
    part = PartFile(target)
    target.rename(part.part)
    part.part.write_bytes(CONTENT[:50])
    server.files["/weights"] = Served(CONTENT, statuses=[206], headers={"Content-Range": f"bytes 50-99/{'9' * 5000}"})
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT


def test_redirects_are_followed_and_loops_are_not(server: ModelServer, target: Path) -> None:
    server.files |= {"/weights": Served(location="/b"), "/b": Served(CONTENT, cuts=[50_000])}
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT
    target.unlink()
    server.files["/weights"] = Served(location="/weights")
    fails(server, target, "more than 10 redirects")


@pytest.mark.parametrize("redirects", [10, 11])
def test_so_many_redirects_are_followed_and_no_more(server: ModelServer, target: Path, redirects: int) -> None:
    places = ["/weights", *(f"/{number}" for number in range(redirects))]
    server.files |= {place: Served(location=following) for place, following in pairwise(places)}
    server.files[places[-1]] = Served(CONTENT)
    if redirects <= 10:
        assert fetch(server, target)[0] is None
    else:
        fails(server, target, "more than 10 redirects")


@pytest.mark.parametrize("location", ["http://example.org/x?secret=1", "ftp://example.org/x", "file:///etc/hostname"])
def test_a_redirect_to_something_that_is_not_https_is_refused(server: ModelServer, target: Path, location: str) -> None:
    server.files["/weights"] = Served(location=location)
    error = fails(server, target, "which is not https|unsupported protocol")
    assert "secret" not in error.message


NAMES = {
    "models.example": ["93.184.215.14"],
    "cdn.example": ["93.184.215.15", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "mirror.corp": ["10.1.2.3"],
    "store.corp": ["10.1.2.4"],
    "localhost": ["127.0.0.1", "::1"],
    "rebound.example": ["93.184.215.14", "127.0.0.1"],
}


def redirected(monkeypatch: pytest.MonkeyPatch, first: str, location: str) -> list[str]:
    """Asks for a file that leads on; returns the addresses that were asked for."""

    def look_up(host: str, port: None) -> list[Any]:
        addresses = NAMES.get(host, [host] if host[0].isdigit() or ":" in host else [])
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(None, None, None, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": location}) if len(asked) == 1 else httpx.Response(200)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    with http_client.opened(client, first, {}) as response:
        assert response.status_code == 200
    return asked


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("127.0.0.1:8443", "loopback"),
        ("127.8.8.8", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("0.0.0.0", "loopback"),
        ("rebound.example", "loopback"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("10.0.0.5", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("[fd00::1]", "private"),
        ("store.corp", "private"),
    ],
)
def test_a_redirect_never_leads_from_outside_to_what_is_inside(
    monkeypatch: pytest.MonkeyPatch, host: str, reach: str
) -> None:
    with pytest.raises(CheckpointError, match=f"leads on to https://.*, a {reach} address") as caught:
        redirected(monkeypatch, "https://models.example/m", f"https://{host}/x?secret=1")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("first", "location"),
    [
        ("https://models.example/m", "https://cdn.example/m"),
        ("https://models.example/m", "https://only-the-proxy-knows.example/m"),
        ("https://mirror.corp/m", "https://store.corp/m"),
        ("https://mirror.corp/m", "https://cdn.example/m"),
        ("https://localhost/m", "https://127.0.0.1/m"),
    ],
)
def test_other_redirects_are_followed(monkeypatch: pytest.MonkeyPatch, first: str, location: str) -> None:
    assert redirected(monkeypatch, first, location) == [first, location]


def test_what_comes_packed_is_refused(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT, headers={"Content-Encoding": "gzip"})
    fails(server, target, r"sends it packed \(gzip\)")
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_server_that_falls_silent_is_asked_for_the_rest(
    server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "_SILENCE_SECONDS", 0.2)
    server.files["/weights"] = Served(CONTENT, silent=1)
    assert fetch(server, target)[0] is None
    assert len(server.requests) == 2
    assert target.read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_soon_given_up(target: Path, waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/weights"
    with Downloader(lambda progress: None) as downloader, pytest.raises(CheckpointError, match="refused") as caught:
        downloader.fetch(address, target)
    assert waits == [0.5]
    assert "HTTPS_PROXY" in (caught.value.hint or "")


def test_a_file_that_is_whole_is_kept_when_the_server_says_it_is_the_same(server: ModelServer, target: Path) -> None:
    for conditional, etag, status in [(True, "of the content", 304), (True, None, 304), (False, "of the content", 200)]:
        server.files["/weights"] = Served(CONTENT, conditional=conditional, etag=etag)
        PartFile(target).discard()
        fetch(server, target)
        inode = target.stat().st_ino
        _, reports = fetch(server, target)
        assert server.requests[-1].status == status
        assert target.stat().st_ino == inode
        assert not reports
    server.files["/weights"] = Served(OTHER)
    fetch(server, target)
    assert target.read_bytes() == OTHER


def test_what_was_all_here_but_not_yet_checked_is_checked_and_kept(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT)
    fetch(server, target)
    # As it is when the process is killed while it computes the checksums.
    target.rename(PartFile(target).part)
    fetch(server, target)
    assert server.requests[-1].status == 416
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT)
    fetch(server, target)
    target.unlink()
    PartFile(target).part.write_bytes(CONTENT + b"more")
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT


def test_a_full_disk_exits_4_and_says_what_to_do(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(CONTENT)
    PartFile(target).part.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"weights\.part: No space left on device") as caught:
        fetch(server, target)
    assert caught.value.exit_code == 4
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


def test_what_the_disk_has_no_room_for_is_not_begun(
    server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/weights"] = Served(CONTENT, length=10**15)
    fails(server, target, "more than such a file of a BERT has")
    monkeypatch.setattr(download, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    server.files["/weights"] = Served(CONTENT, length=19_999_999_999)
    with pytest.raises(ResourceError, match="needs 19,999,999,999 bytes more"):
        fetch(server, target)
    assert not list(target.parent.iterdir())


def test_memory_does_not_grow_with_the_file(server: ModelServer, target: Path) -> None:
    server.files["/weights"] = Served(bytes(48_000_000))
    tracemalloc.start()
    try:
        fetch(server, target)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_a_proxy_that_cannot_be_used_is_named_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://proxy:1")
    with pytest.raises(CheckpointError, match="settings of the environment") as caught:
        Downloader(lambda progress: None)
    assert "HTTPS_PROXY" in (caught.value.hint or "")


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        server.files["/weights"] = Served(CONTENT)
        assert fetch(server, target)[0] is None
        monkeypatch.setattr(download, "_TRIES_TO_CONNECT", 1)
        asked: list[bytes] = []

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with Downloader(lambda progress: None) as downloader, pytest.raises(CheckpointError, match="403 Forbidden"):
            downloader.fetch("https://model.example/weights", target.with_name("other"))
        thread.join()
    assert asked[0].startswith(b"CONNECT model.example:443")


def test_a_login_comes_from_netrc(
    server: ModelServer, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.files["/weights"] = Served(CONTENT)
    assert fetch(server, target)[0] is None
    assert server.requests[0].headers["authorization"] == f"Basic {base64_of(b'me:secret')}"


def test_a_server_that_drips_is_given_up_and_its_bytes_are_kept(
    server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte is progress, so that neither the silence nor the tries ever end it."""
    seconds = iter(range(0, 1_000_000, 100))
    monkeypatch.setattr(download, "monotonic", lambda: float(next(seconds)))
    server.files["/weights"] = Served(CONTENT, cuts=[10] * 100, ranges=True)
    fails(server, target, r"bytes came in 600 seconds, which is too slow; the next try resumes")
    assert 0 < PartFile(target).size < 200
    monkeypatch.setattr(download, "monotonic", lambda: 0.0)
    assert fetch(server, target)[0] is None
    assert target.read_bytes() == CONTENT


def test_a_slow_network_gets_the_time_that_a_large_file_needs(
    server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_GRACE_SECONDS", 5.0)
    clock = [0.0]
    monkeypatch.setattr(download, "monotonic", lambda: clock[0])
    with Downloader(lambda progress: clock.__setitem__(0, progress.done / 12_000)) as downloader:
        server.files["/weights"] = Served(CONTENT)
        assert downloader.fetch(server.url + "/weights", target) is None
    assert clock[0] > 8


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_longer_than_its_kind_is_refused_and_nothing_of_it_kept(
    server: ModelServer, target: Path, chunked: bool
) -> None:
    server.files["/weights"] = Served(CONTENT, chunked=chunked)
    with (
        Downloader(lambda progress: None) as downloader,
        pytest.raises(CheckpointError, match="more than such a file of a BERT has"),
    ):
        downloader.fetch(server.url + "/weights", target, max_bytes=50_000)
    assert list(target.parent.iterdir()) == []
