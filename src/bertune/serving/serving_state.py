"""What all routes of a server share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from starlette.requests import Request

from bertune.data.examples import Examples
from bertune.evaluation.predictions import Predictions
from bertune.serving.event_log import EventLog, RequestRecord
from bertune.serving.refused_request import DisconnectedError, RefusedError
from bertune.serving.served_model import ServedModel
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ServingMetrics

Result = TypeVar("Result")
#: Of every served model: the folder that is served does not change.
VERSION: Final = "1"


@dataclass(eq=False)
class ServingState:
    """A server's models and what it keeps account of.

    Args:
        models: by name, the default first.
        limits: of requests.
        metrics: of all routes.
        log: of all requests.
        api_key: that requests must show; None asks for none.
        is_stopping: whether the server was told to end.
    """

    models: Mapping[str, ServedModel]
    limits: ServingLimits
    metrics: ServingMetrics
    log: EventLog
    api_key: bytes | None = None
    is_stopping: bool = field(default=False)

    def model(self, name: str | None = None) -> ServedModel:
        """Finds a model; None is the first.

        Raises:
            RefusedError: there is none of that name.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise RefusedError("not_found", f"no model of that name; there are {', '.join(self.models)}")
        return self.models[name]

    async def predicted(self, request: Request, model: ServedModel, examples: Examples) -> Predictions:
        """Predicts for a request; when its client goes, so does what waits of it.

        Raises:
            RefusedError: see `ServedModel.predict`.
            DisconnectedError: the client has gone.
        """
        record_of(request).texts = len(examples)
        return await unless_disconnected(request, lambda: model.predict(examples))


async def unless_disconnected(request: Request, work: Callable[[], Awaitable[Result]]) -> Result:
    """Does what a request asks for, whose body has been read, and stops when its client goes.

    Raises:
        DisconnectedError: it has gone.
    """
    working = asyncio.ensure_future(work())
    # After the body the next message is that the client has gone.
    going = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise DisconnectedError
    finally:
        working.cancel()
        going.cancel()


def record_of(request: Request) -> RequestRecord:
    """Returns what the log will say of a request."""
    record: RequestRecord = request.scope["bertune.record"]
    return record


def asked_model(state: ServingState, request: Request) -> ServedModel:
    """Returns the model that the path of a request names, in the one version that it has.

    Raises:
        RefusedError: there is none of that name, or the path names another version.
    """
    model = state.model(request.path_params["name"])
    if request.path_params.get("version", VERSION) != VERSION:
        raise RefusedError("not_found", f"the only version of {model.name} is {VERSION}")
    record_of(request).model = model.name
    return model
