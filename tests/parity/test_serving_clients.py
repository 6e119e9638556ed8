"""Clients of others: Triton's for the Open Inference Protocol, and schemathesis by the OpenAPI document."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.end_to_end.serving_process import ServingProcess, serving
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, SPECIAL, TRAINING, write_encoder, write_table

pytestmark = pytest.mark.peer

# Schemathesis checks each with its own mutations.
CASES = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    from bertune.cli import main

    folder = tmp_path_factory.mktemp("served")
    model = write_encoder(folder / "model", [*SPECIAL, *GOOD, *BAD, *OTHER])
    for place, split in enumerate(("train", "validation")):
        (folder / "tables").mkdir(exist_ok=True)
        write_table(folder / "tables" / f"{split}.csv", 80, place)
    words = ["train", "--data", str(folder / "tables"), *COLUMNS, "--model", str(model), *TRAINING]
    assert main([*words, "--out", str(folder / "mood")]) == 0
    with serving(str(folder / "mood")) as process:
        yield process


@pytest.mark.parametrize("is_binary", [True, False])
def test_tritons_client_gets_the_numbers(server: ServingProcess, is_binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http")
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("mood")
        described = client.get_model_metadata("mood")
        (given,) = described["inputs"]
        texts = np.array(["good film", "bad", "fílm"], dtype=object)
        tensor = http.InferInput(given["name"], [len(texts)], given["datatype"])
        tensor.set_data_from_numpy(texts, binary_data=is_binary)
        outputs = [http.InferRequestedOutput(each["name"], binary_data=is_binary) for each in described["outputs"]]
        answer = client.infer("mood", [tensor], outputs=outputs, request_id="7")
        # Without outputs it asks for all of them in binary form.
        whole = client.infer("mood", [tensor])
        found = answer.as_numpy("probabilities")
        assert answer.get_response()["id"] == "7"
        assert np.allclose(found, whole.as_numpy("probabilities"), atol=1e-6)
        direct = server.client.post("/predict", json={"inputs": [[text] for text in texts]}).json()
        assert np.allclose(found.max(axis=1), [row[0]["score"] for row in direct], atol=1e-6)
        labels = [label.decode() if isinstance(label, bytes) else label for label in whole.as_numpy("label")]
        assert labels == [row[0]["label"] for row in direct]
        with pytest.raises(http.InferenceServerException, match="no model of that name"):
            client.get_model_metadata("other")


def test_schemathesis_finds_no_fault(server: ServingProcess) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    asked = 0
    for operation in schema.get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.ok().as_strategy(generation_mode=mode))
            def ask(case) -> None:
                nonlocal asked
                answer = case.call()
                asked += 1
                assert answer.status_code < 500, (case.path, answer.text)
                assert "Traceback" not in answer.text

            try:
                ask()
            except Exception as error:
                # An operation without anything to break has no such cases.
                if type(error).__name__ != "Unsatisfiable":
                    raise
    assert asked > 200
    assert not server.events("fault")
