"""What each route is for, with a body that it takes: for the OpenAPI document and the page that shows it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from bertune.checkpoints.signature import ModelSignature
from bertune.serving.inference_protocol import InferenceRequest
from bertune.serving.requested_texts import input_names
from bertune.serving.tei_protocol import PredictRequest
from bertune.serving.tensorflow_protocol import InstancesRequest


@dataclass(frozen=True)
class RouteDescription:
    """A route.

    Args:
        path: template, with {name} for the name of a model.
        summary: one sentence.
        tag: the protocol.
        body: its shape, of a route that is posted to.
        example: a body that the first model answers.
    """

    path: str
    summary: str
    tag: str
    body: type[BaseModel] | None = None
    example: Any = None

    @property
    def method(self) -> str:
        """Of HTTP."""
        return "GET" if self.body is None else "POST"


_TEI, _TENSORFLOW = "Text Embeddings Inference", "TensorFlow Serving"
_INFERENCE, _SERVER = "Open Inference Protocol v2", "Server"


def described_routes(signature: ModelSignature) -> list[RouteDescription]:
    """Describes all routes.

    Args:
        signature: of the first model, for the examples.
    """
    names = input_names(signature)
    texts = ["How do I reset my password?", "I forgot my password."][: len(names)]
    tei = {"inputs": texts[0] if len(texts) == 1 else texts}
    rows = {"instances": [dict(zip(names, texts, strict=True))]}
    tensors = {
        "inputs": [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}
            for name, text in zip(names, texts, strict=True)
        ]
    }
    named = "/v1/models/{name}"
    inferred = "/v2/models/{name}"
    return [
        RouteDescription("/predict", "Every label and its score, the first model.", _TEI, PredictRequest, tei),
        RouteDescription("/models/{name}/predict", "The same of a model by its name.", _TEI, PredictRequest, tei),
        RouteDescription("/info", "Labels and limits of the first model.", _TEI),
        RouteDescription("/models/{name}/info", "The same of a model by its name.", _TEI),
        RouteDescription("/health", "Whether the server takes requests.", _TEI),
        RouteDescription(f"{named}:predict", "Predictions by row or column.", _TENSORFLOW, InstancesRequest, rows),
        RouteDescription(named, "Versions of a model.", _TENSORFLOW),
        RouteDescription(f"{named}/metadata", "Names and types of inputs and outputs.", _TENSORFLOW),
        RouteDescription("/v2", "Name and extensions of the server.", _INFERENCE),
        RouteDescription("/v2/health/live", "Whether the server lives.", _INFERENCE),
        RouteDescription("/v2/health/ready", "Whether the server takes requests.", _INFERENCE),
        RouteDescription(inferred, "Names and types of inputs and outputs.", _INFERENCE),
        RouteDescription(f"{inferred}/ready", "Whether a model takes requests.", _INFERENCE),
        RouteDescription(f"{inferred}/infer", "Predictions as tensors.", _INFERENCE, InferenceRequest, tensors),
        RouteDescription("/healthz", "Whether the server lives.", _SERVER),
        RouteDescription("/readyz", "Whether the server takes requests.", _SERVER),
        RouteDescription("/metrics", "Numbers for Prometheus.", _SERVER),
        RouteDescription("/openapi.json", "This list, for programs.", _SERVER),
    ]
