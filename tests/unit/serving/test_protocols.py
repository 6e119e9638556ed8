"""The three protocols: the shapes that their clients know, one set of numbers, and refusals that each can read."""

import asyncio
import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.stand_ins import PAIRS, SEVERAL, SINGLE, VALUES, Served, in_loop, served

from bertune.serving.serving_limits import ServingLimits

PREDICT = "/v1/models/mood:predict"
INFER = "/v2/models/mood/infer"


async def asked(server: Served, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await server.client.post(path, content=content, headers=headers)
    return answer.status_code, answer.json()


def tensor(name: str, texts: list[str], **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": texts, **more}


def test_tei_answers_one_text_with_a_list_and_several_with_lists(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for body in ({"inputs": "good film"}, {"inputs": ["good film"]}):
                status, answer = await asked(server, "/predict", body)
                assert status == 200
                assert {each["label"] for each in answer} == set(SINGLE.labels)
                assert [each["score"] for each in answer] == sorted((each["score"] for each in answer), reverse=True)
                assert abs(sum(each["score"] for each in answer) - 1) < 1e-9
            status, several = await asked(server, "/predict", {"inputs": [["good film"], ["bad"]]})
            assert several[0] == answer
            assert len(several) == 2
            # As the client of Hugging Face asks, which expects a list in a list.
            for path in ("/", "/predict", "/models/mood", "/models/mood/predict"):
                status, nested = await asked(server, path, {"inputs": "good film", "parameters": {}})
                assert (status, nested) == (200, [answer])
            _, first = await asked(server, "/predict", {"inputs": "good film", "parameters": {"top_k": 1}})
            assert first == [answer[:1]]

    in_loop(ask())


def test_tei_gives_raw_scores_and_refuses_to_cut_where_told_so(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            _, shares = await asked(server, "/predict", {"inputs": "good"})
            _, raw = await asked(server, "/predict", {"inputs": "good", "raw_scores": True})
            exponents = np.exp([each["score"] for each in raw])
            assert np.allclose(exponents / exponents.sum(), [each["score"] for each in shares], atol=1e-6)
            long_text = "good " * 100
            assert (await asked(server, "/predict", {"inputs": long_text}))[0] == 200
            status, refusal = await asked(server, "/predict", {"inputs": long_text, "truncate": False})
            assert status == 422
            assert "64 tokens" in refusal["error"]

    in_loop(ask())


def test_info_says_labels_and_limits(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            info = (await server.client.get("/info")).json()
            assert info["model_id"] == "mood"
            assert info["model_type"]["classifier"]["id2label"] == {"0": "bad", "1": "good"}
            assert info["max_client_batch_size"] == 32

    in_loop(ask())


@pytest.mark.parametrize("signature", [SINGLE, PAIRS, SEVERAL, VALUES], ids=lambda signature: str(signature.kind))
def test_all_protocols_give_the_same_numbers(tmp_path: Path, signature: Any) -> None:
    texts = [("good film", "bad"), ("bad", "film film"), ("", "good")]

    async def ask() -> None:
        async with served(tmp_path, signature) as server:
            names = ("first", "second") if signature.is_pair else ("text",)
            rows = [list(pair[: len(names)]) for pair in texts]
            _, tei = await asked(server, "/predict", {"inputs": rows})
            columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
            instances = [dict(zip(names, row, strict=True)) for row in rows]
            _, by_row = await asked(server, PREDICT, {"instances": instances})
            _, by_column = await asked(server, PREDICT, {"inputs": columns})
            _, tensors = await asked(server, INFER, {"inputs": [tensor(*column) for column in columns.items()]})
            given = {output["name"]: np.reshape(output["data"], output["shape"]) for output in tensors["outputs"]}
            if not signature.labels:
                assert by_row["predictions"] == by_column["outputs"] == given["value"].tolist()
                assert [scores[0]["score"] for scores in tei] == by_row["predictions"]
                return
            for name, values in by_column["outputs"].items():
                assert [row[name] for row in by_row["predictions"]] == values == given[name].tolist()
            for scores, shares in zip(tei, by_column["outputs"]["probabilities"], strict=True):
                assert {each["label"]: each["score"] for each in scores} == dict(
                    zip(signature.labels, shares, strict=True)
                )

    in_loop(ask())


def test_tensorflow_takes_base64_plain_strings_and_one_version(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            encoded = {"b64": base64.b64encode(b"good film").decode()}
            plain = await asked(server, PREDICT, {"instances": ["good film"]})
            assert plain[0] == 200
            for body in (
                {"instances": [encoded]},
                {"instances": [{"text": encoded}]},
                {"inputs": ["good film"], "signature_name": "serving_default"},
                {"inputs": "good film"},
            ):
                status, answer = await asked(server, "/v1/models/mood/versions/1:predict", body)
                assert status == 200
                if "outputs" in answer:
                    assert {name: values[0] for name, values in answer["outputs"].items()} == plain[1]["predictions"][0]
                else:
                    assert answer == plain[1]
            status = (await server.client.get("/v1/models/mood")).json()
            assert status["model_version_status"][0]["state"] == "AVAILABLE"
            described = (await server.client.get("/v1/models/mood/metadata")).json()
            signature = described["metadata"]["signature_def"]["signature_def"]["serving_default"]
            assert signature["inputs"]["text"]["dtype"] == "DT_STRING"
            assert set(signature["outputs"]) == {"label", "probability", "probabilities"}
            for path in ("/v1/models/other", "/v1/models/mood/versions/2"):
                assert (await server.client.get(path)).status_code == 404

    in_loop(ask())


def test_inference_protocol_takes_and_gives_binary_tensors(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            texts = ["good film", "béd"]
            _, plain = await asked(server, INFER, {"id": "7", "inputs": [tensor("text", texts)]})
            assert plain["id"] == "7"
            content = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
            given = {
                "name": "text",
                "shape": [2],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(content)},
            }
            head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
            answer = await server.client.post(
                INFER, content=head + content, headers={"Inference-Header-Content-Length": str(len(head))}
            )
            assert answer.status_code == 200
            length = int(answer.headers["inference-header-content-length"])
            described, behind = json.loads(answer.content[:length]), answer.content[length:]
            for output, expected in zip(described["outputs"], plain["outputs"], strict=True):
                size = output["parameters"]["binary_data_size"]
                part, behind = behind[:size], behind[size:]
                if output["datatype"] == "FP32":
                    assert np.allclose(np.frombuffer(part, "<f4"), expected["data"], atol=1e-7)
                else:
                    assert part == b"".join(struct.pack("<I", len(word)) + word.encode() for word in expected["data"])
            assert not behind
            for cut in (head + content[:-1], head + content + b"x", head):
                answer = await server.client.post(
                    INFER, content=cut, headers={"Inference-Header-Content-Length": str(len(head))}
                )
                assert answer.status_code in (400, 422)

    in_loop(ask())


def test_inference_protocol_describes_models_and_readiness(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            described = (await server.client.get("/v2/models/mood")).json()
            assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
            assert (await server.client.get("/v2")).json()["extensions"] == ["binary_tensor_data"]
            ready = ("/v2/health/ready", "/v2/models/mood/ready", "/readyz", "/health")
            for path in (*ready, "/v2/health/live", "/healthz"):
                assert (await server.client.get(path)).status_code == 200
            server.state.is_stopping = True
            for path in ready:
                answer = await server.client.get(path)
                assert answer.status_code == 503
                assert answer.headers["connection"] == "close"
            for path in ("/v2/health/live", "/healthz"):
                assert (await server.client.get(path)).status_code == 200
            assert (await server.client.post("/predict", json={"inputs": "good"})).status_code == 200

    in_loop(ask())


def test_several_models_answer_by_name_and_the_first_without(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, SINGLE, SEVERAL) as server:
            _, first = await asked(server, "/predict", {"inputs": "good"})
            assert {each["label"] for each in first} == {"bad", "good"}
            _, second = await asked(server, "/models/mood1/predict", {"inputs": "good"})
            assert {each["label"] for each in second} == {"a", "b", "c"}
            status, refusal = await asked(server, "/models/mood2/predict", {"inputs": "good"})
            assert status == 404
            assert "mood, mood1" in refusal["error"]

    in_loop(ask())


TEI_REFUSALS = [
    (b"", 400, "Validation"),
    (b"{", 400, "Validation"),
    (b"[]", 400, "Validation"),
    (b"null", 400, "Validation"),
    (b"\xff\xfe", 400, "Validation"),
    (b'{"inputs": NaN}', 400, "Validation"),
    (b'{"inputs": "a", "inputs": "b"}', 400, "Validation"),
    (b'{"inputs": ' + b"9" * 100_000 + b"}", 400, "Validation"),
    (b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "Validation"),
    (b'{"inputs": "\\ud800"}', 400, "Validation"),
    (b'{"inputs": []}', 400, "Empty"),
    (b"{}", 422, "Validation"),
    (b'{"inputs": 7}', 422, "Validation"),
    (b'{"inputs": null}', 422, "Validation"),
    (b'{"inputs": [["a", "b", "c"]]}', 422, "Validation"),
    (b'{"inputs": [[]]}', 422, "Validation"),
    (b'{"inputs": ["a", "b"]}', 422, "Validation"),
    (b'{"inputs": [["a"], ["a", "b"]]}', 422, "Validation"),
    (b'{"inputs": "a", "raw_scores": "yes"}', 422, "Validation"),
    (b'{"inputs": "a", "other": 1}', 422, "Validation"),
    (b'{"inputs": "a", "truncation_direction": "Left"}', 422, "Validation"),
    (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "Validation"),
    (b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}', 422, "Validation"),
    (b'{"inputs": "poison"}', 424, "Backend"),
    (b'{"inputs": "endless"}', 424, "Backend"),
]


def test_tei_refuses_in_its_own_shape(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for body, status, kind in TEI_REFUSALS:
                found, refusal = await asked(server, "/predict", body)
                assert (found, refusal["error_type"]) == (status, kind), body[:60]
                assert set(refusal) == {"error", "error_type"}

    in_loop(ask())


OTHER_REFUSALS = [
    (PREDICT, {"instances": []}, 400),
    (PREDICT, {}, 422),
    (PREDICT, {"instances": ["a"], "inputs": ["a"]}, 422),
    (PREDICT, {"instances": [{"other": "a"}]}, 422),
    (PREDICT, {"instances": [{"b64": "?"}]}, 422),
    (PREDICT, {"instances": ["a"], "signature_name": "other"}, 422),
    (PREDICT, {"inputs": {"text": ["a"], "more": ["b"]}}, 422),
    (INFER, {"inputs": []}, 422),
    (INFER, {"inputs": [tensor("other", ["a"])]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"]), tensor("text", ["a"])]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"], shape=[2])]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"], shape=[-1])]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"], datatype="FP32")]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"])], "outputs": [{"name": "other"}]}, 422),
    (INFER, {"inputs": [tensor("text", ["a"], parameters={"binary_data_size": 9})]}, 422),
    ("/v1/models/mood", {}, 405),
    ("/v2/nothing", {}, 404),
]


def test_the_other_protocols_refuse_in_theirs(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path) as server:
            for path, body, status in OTHER_REFUSALS:
                found, refusal = await asked(server, path, body)
                assert (found, set(refusal)) == (status, {"error"}), (path, body, refusal)

    in_loop(ask())


def test_bodies_texts_and_characters_are_limited(tmp_path: Path) -> None:
    limits = ServingLimits(max_body_bytes=4000, max_texts=3, max_characters=50)

    async def ask() -> None:
        async with served(tmp_path, limits=limits) as server:
            assert (await asked(server, "/predict", {"inputs": [["a"]] * 3}))[0] == 200
            assert (await asked(server, "/predict", {"inputs": [["a"]] * 4}))[0] == 413
            assert (await asked(server, "/predict", {"inputs": "a" * 51}))[0] == 422
            assert (await asked(server, "/predict", {"inputs": "a" * 5000}))[0] == 413

            taken = 0

            async def endless():
                nonlocal taken
                for _ in range(1000):
                    taken += 1000
                    yield b"a" * 1000

            answer = await server.client.post("/predict", content=endless())
            assert answer.status_code == 413
            assert answer.headers["connection"] == "close"
            assert taken <= 4000 + 65_536
            status, _ = await asked(server, "/predict", b"\x1f\x8b", **{"Content-Encoding": "gzip"})
            assert status == 415

    in_loop(ask())


def test_a_request_without_an_answer_in_time_gets_504_and_is_not_computed(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, limits=ServingLimits(request_timeout=0.1), seconds=0.3) as server:
            first = asyncio.ensure_future(asked(server, "/predict", {"inputs": "good"}))
            await asyncio.sleep(0.05)
            answers = await asyncio.gather(first, *(asked(server, "/predict", {"inputs": "good"}) for _ in range(2)))
            assert [status for status, _ in answers] == [504] * 3
            await asyncio.sleep(0.5)
            assert server.predictor.batches == [[3]]
            assert 'bertune_rejected_total{reason="expired"} 3.0' in server.state.metrics.text().decode()

    in_loop(ask())
