"""What every request goes through: key, origin, headers, numbers, and a log of one line an event."""

import json
from pathlib import Path

import pytest
from tests.unit.serving.stand_ins import in_loop, served

KEY = b"a-key-of-sixteen-or-more"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer other", 401),
        ("Bearer", 401),
        (KEY.decode(), 401),
        ("Basic !!", 401),
        ("Bearer é", 401),
        (f"Bearer {KEY.decode()}", 200),
        ("Basic YW55Ym9keTphLWtleS1vZi1zaXh0ZWVuLW9yLW1vcmU=", 200),
    ],
)
def test_the_key_is_asked_for_everywhere_but_health(tmp_path: Path, header: str | None, status: int) -> None:
    async def ask() -> None:
        async with served(tmp_path, api_key=KEY) as server:
            headers = {} if header is None else {"Authorization": header.encode()}
            for path in ("/info", "/metrics", "/docs", "/openapi.json", "/v1/models/mood", "/v2"):
                answer = await server.client.get(path, headers=headers)
                assert answer.status_code == status, path
                assert ("www-authenticate" in answer.headers) == (status == 401)
            for path in ("/healthz", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"):
                assert (await server.client.get(path)).status_code == 200
            assert KEY.decode() not in server.logged()

    in_loop(ask())


def test_pages_of_other_sites_may_not_ask(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for origin, status in (("http://server", 200), ("http://elsewhere", 403), ("null", 403)):
                answer = await server.client.post("/predict", json={"inputs": "good"}, headers={"Origin": origin})
                assert answer.status_code == status
                assert "access-control-allow-origin" not in answer.headers

    in_loop(ask())


def test_every_answer_has_headers_for_safety_and_the_page_loads_nothing(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for path in ("/info", "/nothing", "/docs", "/metrics"):
                headers = (await server.client.get(path)).headers
                assert headers["content-security-policy"].startswith("default-src 'none'")
                assert headers["x-content-type-options"] == "nosniff"
            page = (await server.client.get("/docs")).text
            assert "POST /predict" in page
            for word in ("<script", "<link", "src=", "@import", "url("):
                assert word not in page
            assert "https://" not in page

    in_loop(ask())


def test_an_event_is_one_line_without_texts_and_without_control_characters(tmp_path: Path) -> None:
    secret = "good secretword"

    async def ask() -> None:
        async with served(tmp_path) as server:
            await server.client.post("/predict", json={"inputs": secret})
            await server.client.post("/predict", json={"inputs": [secret, 7]})
            for path in ("/a%0d%0ab%1b[31m%e2%80%a8c", "/" + "x" * 60_000):
                assert (await server.client.get(path)).status_code == 404
            logged = server.logged()
            lines = logged.splitlines()
            assert len(lines) == 4
            assert "secretword" not in logged
            assert logged.isascii()
            assert not any(ord(character) < 32 for line in lines for character in line)
            events = [json.loads(line) for line in lines]
            assert events[0] == events[0] | {"event": "request", "status": 200, "texts": 1, "model": "mood"}
            assert events[1]["reason"] == "invalid"
            assert all(len(event["path"]) <= 1024 for event in events)

    in_loop(ask())


def test_a_fault_of_the_server_is_told_without_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:

            def fail(*_: object) -> None:
                raise ZeroDivisionError("secret of the server")

            monkeypatch.setattr(server.state.model(), "check_room", fail)
            answer = await server.client.post("/predict", json={"inputs": "good"})
            assert answer.status_code == 500
            assert set(answer.json()) == {"error", "error_type"}
            logged = server.logged()
            assert "secret" not in logged + answer.text
            assert json.loads(logged.splitlines()[0])["error"] == "ZeroDivisionError"

    in_loop(ask())


def test_prometheus_reads_the_numbers(tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    async def ask() -> None:
        async with served(tmp_path) as server:
            await server.client.post("/predict", json={"inputs": [["good"], ["bad film"]]})
            await server.client.post("/predict", json={"inputs": []})
            await server.client.get("/of/no/route")
            text = (await server.client.get("/metrics")).text
            samples = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert samples["bertune_requests_total", ("code", "200"), ("route", "/predict")] == 1
            assert samples["bertune_requests_total", ("code", "404"), ("route", "other")] == 1
            assert samples["bertune_rejected_total", ("reason", "empty")] == 1
            assert samples["bertune_queue_size", ("model", "mood")] == 0
            for name in ("request", "queue", "inference", "tokenization"):
                assert any(key[0] == f"bertune_{name}_duration_seconds_count" for key in samples)
            for name in ("batch_size", "batch_tokens", "input_tokens"):
                assert samples[f"bertune_{name}_count", ("model", "mood")] >= 1

    in_loop(ask())
