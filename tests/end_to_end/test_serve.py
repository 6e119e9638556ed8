"""`bertune serve` as a process: right numbers, bounds, and an end that loses nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.end_to_end.serving_process import Askers, ServingProcess, received, serving
from tests.end_to_end.world import Run

import bertune

TEXTS = ["good film", "bad", "good good bad film and more of it", "", "film " * 400]
HEAD = b"POST /predict HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[ServingProcess]:
    with serving(f"mood={trained}", "--max-queue", "64") as process:
        yield process


def shares(answer: list[dict[str, Any]], labels: tuple[str, ...]) -> list[float]:
    by_label = {each["label"]: each["score"] for each in answer}
    return [by_label[label] for label in labels]


def test_python_command_line_and_http_give_the_same_numbers(
    server: ServingProcess, trained: Path, run: Run, tmp_path: Path
) -> None:
    model = bertune.load(trained)
    labels = model.signature.labels
    expected = bertune.predict(model, TEXTS).probabilities
    table = tmp_path / "texts.jsonl"
    table.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    done = run("predict", str(trained), "--data", str(table), "--text-a", "text", "--json")
    assert done.returncode == 0, done.stderr
    by_command = [json.loads(line)["probabilities"] for line in done.stdout.splitlines()]
    assert np.allclose([[row[label] for label in labels] for row in by_command], expected, atol=1e-5)

    def asked(texts: list[str]) -> list[list[float]]:
        answer = httpx.post(f"{server.address}/predict", json={"inputs": [[text] for text in texts]}, timeout=60)
        assert answer.status_code == 200, answer.text
        return [shares(row, labels) for row in answer.json()]

    assert np.allclose(asked(TEXTS), expected, atol=1e-5)
    with ThreadPoolExecutor(16) as pool:
        alone = list(pool.map(lambda place: asked([TEXTS[place % len(TEXTS)]])[0], range(60)))
    assert np.allclose(alone, np.tile(expected, (12, 1)), atol=1e-5)


def test_the_client_of_hugging_face_reads_the_answers(server: ServingProcess) -> None:
    from huggingface_hub import InferenceClient

    answers = InferenceClient(base_url=server.address).text_classification("good film")
    assert [answer.score for answer in answers] == sorted((answer.score for answer in answers), reverse=True)
    direct = server.client.post("/predict", json={"inputs": "good film"}).json()
    assert [(answer.label, answer.score) for answer in answers] == [(each["label"], each["score"]) for each in direct]


def test_the_report_of_a_run_is_served_and_only_its_own_page_decides(server: ServingProcess, trained: Path) -> None:
    page = server.client.get("/report/mood")
    assert page.status_code == 200
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    rows = server.client.get("/report/mood/rows").json()["rows"]
    assert len(rows) == 25
    asked = {"json": {"decisions": [{"place": rows[0]["place"], "decision": "skip"}]}}
    elsewhere = server.client.post("/report/mood/decisions", **asked, headers={"Origin": "http://elsewhere"})
    assert elsewhere.status_code == 403
    assert not (trained / "relabel.csv").exists()


def test_a_body_over_the_limit_is_cut_off(server: ServingProcess) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 3000000\r\n\r\n" + b"x" * 1000)
        assert received(connection).startswith(b"HTTP/1.1 413 ")
    with server.connect() as connection:
        sent = 0
        try:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(200):
                connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
        except OSError:
            pass
        # What the sockets on both sides hold is not read.
        assert sent < 12_000_000
        assert received(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 200_000, 431),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", 415),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n{}", 400),
    ],
)
def test_what_is_no_request_is_refused(server: ServingProcess, content: bytes, status: int) -> None:
    with server.connect() as connection:
        connection.sendall(content)
        assert received(connection).startswith(b"HTTP/1.1 %d " % status)
    assert server.client.get("/healthz").status_code == 200


def test_a_client_that_goes_takes_its_request_along(server: ServingProcess) -> None:
    body = json.dumps({"inputs": [["film " * 100]] * 32}).encode()
    for _ in range(10):
        with server.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(0.005)
    for _ in range(100):
        text = server.client.get("/metrics").text
        if 'bertune_rejected_total{reason="disconnected"}' in text:
            return
        time.sleep(0.05)
    raise AssertionError(text)


@pytest.mark.slow
def test_slow_clients_are_cut_off_and_others_are_not(server: ServingProcess) -> None:
    begun = time.monotonic()
    slow = [server.connect() for _ in range(100)]
    for place, connection in enumerate(slow):
        connection.sendall(b"POST /predict HTTP/1.1\r\nX: ")
        if place % 2:
            connection.sendall(b"y\r\nContent-Length: 1000\r\n\r\n{")
    ended: dict[int, float] = {}
    while len(ended) < len(slow) and time.monotonic() - begun < 40:
        assert server.client.post("/predict", json={"inputs": "good"}).status_code == 200
        for place, connection in enumerate(slow):
            if place in ended:
                continue
            try:
                connection.sendall(b"y")
                connection.setblocking(False)
                connection.recv(4096)
                ended[place] = time.monotonic() - begun
            except BlockingIOError:
                connection.setblocking(True)
            except OSError:
                ended[place] = time.monotonic() - begun
        time.sleep(0.5)
    for connection in slow:
        connection.close()
    assert len(ended) == len(slow)
    assert max(seconds for place, seconds in ended.items() if not place % 2) < 12
    assert all(28 < seconds < 33 for place, seconds in ended.items() if place % 2)


def test_a_queue_that_is_full_says_when_to_come_back(server: ServingProcess) -> None:
    body = {"inputs": [["film " * 100]] * 8}

    def ask(_number: int) -> tuple[int, str | None]:
        answer = httpx.post(f"{server.address}/predict", json=body, timeout=60)
        return answer.status_code, answer.headers.get("retry-after")

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(120)))
    assert {status for status, _ in answers} == {200, 429}
    assert all((after is not None) == (status == 429) for status, after in answers)
    assert server.client.post("/predict", json={"inputs": "good"}).status_code == 200


def test_a_signal_ends_the_server_after_its_answers(trained: Path) -> None:
    with serving(str(trained)) as server:
        server.client.get("/readyz")
        askers = Askers(server.address, 8)
        time.sleep(0.5)
        server.tell()
        for _ in range(100):
            ready = server.client.get("/readyz")
            if ready.status_code != 200:
                break
        assert ready.status_code == 503
        assert server.ends() == 0
        askers.join()
        assert not askers.lost
        assert set(askers.answers) == {200}
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert server.events("stopped")[0]["unanswered"] == 0


def test_a_second_signal_ends_it_at_once(trained: Path) -> None:
    with serving(str(trained)) as server, server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\n{")
        time.sleep(0.2)
        server.tell()
        time.sleep(0.3)
        begun = time.monotonic()
        server.tell()
        assert server.ends(5) == 143
        assert time.monotonic() - begun < 2


def test_an_address_that_is_taken_is_told_before_the_model_is_read(fresh_run: Run, trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = fresh_run("serve", str(trained), "--port", str(other.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_served_is_refused_in_one_message(run: Run, trained: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(trained / "model", copied)
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    key = tmp_path / "key"
    key.write_text("short\n")
    for arguments, code, told in (
        ([str(copied)], 3, "model.safetensors"),
        ([str(tmp_path / "nothing")], 3, "no such folder"),
        ([], 2, "nothing to serve"),
        ([f"a b={trained}"], 2, "cannot be the name"),
        ([f"mood={trained}", f"mood={trained}"], 2, "two models"),
        ([str(trained), "--host", "no.such.host.invalid"], 2, "--host"),
        ([str(trained), "--port", "70000"], 2, "--port"),
        ([str(trained), "--max-texts", "0"], 2, "--max-texts"),
        ([str(trained), "--max-connections", "100000000"], 2, "--max-connections"),
        ([str(trained), "--api-key-file", str(key)], 2, "at least 16"),
        ([str(trained), "--api-key-file", str(tmp_path / "none")], 2, "none"),
    ):
        port = [] if "--port" in arguments else ["--port", "0"]
        done = run("serve", *arguments, *port)
        assert (done.returncode, told in done.stderr) == (code, True), (arguments, done.stderr)
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr


def test_a_key_is_read_of_the_environment_and_shown_nowhere(trained: Path) -> None:
    key = "0123456789abcdef0123456789abcdef"
    with serving(str(trained), BERTUNE_SERVE_API_KEY=key) as server:
        assert server.client.post("/predict", json={"inputs": "good"}).status_code == 401
        shown = {"Authorization": f"Bearer {key}"}
        assert server.client.post("/predict", json={"inputs": "good"}, headers=shown).status_code == 200
        assert key not in server.client.get("/docs", headers=shown).text
        server.tell(signal.SIGINT)
        assert server.ends() == 0
        assert key not in "".join(server.lines)
        assert "warning" not in "".join(server.lines)


WITHOUT_TORCH = """
import os, signal, sys, threading, time, urllib.request
folder, port = sys.argv[1:]

def ask():
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", data=b'{"inputs": "good film"}')
    while True:
        try:
            print(urllib.request.urlopen(request).read().decode(), flush=True)
            break
        except OSError:
            time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask, daemon=True).start()
from bertune.cli import main
code = main(["serve", folder, "--port", port, "--quiet"])
print(code, [name for name in ("torch", "transformers", "safetensors.torch") if name in sys.modules])
"""


def test_an_export_is_served_without_torch(run: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    done = run("export", str(trained), str(out), "--format", "onnx", "--quiet")
    assert done.returncode == 0, done.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(out), str(port)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    answer, end = done.stdout.splitlines()
    assert end == "0 []", done.stderr
    model = bertune.load(trained)
    expected = bertune.predict(model, ["good film"]).probabilities[0]
    assert np.allclose(shares(json.loads(answer), model.signature.labels), expected, atol=1e-4)
    with (out / "model.onnx").open("ab") as file:
        file.write(b"\0")
    done = run("serve", str(out), "--port", "0")
    assert done.returncode == 3
    assert "has changed" in done.stderr
    done = run("serve", str(out), "--port", "0", "--precision", "bf16")
    assert done.returncode == 2
