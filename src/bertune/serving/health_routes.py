"""Whether the server lives, whether it is ready, and its numbers."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bertune.serving.protocol_routes import Protocol, json_response
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_state import ServingState
from bertune.serving.tei_protocol import tei_error

#: Routes that need no key: whoever asks them, as a supervisor does, learns nothing else.
OPEN_ROUTES = ("/healthz", "/readyz", "/health", "/v2/health/live", "/v2/health/ready")
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def health_routes(state: ServingState) -> list[Route]:
    """Makes the routes."""
    protocol = Protocol(state, tei_error)

    async def live(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        check_ready(state)
        return json_response({"ready": True, "models": list(state.models)})

    async def metrics(_request: Request) -> Response:
        return Response(state.metrics.text(), media_type=_METRICS_TYPE)

    return [
        protocol.route("/healthz", live),
        protocol.route("/readyz", ready),
        protocol.route("/health", ready),
        protocol.route("/metrics", metrics),
    ]


def check_ready(state: ServingState) -> None:
    """Refuses while the server is ending or a model has failed, so that nobody is sent to it any more.

    Raises:
        RefusedError: it is so.
    """
    if state.is_stopping:
        raise RefusedError("stopping", "the server is stopping")
    for model in state.models.values():
        if not model.is_alive:
            raise RefusedError("stopping", f"{model.name} has stopped working")
