"""One server from its models to its end."""

import asyncio
import socket
from collections.abc import Callable, Sequence

from bertune.serving.application import ServingSettings, application
from bertune.serving.http_server import DrainingServer, heed_uvicorn
from bertune.serving.served_model import ModelSource, ServedModel
from bertune.serving.serving_metrics import ModelMetrics


def serve_models(
    sources: Sequence[ModelSource],
    listening: socket.socket,
    settings: ServingSettings,
    *,
    on_ready: Callable[[list[ServedModel]], None],
) -> None:
    """Serves models until a signal comes.

    Args:
        sources: of the models; the first answers where no name is given.
        listening: bound, not yet listening: nobody connects before the models are ready.
        settings: of the server.
        on_ready: told once, with the models.

    Raises:
        BertuneError: a model fails at its first text.
    """
    asyncio.run(_serve(sources, listening, settings, on_ready))


async def start_models(sources: Sequence[ModelSource], settings: ServingSettings) -> list[ServedModel]:
    """Gets models ready, each of which has answered once.

    Raises:
        BertuneError: a model fails at its first text.
    """
    models = [ServedModel(source, settings.limits, ModelMetrics(settings.metrics, source.name)) for source in sources]
    for model in models:
        await model.start()
    return models


async def _serve(
    sources: Sequence[ModelSource],
    listening: socket.socket,
    settings: ServingSettings,
    on_ready: Callable[[list[ServedModel]], None],
) -> None:
    models = await start_models(sources, settings)
    heed_uvicorn(settings.log)
    server = DrainingServer(application({model.name: model for model in models}, settings), settings.limits)
    listening.listen()
    on_ready(models)
    try:
        await server.serve(sockets=[listening])
    finally:
        for model in models:
            model.stop()
        settings.log.close()
