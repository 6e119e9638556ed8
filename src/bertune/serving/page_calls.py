"""The page's calls as HTTP: JSON out, and one sentence for whatever cannot be answered."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bertune.errors import BertuneError, ConfigError, DataError
from bertune.serving.event_log import RequestRecord
from bertune.serving.protocol_routes import CLIENT_GONE
from bertune.serving.refused_request import DisconnectedError, RefusedError
from bertune.system.json_file import JsonObject

Endpoint = Callable[[Request], Awaitable[Response]]

HEADERS: Final = {
    # Nothing but the page's own files and calls; no style or script inside the document.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ColumnsAskedError(RefusedError):
    """A table whose columns must be named.

    Args:
        question: which columns.
        columns: there are, each by `name`, and as it is `shown`.
    """

    def __init__(self, question: str, columns: Sequence[JsonObject]) -> None:
        super().__init__("invalid", question)
        self.columns = columns


def page_route(path: str, endpoint: Endpoint, methods: Sequence[str] = ("GET",)) -> Route:
    """Makes a route of the page, which answers refusals and bad input with a sentence.

    Args:
        path: of the route, which stands in metrics.
        endpoint: gives the response, or raises `RefusedError`, or `DataError` and `ConfigError` for bad input.
        methods: of HTTP.
    """

    async def respond(request: Request) -> Response:
        record: RequestRecord | None = request.scope.get("bertune.record")
        reason: str
        try:
            if record is not None:
                record.route = path
            return await endpoint(request)
        except RefusedError as error:
            reason, response = error.kind, _refused(error)
        except (DataError, ConfigError) as error:
            reason, response = "invalid", json_response({"error": sentence_of(error)}, status=422)
        except DisconnectedError:
            reason, response = "disconnected", Response(status_code=CLIENT_GONE)
        if record is not None:
            record.reason = reason
        return response

    return Route(path, respond, methods=list(methods))


def _refused(error: RefusedError) -> Response:
    further = {"columns": error.columns} if isinstance(error, ColumnsAskedError) else {}
    response = json_response({"error": sentence_of(error)} | further, status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.kind == "body_size":
        response.headers["Connection"] = "close"  # what is left of the body is not read
    return response


def sentence_of(error: BertuneError | RefusedError) -> str:
    """Returns what an error says as a sentence; hints that name flags are for the command line."""
    hint = error.hint if isinstance(error, BertuneError) else None
    told = error.message if hint is None or "--" in hint else f"{error.message} ({hint})"
    return told if told.endswith((".", "?")) else f"{told}."


def json_response(values: JsonObject, *, status: int = 200) -> Response:
    """Returns an answer that nobody keeps."""
    return Response(json_bytes(values), status, {**HEADERS, "Cache-Control": "no-store"}, "application/json")


def json_bytes(values: JsonObject) -> bytes:
    """Writes JSON; halves of surrogate pairs, which texts may hold, are escapes."""
    return json.dumps(values, ensure_ascii=True, allow_nan=False).encode("ascii")


def require_type(request: Request, content_type: str) -> None:
    """Refuses what a form of another site could send: it cannot set this type without asking first.

    Raises:
        RefusedError: it has another type.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise RefusedError("encoding", f"This call takes {content_type}.")


def text_in(values: JsonObject, name: str, *, most_characters: int) -> str | None:
    """Returns a text of a call; None where there is none.

    Raises:
        RefusedError: no text, or too long.
    """
    value: Any = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedError("invalid", f"{name} is no text.")
    if len(value) > most_characters:
        raise RefusedError(
            "invalid", f"The text has {len(value):,} characters; this page takes texts of up to {most_characters:,}."
        )
    return value
