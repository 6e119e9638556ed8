"""The page on a port of this machine, served by a thread."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from tests.unit.serving.page_stand_in import StandIn

from bertune.serving.page_routes import page_routes


class ServerRefusalError(Exception):
    """What a server refuses by itself: with a status, and seconds to wait."""

    def __init__(self, status: int, retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServerRefusalError)
    return JSONResponse({"error": "in the server's own words", "error_type": "x"}, error.status, error.headers)


@contextmanager
def page_served(models: Mapping[str, StandIn], *, show_rows: bool = True) -> Iterator[str]:
    """Gives the address of the page."""
    routes = page_routes(models, show_rows=show_rows)
    application = Starlette(routes=routes, exception_handlers={ServerRefusalError: _refused})
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_level="error", ws="none", lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
