"""The routes of TensorFlow Serving: predict, status and metadata.

Source: https://www.tensorflow.org/tfx/serving/api_rest.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertune.checkpoints.signature import ModelSignature
from bertune.serving.named_outputs import OutputColumn, output_columns, output_values
from bertune.serving.protocol_routes import Protocol, json_response
from bertune.serving.refused_request import RefusedError
from bertune.serving.request_body import checked, parse_body, read_body
from bertune.serving.requested_texts import examples_of_request, input_names
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_state import VERSION, ServingState, asked_model

SIGNATURE_NAME: Final = "serving_default"
#: A folder has no versions; whoever asks for one gets what is served.
_TYPES: Final = {"BYTES": "DT_STRING", "FP32": "DT_FLOAT", "INT64": "DT_INT64"}


class EncodedText(BaseModel):
    """A text in base64, as TensorFlow's clients send bytes."""

    model_config = ConfigDict(extra="forbid")

    b64: str


Text = str | EncodedText


class InstancesRequest(BaseModel):
    """Body of `POST /v1/models/NAME:predict`: texts by row, or by column."""

    model_config = ConfigDict(extra="forbid")

    signature_name: str = SIGNATURE_NAME
    # Whatever has b64 alone is a text, before it is an object of texts by name.
    instances: list[Annotated[Text | dict[str, Text], Field(union_mode="left_to_right")]] | None = None
    inputs: Annotated[Text | list[Text] | dict[str, Text | list[Text]] | None, Field(union_mode="left_to_right")] = None


def tensorflow_error(refusal: RefusedError) -> dict[str, str]:
    """Makes the JSON of a refusal."""
    return {"error": refusal.message}


def tensorflow_routes(state: ServingState) -> list[Route]:
    """Makes the routes."""
    protocol = Protocol(state, tensorflow_error)

    async def predict(request: Request) -> Response:
        model = asked_model(state, request)
        model.check_room()
        asked = checked(InstancesRequest, await parse_body(await read_body(request, state.limits)))
        return json_response(await _predicted(state, request, model, asked))

    async def status(request: Request) -> Response:
        asked_model(state, request)
        available = {"error_code": "OK", "error_message": ""}
        version = {"version": VERSION, "state": "AVAILABLE", "status": available}
        return json_response({"model_version_status": [version]})

    async def metadata(request: Request) -> Response:
        return json_response(_metadata(asked_model(state, request)))

    routes = []
    for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        routes += [
            protocol.route(f"{path}:predict", predict, ["POST"]),
            protocol.route(f"{path}/metadata", metadata),
            protocol.route(path, status),
        ]
    return routes


async def _predicted(state: ServingState, request: Request, model: ServedModel, asked: InstancesRequest) -> Any:
    if asked.signature_name != SIGNATURE_NAME:
        raise RefusedError("invalid", f"signature_name: the only one is {SIGNATURE_NAME}")
    if (asked.instances is None) == (asked.inputs is None):
        raise RefusedError("invalid", "the request has one of instances and inputs")
    names = input_names(model.signature)
    rows = _by_row(asked.instances, names) if asked.instances is not None else _by_column(asked.inputs, names)
    predictions = await state.predicted(request, model, examples_of_request(rows, model.signature, state.limits))
    columns = output_values(predictions)
    if asked.instances is None:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def _by_row(instances: Sequence[Text | dict[str, Text]], names: Sequence[str]) -> list[list[str]]:
    rows = []
    for place, instance in enumerate(instances):
        if isinstance(instance, dict):
            rows.append([_plain(text) for text in _in_order(instance, names, f"instances[{place}]")])
        elif len(names) == 1:
            rows.append([_plain(instance)])
        else:
            raise RefusedError("invalid", f"instances[{place}] must be an object with {' and '.join(names)}")
    return rows


def _by_column(inputs: Any, names: Sequence[str]) -> list[list[str]]:
    if not isinstance(inputs, dict):
        if len(names) > 1:
            raise RefusedError("invalid", f"inputs must be an object with {' and '.join(names)}")
        inputs = {names[0]: inputs}
    columns = [column if isinstance(column, list) else [column] for column in _in_order(inputs, names, "inputs")]
    if len(set(map(len, columns))) > 1:
        raise RefusedError("invalid", "inputs: the columns differ in length")
    return [[_plain(text) for text in row] for row in zip(*columns, strict=True)]


def _in_order(values: dict[str, Any], names: Sequence[str], where: str) -> list[Any]:
    if set(values) != set(names):
        raise RefusedError("invalid", f"{where} must have {' and '.join(names)}, and nothing else")
    return [values[name] for name in names]


def _plain(text: Text) -> str:
    if isinstance(text, str):
        return text
    try:
        return base64.b64decode(text.b64, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError, ValueError):
        raise RefusedError("invalid", "b64: not the base64 of a text in UTF-8") from None


def _metadata(model: ServedModel) -> dict[str, Any]:
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: _signature_def(model.signature)}}},
    }


def _signature_def(signature: ModelSignature) -> dict[str, Any]:
    return {
        "inputs": {name: _tensor(OutputColumn(name, "BYTES")) for name in input_names(signature)},
        "outputs": {column.name: _tensor(column) for column in output_columns(signature)},
        "method_name": "tensorflow/serving/predict",
    }


def _tensor(column: OutputColumn) -> dict[str, Any]:
    sizes = ["-1"] if column.width is None else ["-1", str(column.width)]
    shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
    return {"dtype": _TYPES[column.datatype], "tensor_shape": shape, "name": f"{column.name}:0"}
