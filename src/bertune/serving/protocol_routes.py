"""Routes of the protocols: each answers, or refuses in the shape that its clients read."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertune.serving.refused_request import DisconnectedError, RefusedError
from bertune.serving.serving_state import ServingState, record_of

ErrorShape = Callable[[RefusedError], Mapping[str, Any]]
Answer = Callable[[Request], Awaitable[Response]]

# Nginx's number for a client that has gone; nobody receives it.
CLIENT_GONE = 499


@dataclass(frozen=True, eq=False)
class Protocol:
    """How the routes of a protocol refuse.

    Args:
        state: of the server.
        shape: the JSON of a refusal.
    """

    state: ServingState
    shape: ErrorShape

    def route(self, path: str, answer: Answer, methods: Sequence[str] = ("GET",)) -> Route:
        """Makes a route.

        Args:
            path: template of the path, which stands in metrics.
            answer: gives the response, or raises `RefusedError`.
            methods: of HTTP.
        """

        async def respond(request: Request) -> Response:
            record = record_of(request)
            record.route = path
            record.model = request.path_params.get("name")
            try:
                async with asyncio.timeout(self.state.limits.request_timeout):
                    return await answer(request)
            except RefusedError as error:
                refusal = error
            except TimeoutError:
                seconds = self.state.limits.request_timeout
                refusal = RefusedError("expired", f"no answer within {seconds:g} seconds")
            except DisconnectedError:
                record.reason = "disconnected"
                return Response(status_code=CLIENT_GONE)
            record.reason = refusal.kind
            return refused(refusal, self.shape)

        return Route(path, respond, methods=list(methods))


def refused(refusal: RefusedError, shape: ErrorShape, more_headers: Mapping[str, str] | None = None) -> Response:
    """Makes the response of a refusal.

    Args:
        refusal: the reason.
        shape: of the protocol.
        more_headers: of the response.
    """
    headers = dict(more_headers or {})
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if refusal.kind == "unauthorized":
        # Chromium reads the first scheme alone, and asks for a password only if it is Basic.
        headers["www-authenticate"] = 'Basic realm="bertune", Bearer realm="bertune"'
    if refusal.kind in ("body_size", "slow", "stopping"):
        # What is left of the body is not read.
        headers["connection"] = "close"
    return json_response(shape(refusal), refusal.status, headers)


def json_response(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Makes a response of JSON; numbers that are not finite cannot get into one."""
    content = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(content, status, headers, "application/json")
