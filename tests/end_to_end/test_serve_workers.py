"""`bertune serve --workers`: several processes at one address, that lose nothing and leave nothing."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.end_to_end.serving_process import Askers, ServingProcess, received, serving
from tests.end_to_end.test_serve import TEXTS, shares
from tests.end_to_end.world import Run

import bertune

SECONDS = 60.0
BODY = b'{"inputs": "good film"}'
QUESTION = (
    b"POST /predict HTTP/1.1\r\nHost: server\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)


@pytest.fixture(scope="module")
def exported(run: Run, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "mood"
    done = run("export", str(trained), str(out), "--format", "onnx", "--quiet")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps what its workers share."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def server(exported: Path, kept: Path) -> Iterator[ServingProcess]:
    """Two workers of an export; the last test of it ends it."""
    with serving(str(exported), "--workers", "2", "--max-connections", "40", TMPDIR=str(kept)) as process:
        yield process


def pids(server: ServingProcess) -> list[int]:
    """The newest process of each worker."""
    newest = {event["worker"]: event["pid"] for event in server.events("worker_ready")}
    return [newest[number] for number in sorted(newest)]


def ask(server: ServingProcess) -> int:
    """Asks by a new connection, and returns the status; 0 of a connection that was closed."""
    with server.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(QUESTION)
        if words := received(connection).split():
            return int(words[1])
    return 0


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether a process is there that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answers_by(server: ServingProcess) -> set[int]:
    return {event["pid"] for event in server.events("request")}


def answered(server: ServingProcess) -> int:
    text = server.client.get("/metrics").text
    found = re.findall(r'^bertune_requests_total\{code="200",route="/predict"\} ([0-9.]+)$', text, flags=re.MULTILINE)
    return int(sum(map(float, found)))


def test_both_workers_answer_and_each_counts_for_all(server: ServingProcess) -> None:
    asked = 0
    while len(answers_by(server)) < 2:
        assert ask(server) == 200
        asked += 1
        assert asked < 500
    assert answers_by(server) == set(pids(server))
    assert len(set(pids(server))) == 2
    # Whichever is asked.
    for _ in range(6):
        text = httpx.get(f"{server.address}/metrics").text
        assert f'bertune_requests_total{{code="200",route="/predict"}} {asked}.0\n' in text
        assert 'bertune_queue_size{model="mood"} 0.0\n' in text
        assert f'bertune_request_duration_seconds_count{{route="/predict"}} {asked}.0\n' in text
        assert "process_" not in text


def test_an_export_is_served_by_workers_without_torch(
    server: ServingProcess, exported: Path, trained: Path, kept: Path
) -> None:
    for pid in (server.process.pid, *pids(server)):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "torch" not in maps
        mapped = re.findall(rf"^\S+ \S+ .* {kept}/\S+/model\.onnx\.weights$", maps, flags=re.MULTILINE)
        assert bool(mapped) == (pid != server.process.pid)
    model = bertune.load(trained)
    answer = server.client.post("/predict", json={"inputs": [[text] for text in TEXTS]}).json()
    found = [shares(row, model.signature.labels) for row in answer]
    assert np.allclose(found, bertune.ExportedModel.load(exported).predict(TEXTS).probabilities, atol=1e-6)
    (workers,) = server.events("workers")
    assert (workers["count"], workers["threads_of_each"]) == (2, 1)


def test_connections_are_counted_together(server: ServingProcess) -> None:
    connections = [server.connect() for _ in range(60)]
    try:
        wait_for(lambda: ask(server) == 503)
        statuses = []
        for connection in connections:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: server\r\n\r\n")
            try:
                statuses.append(connection.recv(4096).partition(b"\r\n")[0])
            except ConnectionResetError:
                statuses.append(b"")
        taken = sum(status == b"HTTP/1.1 200 OK" for status in statuses)
        # The client of the fixture may have one; two workers that count at once may each refuse one for the other.
        assert 36 <= taken <= 41
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: ask(server) == 200)


def test_a_worker_that_is_killed_is_replaced_while_the_other_answers(server: ServingProcess) -> None:
    before, counted = pids(server), answered(server)
    os.kill(before[0], signal.SIGKILL)
    asked = 0
    while pids(server) == before:
        assert ask(server) == 200
        asked += 1
    (ended,) = server.events("worker_ended")
    assert (ended["worker"], ended["pid"]) == (1, before[0])
    wait_for(lambda: ask(server) == 200 and pids(server)[0] in answers_by(server))
    # What the dead one had counted stays.
    assert answered(server) >= counted + asked


def test_a_worker_that_is_told_to_end_is_replaced_and_answers_first(server: ServingProcess) -> None:
    before = pids(server)
    os.kill(before[1], signal.SIGTERM)
    wait_for(lambda: pids(server)[1] != before[1])
    assert any(event["pid"] == before[1] for event in server.events("stopped"))
    assert ask(server) == 200


def test_events_of_all_processes_are_whole_lines(server: ServingProcess) -> None:
    # The longest that a line of the log can be, and more: each character is twelve of an escape.
    path = "/" + "%F0%9F%8E%AC" * 2000
    head = f"GET {path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n".encode()

    def ask_for_it(_number: int) -> bytes:
        with server.connect() as connection:
            connection.sendall(head)
            return received(connection)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask_for_it, range(80)))
    assert all(answer.startswith(b"HTTP/1.1 404 ") for answer in answers)
    wait_for(lambda: sum(event["status"] == 404 for event in server.events("request")) == 80)
    assert {event["pid"] for event in server.events("request") if event["status"] == 404} == set(pids(server))
    assert all(json.loads(line) and len(line.encode()) <= 4096 for line in server.lines)


def test_a_signal_under_load_loses_nothing(server: ServingProcess, kept: Path) -> None:
    askers = Askers(server.address, 12)
    time.sleep(0.5)
    ended = pids(server)
    # As a service manager does, to all processes at once.
    for pid in (server.process.pid, *ended):
        os.kill(pid, signal.SIGTERM)
    assert server.ends() == 0
    askers.join()
    assert not askers.lost
    assert set(askers.answers) <= {200, 429}
    assert askers.answers.count(200) > 12
    assert [event["unanswered"] for event in server.events("stopped") if event.get("pid") in ended] == [0, 0]
    assert not any(is_there(pid) for pid in ended)
    assert not any(kept.glob("bertune-*"))
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.slow
def test_decisions_by_several_workers_are_whole_and_workers_end_with_their_parent(
    trained: Path, tmp_path: Path
) -> None:
    with serving(f"mood={trained}", "--workers", "2", TMPDIR=str(tmp_path)) as server:
        model = bertune.load(trained)
        answer = server.client.post("/predict", json={"inputs": [[text] for text in TEXTS]}).json()
        found = [shares(row, model.signature.labels) for row in answer]
        assert np.allclose(found, bertune.predict(model, TEXTS).probabilities, atol=1e-6)
        rows = server.client.get("/report/mood/rows").json()["rows"]

        def decide(number: int) -> str:
            decisions = [{"place": row["place"], "decision": "skip"} for row in rows[: 1 + number % len(rows)]]
            body = {"decisions": decisions}
            done = httpx.post(f"{server.address}/report/mood/decisions", json=body, timeout=60)
            assert done.status_code == 200, done.text
            return done.text

        try:
            with ThreadPoolExecutor(8) as pool:
                written = list(pool.map(decide, range(64)))
            decided_by = {event["pid"] for event in server.events("request") if event["path"].endswith("decisions")}
            assert decided_by == set(pids(server))
            assert server.client.get("/report/mood/decisions").text in written
            assert [path.name for path in trained.iterdir() if "relabel" in path.name] == ["relabel.csv"]
        finally:
            (trained / "relabel.csv").unlink(missing_ok=True)
        # The page may be shown by one worker, and ask the other.
        for _ in range(20):
            told = httpx.post(f"{server.address}/page/nearest", json={"model": "mood", "text_a": "good"}, timeout=60)
            assert told.status_code == 200
        ended = pids(server)
        server.process.kill()
        wait_for(lambda: not any(is_there(pid) for pid in ended))
        wait_for(lambda: not any(tmp_path.glob("bertune-serve-*")))


def test_what_cannot_begin_is_one_error(run: Run, trained: Path, exported: Path, tmp_path: Path) -> None:
    for arguments, code, told in (
        ([str(trained), "--workers", "0"], 2, "--workers must be from 1 to"),
        ([str(trained), "--workers", "100000"], 2, "--workers must be from 1 to"),
        ([str(tmp_path / "nothing"), "--workers", "2"], 3, "no such folder"),
        ([str(exported), "--workers", "2", "--precision", "bf16"], 2, "--precision"),
    ):
        done = run("serve", *arguments, "--port", "0")
        assert (done.returncode, told in done.stderr) == (code, True), (arguments, done.stderr)
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr
