"""All routes of a server as one application."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from bertune.serving.envelope import Envelope
from bertune.serving.event_log import EventLog
from bertune.serving.health_routes import health_routes
from bertune.serving.inference_protocol import inference_routes
from bertune.serving.openapi_document import documentation_routes
from bertune.serving.page_routes import page_routes
from bertune.serving.protocol_routes import refused
from bertune.serving.refused_request import RefusedError
from bertune.serving.relabel_routes import relabel_routes
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ServingMetrics
from bertune.serving.serving_state import ServingState
from bertune.serving.tei_protocol import tei_error, tei_routes
from bertune.serving.tensorflow_protocol import tensorflow_error, tensorflow_routes


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """What a server does beside its models.

    Args:
        limits: of requests.
        metrics: that the models count in too.
        log: of its events.
        api_key: that requests must show; None asks for none.
        show_rows: whether the page shows rows of the data; see `page_routes`.
    """

    limits: ServingLimits = field(default_factory=ServingLimits)
    metrics: ServingMetrics = field(default_factory=ServingMetrics)
    log: EventLog = field(default_factory=EventLog)
    api_key: bytes | None = None
    show_rows: bool = True


def application(models: Mapping[str, ServedModel], settings: ServingSettings) -> Starlette:
    """Makes the application; its `state.serving` is told when the server stops.

    Args:
        models: by name, started; the first answers where no name is given.
        settings: of the server.
    """
    state = ServingState(models, settings.limits, settings.metrics, settings.log, settings.api_key)
    app = Starlette(
        routes=_routes(state, show_rows=settings.show_rows),
        middleware=[Middleware(Envelope, state=state)],
        exception_handlers={HTTPException: _no_route},
    )
    app.state.serving = state
    return app


def _routes(state: ServingState, *, show_rows: bool) -> list[BaseRoute]:
    runs = {name: model.run for name, model in state.models.items() if model.run is not None and show_rows}
    return [
        *relabel_routes(runs),
        # Before the routes of TEI, whose `/` is of POST alone.
        *page_routes(state.models, show_rows=show_rows),
        *health_routes(state),
        *tei_routes(state),
        *tensorflow_routes(state),
        *inference_routes(state),
        *documentation_routes(state),
    ]


async def _no_route(request: Request, error: Any) -> Response:
    """Answers what no route takes: an address that there is not, or another method."""
    shape = tensorflow_error if request.url.path.startswith(("/v1/", "/v2/")) else tei_error
    if error.status_code == 405:
        return refused(RefusedError("method", "this address takes another method"), shape, error.headers)
    return refused(RefusedError("not_found", "there is nothing at this address; /docs lists what there is"), shape)
