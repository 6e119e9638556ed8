"""The page's calls as HTTP: bounded JSON in, JSON out, one sentence for whatever cannot be."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from bertune.errors import BertuneError, ConfigError, DataError
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


class RefusedCallError(Exception):
    """A call that cannot be answered.

    Args:
        status: of HTTP.
        sentence: for whoever sits before the page.
        further: entries of the answer beside the sentence.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, sentence: str, *, further: JsonObject | None = None, retry_after: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.further = further or {}
        self.retry_after = retry_after


def answering(endpoint: Endpoint) -> Endpoint:
    """Answers refusals and bad input with a sentence; all other errors are the server's."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusedCallError as error:
            response = json_response({"error": error.sentence} | error.further, status=error.status)
            if error.retry_after:
                response.headers["Retry-After"] = str(error.retry_after)
            return response
        except (DataError, ConfigError) as error:
            return json_response({"error": sentence_of(error)}, status=422)

    return answer


def sentence_of(error: BertuneError) -> str:
    """Returns what an error says; hints that name flags are for the command line."""
    hint = "" if error.hint is None or "--" in error.hint else f" ({error.hint})"
    return f"{error.message}{hint}."


def json_response(values: JsonObject, *, status: int = 200) -> Response:
    """Returns an answer that nobody keeps."""
    return Response(json_bytes(values), status, {**HEADERS, "Cache-Control": "no-store"}, "application/json")


def json_bytes(values: JsonObject) -> bytes:
    """Writes JSON; halves of surrogate pairs, which texts may hold, are escapes."""
    return json.dumps(values, ensure_ascii=True, allow_nan=False).encode("ascii")


def require_type(request: Request, content_type: str) -> None:
    """Refuses what a form of another site could send: it cannot set this type without asking first.

    Raises:
        RefusedCallError: 415.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise RefusedCallError(415, f"This call takes {content_type}.")


async def json_object_of(request: Request, *, most_bytes: int) -> JsonObject:
    """Reads the object in the body of a call.

    Raises:
        RefusedCallError: another type, too large, or no object.
    """
    require_type(request, "application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise RefusedCallError(413, f"The texts are too large: this page takes {most_bytes // 1024:,} kB.")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedCallError(400, "The call is not JSON.") from None
    if not isinstance(values, dict):
        raise RefusedCallError(400, "The call is not a JSON object.")
    return values


def text_in(values: JsonObject, name: str, *, most_characters: int) -> str | None:
    """Returns a text of a call; None where there is none.

    Raises:
        RefusedCallError: no text, or too long.
    """
    value: Any = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedCallError(422, f"{name} is no text.")
    if len(value) > most_characters:
        raise RefusedCallError(
            422, f"The text has {len(value):,} characters; this page takes texts of up to {most_characters:,}."
        )
    return value
