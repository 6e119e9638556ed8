"""The body of a request: read within its bounds, and parsed as strict JSON."""

import asyncio
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from bertune.serving.refused_request import DisconnectedError, RefusedError
from bertune.serving.serving_limits import ServingLimits
from bertune.system.json_file import parse_json

# Larger ones are parsed in a thread, between whose steps others are answered.
_SMALL_BODY: Final = 65_536

Asked = TypeVar("Asked", bound=BaseModel)


async def read_body(request: Request, limits: ServingLimits) -> bytes:
    """Reads a body, and not much more of it than is allowed.

    Raises:
        RefusedError: it is compressed or too large.
        DisconnectedError: the client has gone.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError("encoding", "compressed bodies are not taken: leave out Content-Encoding")
    declared = request.headers.get("content-length", "")
    too_large = RefusedError("body_size", f"the body is larger than {limits.max_body_bytes:,} bytes")
    if declared.isdecimal() and int(declared[:20]) > limits.max_body_bytes:
        raise too_large
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > limits.max_body_bytes:
                raise too_large
    except ClientDisconnect:
        raise DisconnectedError from None
    return bytes(body)


async def parse_body(body: bytes) -> dict[str, Any]:
    """Parses a body that must be one JSON object; see `parse_json` for what is no JSON here.

    Raises:
        RefusedError: it is something else; says what.
    """
    try:
        values = parse_json(body) if len(body) <= _SMALL_BODY else await asyncio.to_thread(parse_json, body)
    except ValueError as error:
        raise RefusedError("malformed", f"the body is no JSON that is taken here: {error}") from None
    if not isinstance(values, dict):
        raise RefusedError("malformed", "the body is not a JSON object")
    return values


def checked(shape: type[Asked], values: dict[str, Any]) -> Asked:
    """Checks an object against the shape of a protocol.

    Raises:
        RefusedError: names the first entry that differs; of the values nothing is said.
    """
    try:
        return shape.model_validate(values, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:6])
        raise RefusedError("invalid", f"{place}: {first['msg']}" if place else str(first["msg"])) from None
