"""The routes of the Open Inference Protocol, version 2, as Triton's clients ask them.

Source: https://github.com/kserve/open-inference-protocol.
"""

import json
from importlib import metadata
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertune.evaluation.predictions import Predictions
from bertune.serving.binary_tensors import HEADER, binary_tensor, split_body, texts_in
from bertune.serving.health_routes import check_ready
from bertune.serving.named_outputs import OutputColumn, output_columns, output_values
from bertune.serving.protocol_routes import Protocol, json_response
from bertune.serving.refused_request import RefusedError
from bertune.serving.request_body import checked, parse_body, read_body
from bertune.serving.requested_texts import examples_of_request, input_names
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_state import VERSION, ServingState, asked_model
from bertune.serving.tensorflow_protocol import tensorflow_error

_PLATFORM: Final = "bertune"
_EXTENSIONS: Final = ("binary_tensor_data",)


class TensorParameters(BaseModel):
    """Parameters of a tensor; those of other extensions have no effect here."""

    model_config = ConfigDict(extra="ignore")

    binary_data: bool = False
    binary_data_size: int | None = None


class InputTensor(BaseModel):
    """A tensor of texts."""

    model_config = ConfigDict(extra="forbid")

    name: str
    shape: list[int]
    datatype: str
    parameters: TensorParameters = TensorParameters()
    data: list[str | list[str]] | None = None


class AskedOutput(BaseModel):
    """An output that the client wants."""

    model_config = ConfigDict(extra="forbid")

    name: str
    parameters: TensorParameters = TensorParameters()


class RequestParameters(BaseModel):
    """Parameters of a request; those of other extensions have no effect here."""

    model_config = ConfigDict(extra="ignore")

    binary_data_output: bool = False


class InferenceRequest(BaseModel):
    """Body of `POST /v2/models/NAME/infer`."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: list[InputTensor]
    outputs: list[AskedOutput] | None = None


def inference_routes(state: ServingState) -> list[Route]:
    """Makes the routes."""
    protocol = Protocol(state, tensorflow_error)

    async def server(_request: Request) -> Response:
        version = metadata.version("bertune")
        return json_response({"name": "bertune", "version": version, "extensions": list(_EXTENSIONS)})

    async def live(_request: Request) -> Response:
        return json_response({"live": True})

    async def ready(_request: Request) -> Response:
        check_ready(state)
        return json_response({"ready": True})

    async def model_ready(request: Request) -> Response:
        name = asked_model(state, request).name
        check_ready(state)
        return json_response({"name": name, "ready": True})

    async def model_metadata(request: Request) -> Response:
        return json_response(_metadata(asked_model(state, request)))

    async def infer(request: Request) -> Response:
        model = asked_model(state, request)
        model.check_room()
        body, binary = split_body(await read_body(request, state.limits), request.headers.get(HEADER))
        asked = checked(InferenceRequest, await parse_body(body))
        return await _inferred(state, request, model, asked, binary)

    routes = [
        protocol.route("/v2", server),
        protocol.route("/v2/health/live", live),
        protocol.route("/v2/health/ready", ready),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            protocol.route(f"{path}/infer", infer, ["POST"]),
            protocol.route(f"{path}/ready", model_ready),
            protocol.route(path, model_metadata),
        ]
    return routes


def _metadata(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": _PLATFORM,
        "inputs": [_described(OutputColumn(name, "BYTES")) for name in input_names(model.signature)],
        "outputs": [_described(column) for column in output_columns(model.signature)],
    }


def _described(column: OutputColumn) -> dict[str, Any]:
    return {"name": column.name, "datatype": column.datatype, "shape": [-1, *_widths(column)]}


def _widths(column: OutputColumn) -> list[int]:
    return [] if column.width is None else [column.width]


async def _inferred(
    state: ServingState, request: Request, model: ServedModel, asked: InferenceRequest, binary: bytes
) -> Response:
    names = input_names(model.signature)
    columns = _texts_by_name(asked.inputs, names, binary)
    wanted = _wanted(asked, output_columns(model.signature))
    rows = list(zip(*(columns[name] for name in names), strict=True))
    predictions = await state.predicted(request, model, examples_of_request(rows, model.signature, state.limits))
    return _response(model, asked, wanted, predictions)


def _texts_by_name(inputs: list[InputTensor], names: tuple[str, ...], binary: bytes) -> dict[str, list[str]]:
    """Reads the tensors.

    Raises:
        RefusedError: others than the model has, or of other types, shapes or sizes than they say.
    """
    given = [tensor.name for tensor in inputs]
    if sorted(given) != sorted(names):
        raise RefusedError("invalid", f"inputs must be {' and '.join(names)}")
    columns: dict[str, list[str]] = {}
    for tensor in inputs:
        if tensor.datatype != "BYTES":
            raise RefusedError("invalid", f"{tensor.name}: the datatype of texts is BYTES")
        size = tensor.parameters.binary_data_size
        if (size is None) == (tensor.data is None):
            raise RefusedError("invalid", f"{tensor.name}: has one of data and binary_data_size")
        if size is None:
            texts = _flat(tensor.data or [])
        else:
            if not 0 <= size <= len(binary):
                raise RefusedError("malformed", f"{tensor.name}: binary_data_size does not fit the body")
            texts, binary = texts_in(binary[:size]), binary[size:]
        shape = tensor.shape
        if shape not in ([len(texts)], [len(texts), 1]):
            raise RefusedError("invalid", f"{tensor.name}: the shape is not that of its {len(texts)} texts")
        columns[tensor.name] = texts
    if binary:
        raise RefusedError("malformed", "the body is longer than its tensors")
    if len(set(map(len, columns.values()))) > 1:
        raise RefusedError("invalid", "the inputs differ in length")
    return columns


def _flat(data: list[str | list[str]]) -> list[str]:
    return [text for row in data for text in ([row] if isinstance(row, str) else row)]


def _wanted(asked: InferenceRequest, columns: tuple[OutputColumn, ...]) -> list[tuple[OutputColumn, bool]]:
    """Tells which outputs are wanted, and which of them in binary form.

    Raises:
        RefusedError: one that the model does not have.
    """
    if asked.outputs is None:
        return [(column, asked.parameters.binary_data_output) for column in columns]
    by_name = {column.name: column for column in columns}
    for output in asked.outputs:
        if output.name not in by_name:
            raise RefusedError("invalid", f"outputs: there are {', '.join(by_name)}")
    return [(by_name[output.name], output.parameters.binary_data) for output in asked.outputs]


def _response(
    model: ServedModel, asked: InferenceRequest, wanted: list[tuple[OutputColumn, bool]], predictions: Predictions
) -> Response:
    values = output_values(predictions)
    outputs: list[dict[str, Any]] = []
    behind = b""
    for column, is_binary in wanted:
        tensor: dict[str, Any] = {
            "name": column.name,
            "datatype": column.datatype,
            "shape": [len(predictions), *_widths(column)],
        }
        if is_binary:
            content = binary_tensor(column.datatype, values[column.name])
            tensor["parameters"] = {"binary_data_size": len(content)}
            behind += content
        elif column.width is None:
            tensor["data"] = values[column.name]
        else:
            tensor["data"] = np.ravel(values[column.name]).tolist()
        outputs.append(tensor)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": VERSION, "outputs": outputs}
    if asked.id is not None:
        answer["id"] = asked.id
    if not behind:
        return json_response(answer)
    content = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
    return Response(content + behind, headers={HEADER: str(len(content))}, media_type="application/octet-stream")
