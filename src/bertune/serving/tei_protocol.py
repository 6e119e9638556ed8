"""The routes of Text Embeddings Inference for classifiers, as `huggingface_hub` asks them.

Source: https://huggingface.github.io/text-embeddings-inference.
"""

from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import scaled
from bertune.evaluation.predictions import Predictions
from bertune.serving.protocol_routes import Protocol, json_response
from bertune.serving.refused_request import RefusalKind, RefusedError
from bertune.serving.request_body import checked, parse_body, read_body
from bertune.serving.requested_texts import TextOrPair, examples_of_request
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_state import ServingState, record_of

_TYPES: Final[Mapping[RefusalKind, str]] = {
    "empty": "Empty",
    "poisoned": "Backend",
    "fault": "Backend",
    "overloaded": "Overloaded",
    "expired": "Overloaded",
    "stopping": "Unhealthy",
}
#: The name of a regression's only number.
VALUE: Final = "value"


class PipelineParameters(BaseModel):
    """What the Inference API of Hugging Face takes beside the inputs."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = None
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None


class PredictRequest(BaseModel):
    """Body of `POST /predict`."""

    model_config = ConfigDict(extra="forbid")

    inputs: str | list[str | list[str]]
    raw_scores: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["Right", "Left"] = "Right"
    parameters: PipelineParameters | None = None
    options: dict[str, Any] | None = None


def tei_error(refusal: RefusedError) -> dict[str, str]:
    """Makes the JSON of a refusal."""
    return {"error": refusal.message, "error_type": _TYPES.get(refusal.kind, "Validation")}


def tei_routes(state: ServingState) -> list[Route]:
    """Makes the routes: of the first model, and of each below `/models/NAME`."""
    protocol = Protocol(state, tei_error)

    async def predict(request: Request) -> Response:
        model = state.model(request.path_params.get("name"))
        record_of(request).model = model.name
        model.check_room()
        asked = checked(PredictRequest, await parse_body(await read_body(request, state.limits)))
        return json_response(await _predicted(state, request, model, asked))

    async def info(request: Request) -> Response:
        return json_response(_info(state, state.model(request.path_params.get("name"))))

    return [
        # What the first client of such a server asks, which knows no other address than that of the server.
        protocol.route("/", predict, ["POST"]),
        protocol.route("/predict", predict, ["POST"]),
        protocol.route("/info", info),
        protocol.route("/models/{name}", predict, ["POST"]),
        protocol.route("/models/{name}/predict", predict, ["POST"]),
        protocol.route("/models/{name}/info", info),
    ]


async def _predicted(state: ServingState, request: Request, model: ServedModel, asked: PredictRequest) -> Any:
    """Answers as TEI does: one text with a list of labels, several with a list of those."""
    texts, is_single = _texts(asked.inputs)
    if asked.truncation_direction == "Left":
        raise RefusedError("invalid", "truncation_direction: texts are cut as in training, which is not from the left")
    parameters = asked.parameters or PipelineParameters()
    if parameters.function_to_apply not in (None, "none", _function(model.signature)):
        raise RefusedError("invalid", f"parameters.function_to_apply: this model has {_function(model.signature)}")
    if parameters.top_k is not None and parameters.top_k < 1:
        raise RefusedError("invalid", "parameters.top_k: must be at least 1")
    predictions = await state.predicted(request, model, examples_of_request(texts, model.signature, state.limits))
    if asked.truncate is False and predictions.long_texts.over_length and model.signature.long_text != "windows":
        most = model.signature.max_length
        raise RefusedError("invalid", f"inputs must have at most {most} tokens, and truncate is false")
    is_raw = asked.raw_scores or parameters.function_to_apply == "none"
    rows = [row[: parameters.top_k] for row in _scores(predictions, is_raw=is_raw)]
    # The Inference API answers with a list in a list where TEI does not; `huggingface_hub` expects it.
    return rows[0] if is_single and asked.parameters is None else rows


def _texts(inputs: str | list[str | list[str]]) -> tuple[list[TextOrPair], bool]:
    """Reads the inputs as TEI does: a list of strings is one text, or one pair, and a list of lists several."""
    if isinstance(inputs, str):
        return [inputs], True
    if inputs and all(isinstance(each, str) for each in inputs):
        return [[str(each) for each in inputs]], True
    return list(inputs), False


def _function(signature: ModelSignature) -> str:
    return "sigmoid" if signature.kind.has_label_sets else "softmax" if signature.kind.has_labels else "none"


def _scores(predictions: Predictions, *, is_raw: bool) -> list[list[dict[str, Any]]]:
    signature = predictions.signature
    if not signature.kind.has_labels:
        return [[{"score": float(value), "label": VALUE}] for value in predictions.decisions]
    scores = scaled(predictions.logits, signature) if is_raw else predictions.probabilities
    return [
        [
            {"score": score, "label": label}
            for score, label in sorted(zip(row, signature.labels, strict=True), key=lambda pair: -pair[0])
        ]
        for row in scores.tolist()
    ]


def _info(state: ServingState, model: ServedModel) -> dict[str, Any]:
    names = model.signature.labels or (VALUE,)
    limits = state.limits
    return {
        "model_id": model.name,
        "model_sha": None,
        "model_dtype": model.computed_by.partition(",")[0],
        "model_type": {
            "classifier": {
                "id2label": {str(place): name for place, name in enumerate(names)},
                "label2id": {name: place for place, name in enumerate(names)},
            }
        },
        "max_concurrent_requests": limits.max_queue,
        "max_input_length": model.signature.max_length,
        "max_batch_tokens": limits.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": limits.max_texts,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": metadata.version("bertune"),
        "sha": None,
        "docker_label": None,
    }
