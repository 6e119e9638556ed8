"""Requests that nobody should send: each is refused in the shape of its protocol, none is a fault of the server."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.serving.stand_ins import Served, in_loop, served

from bertune.serving.refused_request import STATUS

BODIES = [
    ("/predict", {"inputs": [["good", "film"]], "raw_scores": False, "truncate": None, "parameters": {"top_k": 1}}),
    ("/v1/models/mood:predict", {"instances": [{"text": "good"}], "signature_name": "serving_default"}),
    ("/v1/models/mood:predict", {"inputs": {"text": ["good", {"b64": "Z29vZA=="}]}}),
    (
        "/v2/models/mood/infer",
        {"id": "1", "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}], "outputs": []},
    ),
]
ODD = [
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 1000, b'"\\ud800"', b"[" * 200 + b"]" * 200, b"{}", b"[]", b"null", b"-1"),
    *(b"true", b'""', b'"\x00"', b"\xff", b'{"b64": "?"}', b'"poison"', b'"endless"', b"1.5", b'["a", "b", "c"]'),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)

# Path, body and headers.
Case = tuple[str, bytes, dict[str, str]]


@st.composite
def mutated(draw: st.DrawFn) -> Case:
    """A body of a protocol, one part of which is another: a value, or bytes of its text."""
    path, values = draw(st.sampled_from(BODIES))
    text = json.dumps(values).encode()
    how = draw(st.integers(0, 3))
    if how == 0:
        return path, draw(st.binary(max_size=200)), {}
    if how == 1:
        return path, json.dumps(draw(st.dictionaries(st.sampled_from(list(values)), JSON, max_size=4))).encode(), {}
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 12)))
    return path, text[:start] + draw(st.sampled_from(ODD) | st.binary(max_size=4)) + text[stop:], {}


async def check(server: Served, path: str, body: bytes, headers: dict[str, str]) -> None:
    answer = await server.client.post(path, content=body, headers=headers)
    assert answer.status_code == 200 or answer.status_code in STATUS.values(), body
    assert answer.status_code < 500, body
    if answer.status_code != 200:
        expected = {"error", "error_type"} if path == "/predict" else {"error"}
        assert set(answer.json()) == expected, body
        assert "Traceback" not in answer.text


def try_many(folder: Path, cases: st.SearchStrategy[Case], count: int) -> None:
    """Draws all cases, and sends them to one server."""
    drawn: list[Case] = []

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()

    async def ask() -> None:
        async with served(folder) as server:
            for path, body, headers in drawn:
                await check(server, path, body, headers)
            assert '"event": "fault"' not in server.logged()

    in_loop(ask(), seconds=600)


@st.composite
def with_binary_tensors(draw: st.DrawFn) -> Case:
    """A tensor behind the JSON whose sizes do not fit."""
    size = draw(st.integers(-5, 60) | st.none())
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    told = draw(st.just(str(len(head))) | st.text(alphabet="0123456789-+x", max_size=12))
    behind = draw(st.binary(max_size=60))
    return "/v2/models/mood/infer", head + behind, {"Inference-Header-Content-Length": told}


def test_malformed_requests_are_refused(tmp_path: Path) -> None:
    try_many(tmp_path, mutated(), 150)


def test_malformed_binary_tensors_are_refused(tmp_path: Path) -> None:
    try_many(tmp_path, with_binary_tensors(), 100)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_are_refused(tmp_path: Path) -> None:
    try_many(tmp_path, mutated(), 8000)
    try_many(tmp_path, with_binary_tensors(), 2000)
