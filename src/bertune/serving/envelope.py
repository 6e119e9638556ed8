"""What every request goes through: the key, the origin, headers for safety, account and log."""

import base64
import binascii
import hmac
import time
import traceback
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertune.serving.event_log import RequestRecord
from bertune.serving.health_routes import OPEN_ROUTES
from bertune.serving.protocol_routes import CLIENT_GONE, refused
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_state import ServingState
from bertune.serving.tei_protocol import tei_error

# Routes with pages set a policy of their own.
_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
# Asked every few seconds: in the log they would hide the rest.
_UNLOGGED: Final = frozenset((*OPEN_ROUTES, "/metrics"))


class Envelope:
    """Wraps the routes.

    Args:
        app: the routes.
        state: of the server.
    """

    def __init__(self, app: ASGIApp, state: ServingState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        record = RequestRecord(scope["method"], scope["path"], time.perf_counter())
        scope["bertune.record"] = record
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._state.is_stopping:
                    headers["connection"] = "close"
            await send(message)

        try:
            refusal = self._refusal(scope)
            answer: ASGIApp = self._app if refusal is None else refused(refusal, tei_error)
            if refusal is not None:
                record.reason = refusal.kind
            await answer(scope, receive, send_on)
        except Exception as error:
            # Of bertune's own: told in the log, with where it happened, and to the client without.
            self._state.log.event("fault", error=type(error).__name__, where=_where(error), path=record.path)
            record.reason = "fault"
            if not status:
                fault = RefusedError("fault", "an unexpected fault of the server")
                await refused(fault, tei_error)(scope, receive, send_on)
        finally:
            self._account(record, status or CLIENT_GONE)

    def _account(self, record: RequestRecord, status: int) -> None:
        metrics = self._state.metrics
        metrics.requests.labels(record.route, str(status)).inc()
        metrics.duration.labels(record.route).observe(time.perf_counter() - record.begun)
        if record.reason is not None:
            metrics.rejected.labels(record.reason).inc()
        if record.path not in _UNLOGGED or status >= 400:
            self._state.log.request(record, status)

    def _refusal(self, scope: Scope) -> RefusedError | None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return RefusedError("cross_origin", "pages of other sites may not ask this server")
        key = self._state.api_key
        if key is None or scope["path"] in OPEN_ROUTES or _shows(headers.get("authorization", ""), key):
            return None
        return RefusedError("unauthorized", "this server wants its key: Authorization: Bearer KEY")


def _shows(authorization: str, key: bytes) -> bool:
    """Whether a header shows the key, as a token or, for browsers, as the password of any user."""
    scheme, _, given = authorization.partition(" ")
    shown = given.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown, key)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
