"""The page's calls, without a browser: what is answered, what is refused, and that nothing is left behind."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from tests.unit.serving.page_stand_in import StandIn
from tests.unit.serving.small_models import KINDS, small_model
from tests.unit.serving.stand_ins import SINGLE, TokenSums, tokenizer_in

from bertune.evaluation.explain import explain
from bertune.evaluation.explain_texts import read_texts
from bertune.evaluation.given_texts import examples_of
from bertune.evaluation.predict_texts import predict
from bertune.serving.page_model import PageLimits
from bertune.serving.page_reasons import reasons_for, spans_of
from bertune.serving.page_routes import page_files, page_routes

TEXT = "The great film, and \U0001f600  the bad plots!\n"


class ServerRefusalError(Exception):
    """What a server raises when its queue is full."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StandIn]]:
    folder = tmp_path_factory.mktemp("models")
    made = {name: StandIn(name, small_model(folder / name, signature)) for name, signature in KINDS.items()}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


Asked = Callable[..., httpx.Response]


@pytest.fixture
def ask(models: dict[str, StandIn]) -> Asked:
    """Sends a request to an application that has the page alone."""

    def send(method: str, path: str, limits: PageLimits | None = None, **request: Any) -> httpx.Response:
        async def refused(_: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"error": str(error)}, 429, {"Retry-After": "3"})

        routes = page_routes(models, limits=limits)
        transport = httpx.ASGITransport(Starlette(routes=routes, exception_handlers={ServerRefusalError: refused}))

        async def exchange() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
                return await client.request(method, path, **request)

        return asyncio.run(exchange())

    return send


def question(name: str, text: str = TEXT) -> dict[str, str]:
    return {"model": name, "text_a": text} | ({"text_b": "a good film"} if name == "pair" else {})


def texts_of(asked: dict[str, str]) -> list[Any]:
    return [(asked["text_a"], asked["text_b"])] if "text_b" in asked else [asked["text_a"]]


def test_the_page_may_load_nothing_but_its_own_files_and_its_files_ask_for_nothing_else(ask: Asked) -> None:
    for path, (content, kind) in page_files().items():
        response = ask("GET", path)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(kind)
        policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert set(policy.values()) == {"'none'", "'self'"}
        assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert response.headers["x-content-type-options"] == "nosniff"
        words = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in words
        assert "innerHTML" not in words
        for name in re.findall(r'(?:from|src|href)=?\s*"([^"#]+)"', words):
            assert f"/page/{Path(name).name}" in page_files()
    document = page_files()["/"][0].decode()
    assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=", document)


def test_models_are_described_in_their_order(ask: Asked, models: dict[str, StandIn]) -> None:
    told = ask("GET", "/page/models").json()
    assert [each["name"] for each in told["models"]] == list(models)
    pair = told["models"][1]
    assert (pair["labels"], pair["text_a"], pair["text_b"]) == (["other", "same", "<b>odd</b>"], "one", "two")
    assert pair["is_pair"]
    assert {each["nearest"] for each in told["models"]} == {"none"}
    assert told["models"][0]["examples"] == []


@pytest.mark.parametrize("name", KINDS)
def test_the_page_answers_what_predict_answers(name: str, ask: Asked, models: dict[str, StandIn]) -> None:
    model = models[name].model
    (expected,) = predict(model, texts_of(question(name)))
    told = ask("POST", "/page/answer", json=question(name)).json()
    assert told["seconds"] > 0
    if name == "value":
        assert told["value"] == pytest.approx(expected.value, abs=1e-5)
        assert told["range"] == [0.0, 5.0]
        return
    assert {each["label"]: each["probability"] for each in told["labels"]} == pytest.approx(
        expected.probabilities, abs=1e-5
    )
    given = expected.labels if expected.labels is not None else (expected.label,)
    assert tuple(each["label"] for each in told["labels"] if each["given"]) == given
    thresholds = [each["threshold"] for each in told["labels"]]
    assert thresholds == {"single": [None, 0.4], "several": [0.5] * 14}.get(name, [None] * len(thresholds))


@pytest.mark.parametrize("name", KINDS)
def test_words_have_the_weights_of_occlusion_and_the_text_is_whole(
    name: str, ask: Asked, models: dict[str, StandIn]
) -> None:
    asked = question(name)
    told = ask("POST", "/page/explain", json=asked).json()
    (expected,) = explain(models[name].model, texts_of(asked), method="occlusion")
    assert len(told["reasons"]) == len(expected.reasons)
    for reason, wanted in zip(told["reasons"], expected.reasons, strict=True):
        assert reason["label"] == wanted.label
        assert ["".join(part["text"] for part in text) for text in reason["texts"]] == list(
            texts_of(asked)[0:1][0] if name == "pair" else [asked["text_a"]]
        )
        weights = [part["weight"] for text in reason["texts"] for part in text if part["weight"] is not None]
        np.testing.assert_allclose(weights, [word.attribution for word in wanted.words], atol=1e-4)
    assert not told["grouped"]


def test_words_of_what_computes_without_torch_are_weighed_the_same_way(tmp_path: Path) -> None:
    model = StandIn("sums", TokenSums(tokenizer_in(tmp_path), SINGLE))
    examples = examples_of(SINGLE, ["good film bad"])
    told = asyncio.run(reasons_for(model, examples))
    whole, *without = (
        model.model.answer(np.array([2, *ids, 3])) for ids in ((5, 7, 6), (0, 7, 6), (5, 0, 6), (5, 7, 0))
    )
    model.close()
    (reason,) = told["reasons"]
    side = 1 if reason["label"] == "good" else -1
    weights = [part["weight"] for part in reason["texts"][0] if part["weight"] is not None]
    expected = [side * ((whole[1] - whole[0]) - (each[1] - each[0])) for each in without]
    np.testing.assert_allclose(weights, expected, rtol=1e-4)


def test_a_long_text_costs_no_more_than_so_many_words(models: dict[str, StandIn]) -> None:
    model = models["windows"].model
    for words, most in ((7, 7), (128, 128), (129, 128), (1_000, 128)):
        texts = read_texts(model, examples_of(model.signature, ["film " * words]), 0)
        spans = spans_of(texts)
        assert most / 2 <= len(spans) <= most
        np.testing.assert_array_equal(np.concatenate(spans), texts.read_pieces)


@pytest.mark.parametrize(
    ("values", "status", "told"),
    [
        ({"model": "none", "text_a": "x"}, 404, "no model"),
        ({"model": ["single"], "text_a": "x"}, 404, "no model"),
        ({"model": "single"}, 422, "Type a text first."),
        ({"model": "single", "text_a": " \n"}, 422, "Type a text first."),
        ({"model": "pair", "text_a": "x", "text_b": ""}, 422, "Type both texts first."),
        ({"model": "single", "text_a": "x", "text_b": "y"}, 422, "two texts"),
        ({"model": "single", "text_a": 5}, 422, "no text"),
        ({"model": "single", "text_a": "x" * 100_001}, 422, "100,001 characters"),
        ({"model": "single", "text_a": "x" * (1 << 20)}, 413, "larger than 1,048,576 bytes"),
        ([], 400, "not a JSON object"),
    ],
)
@pytest.mark.parametrize("path", ["answer", "explain", "nearest"])
def test_what_cannot_be_answered_is_told_in_a_sentence(
    path: str, values: Any, status: int, told: str, ask: Asked
) -> None:
    response = ask("POST", f"/page/{path}", json=values)
    assert response.status_code == status
    assert told in response.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'"text"'])
def test_a_body_that_is_no_json_is_refused(body: bytes, ask: Asked) -> None:
    response = ask("POST", "/page/answer", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_half_of_a_surrogate_pair_is_answered_or_refused_but_no_fault(ask: Asked) -> None:
    body = b'{"model": "single", "text_a": "good \\ud83d film"}'
    for path in ("answer", "explain"):
        response = ask("POST", f"/page/{path}", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 400, 422)
        assert response.json()


@pytest.mark.parametrize("path", ["answer", "explain", "nearest", "table?model=single"])
def test_what_a_form_of_another_site_can_send_is_refused(path: str, ask: Asked) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        response = ask("POST", f"/page/{path}", content=b"{}", headers={"content-type": kind})
        assert response.status_code == 415


def test_a_refusal_of_the_server_is_left_to_it(ask: Asked, models: dict[str, StandIn]) -> None:
    models["single"].fails_with = ServerRefusalError("the queue is full")
    try:
        response = ask("POST", "/page/answer", json=question("single"))
    finally:
        models["single"].fails_with = None
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


def sent(ask: Asked, body: bytes, *, limits: PageLimits | None = None, **options: str) -> httpx.Response:
    query = {"model": "single", "name": "rows.csv"} | options
    return ask("POST", "/page/table", limits, params=query, content=body, headers={"content-type": "text/csv"})


def lines_of(response: httpx.Response) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The table that came back, and all other lines."""
    assert response.status_code == 200, response.text
    entries = [json.loads(line) for line in response.text.splitlines()]
    text = "".join(entry.get("csv", "") for entry in entries)
    return list(csv.DictReader(io.StringIO(text, newline=""))), [entry for entry in entries if "csv" not in entry]


def test_a_table_comes_back_with_its_columns_and_predictions(
    ask: Asked, models: dict[str, StandIn], uploads: Path
) -> None:
    texts = [f"the film was {'good' if row % 3 else 'bad'} {'and' * (row % 2)}" for row in range(100)]
    body = "id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(texts))
    rows, others = lines_of(sent(ask, body.encode()))
    assert list(rows[0]) == [
        "row", "line", "id", "text", "predicted_label", "probability", "probability_down", "probability_up", "not_read",
    ]  # fmt: skip
    assert [row["text"] for row in rows] == texts
    for row, prediction in zip(rows, predict(models["single"].model, texts), strict=True):
        assert row["predicted_label"] == prediction.label
        assert float(row["probability_up"]) == pytest.approx(prediction.probabilities["up"], abs=1e-5)
    assert [entry["done"] for entry in others[:-1]] == [0, 32, 64, 96, 100]
    assert others[-1] == {"name": "rows.predicted.csv", "rows": 100, "not_read": 0, "notes": []}
    assert list(uploads.iterdir()) == []


def test_a_bad_row_keeps_its_place_and_says_why(ask: Asked) -> None:
    rows, others = lines_of(sent(ask, b"text,more\ngood film,1\nbad\nfilm,2\n"))
    assert [row["text"] for row in rows] == ["good film", "", "film"]
    assert rows[1]["not_read"] == "1 cell, expected 2 (text, more)"
    assert (others[-1]["rows"], others[-1]["not_read"]) == (3, 1)


def test_columns_are_asked_for_where_they_have_other_names(ask: Asked, uploads: Path) -> None:
    body = b"id,body\n1,=good film\n"
    response = sent(ask, body)
    assert response.status_code == 422
    assert response.json() == {
        "error": "Which column holds the text?",
        "columns": [{"name": "id", "shown": "id"}, {"name": "body", "shown": "body"}],
    }
    rows, _ = lines_of(sent(ask, body, text_a="body", formula_safe="1"))
    assert rows[0]["body"] == "'=good film"
    rows, _ = lines_of(sent(ask, body, text_a="body"))
    assert rows[0]["body"] == "=good film"
    asked = sent(ask, body, no_header="1", only_columns="1").json()
    assert asked["columns"] == [{"name": "0", "shown": "0: id"}, {"name": "1", "shown": "1: body"}]
    rows, _ = lines_of(sent(ask, body, no_header="1", text_a="1"))
    assert [row["column_1"] for row in rows] == ["body", "=good film"]
    pairs = sent(ask, b"first,second\ngood film,bad film\n", model="pair")
    assert pairs.json()["error"] == "Which columns hold the two texts?"
    rows, _ = lines_of(sent(ask, b"first;second\ngood film;bad film\n", model="pair", text_a="first", text_b="second"))
    assert rows[0]["second"] == "bad film"
    assert list(uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "options", "status", "told"),
    [
        (b"", {}, 422, "empty"),
        (b"text\n", {}, 422, "rows.csv has a header but no rows"),
        (b"text\n\xff\xfe\xfa\n", {}, 422, "rows.csv"),
        (b'text,more\n"good', {}, 422, "rows.csv"),
        (b"text,text\na,b\n", {}, 422, "2 columns are called 'text'"),
        (b"\n\n", {}, 422, "first line is blank"),
        (b"PK\x03\x04\x00\x00", {"name": "book.xlsx"}, 422, "no CSV"),
        (b"text\na\n", {"name": "../../etc/passwd"}, 422, "passwd is no CSV"),
        (b"text\na\n", {"model": "nowhere"}, 404, "no model"),
        (b"text\n" + b"film\n" * 250_000, {}, 413, "too large"),
        (b"text\n" + b"f\n" * 1_001, {}, 422, "1,001 rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_sentence_and_leaves_nothing(
    body: bytes, options: dict[str, str], status: int, told: str, ask: Asked, uploads: Path
) -> None:
    response = sent(ask, body, limits=PageLimits(table_bytes=1 << 20, table_rows=1_000), **options)
    assert response.status_code == status
    sentence = response.json()["error"]
    assert told in sentence
    assert sentence.endswith(".")
    assert "--" not in sentence
    assert str(uploads) not in sentence
    assert list(uploads.iterdir()) == []


def test_more_tables_than_allowed_are_asked_to_wait(ask: Asked) -> None:
    response = sent(ask, b"text\nfilm\n", limits=PageLimits(tables=0))
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0


def test_a_model_that_fails_is_a_fault_of_the_server(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "call", _failing)
    with pytest.raises(RuntimeError):
        sent(ask, b"text\nfilm\n")


async def _failing(*_: object) -> None:
    raise RuntimeError("out of luck")


def test_the_page_imports_no_torch() -> None:
    program = "import sys, bertune.serving.page_routes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
