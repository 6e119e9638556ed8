"""A connection that is cut off when its client is too slow, sends too much, or is one too many."""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bertune.serving.serving_limits import ServingLimits

HEADER_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
#: A client that does not read its answer.
WRITE_SECONDS: Final = 30.0
MAX_HEADER_BYTES: Final = 65_536
_REFUSAL: Final = (
    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n"
)


class TimedConnection(HttpToolsProtocol):
    """Uvicorn's protocol with deadlines: it waits for heads and bodies for as long as a client likes."""

    limits: ClassVar[ServingLimits] = ServingLimits()
    header_seconds: ClassVar[float] = HEADER_SECONDS
    body_seconds: ClassVar[float] = BODY_SECONDS

    _timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None
    _header_bytes: int = 0
    _is_in_body: bool = False
    _is_refused: bool = False

    @staticmethod
    def in_all(own: int) -> int:
        """Takes the number of this process's connections, and returns that of all that listen at the address."""
        return own

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begins the deadline of the first head."""
        super().connection_made(transport)
        if self.in_all(len(self.connections)) > self.limits.max_connections:
            self._refuse("503 Service Unavailable", "too many connections", "retry-after: 1\r\n")
            return
        self._begin(self.header_seconds)

    def data_received(self, data: bytes) -> None:
        """Takes what arrives, within the size of a head and its time."""
        if self._is_refused:
            return
        if not self._is_in_body:
            if self._timer is None:
                self._begin(self.header_seconds)
            self._header_bytes += len(data)
            is_too_large = self._header_bytes > MAX_HEADER_BYTES + len(data)
            if is_too_large:
                self._refuse("431 Request Header Fields Too Large", "the head is larger than 64 KiB")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begins the deadline of the body."""
        self._header_bytes = 0
        self._is_in_body = True
        self._begin(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the deadline: a client may wait for its answer."""
        self._is_in_body = False
        self._end()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all deadlines."""
        self._end()
        self._end_writing()
        super().connection_lost(exc)
        self.in_all(len(self.connections))

    def pause_writing(self) -> None:
        """Begins the deadline of a client that does not read."""
        super().pause_writing()
        self._end_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Ends it."""
        self._end_writing()
        super().resume_writing()

    def _begin(self, seconds: float) -> None:
        self._end()
        self._timer = self.loop.call_later(seconds, self._cut_off)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _cut_off(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            self.transport.abort()
            return
        self._refuse("408 Request Timeout", "the request came too slowly")

    def _refuse(self, status: str, message: str, more: str = "") -> None:
        """Answers without the application, and closes."""
        self._is_refused = True
        self._end()
        content = f'{{"error":"{message}","error_type":"Validation"}}'
        head = _REFUSAL.format(status=status, length=len(content), more=more)
        self.transport.write((head + content).encode("ascii"))
        self.transport.close()


def connection_class(limits: ServingLimits, in_all: Callable[[int], int] = int) -> type[TimedConnection]:
    """Returns the class of connections within limits, for uvicorn, which makes them.

    Args:
        limits: of connections.
        in_all: told how many this process has, returns how many it and others that serve with it have.
    """
    return type("LimitedConnection", (TimedConnection,), {"limits": limits, "in_all": staticmethod(in_all)})
