"""What a request is refused for, whatever the protocol: each kind with its status."""

from typing import Final, Literal

RefusalKind = Literal[
    "malformed",
    "empty",
    "unauthorized",
    "cross_origin",
    "not_found",
    "method",
    "slow",
    "body_size",
    "texts",
    "encoding",
    "invalid",
    "poisoned",
    "overloaded",
    "fault",
    "stopping",
    "expired",
]

STATUS: Final[dict[RefusalKind, int]] = {
    "malformed": 400,
    "empty": 400,
    "unauthorized": 401,
    "cross_origin": 403,
    "not_found": 404,
    "method": 405,
    "slow": 408,
    "body_size": 413,
    "texts": 413,
    "encoding": 415,
    "invalid": 422,
    "poisoned": 424,
    "overloaded": 429,
    "fault": 500,
    "stopping": 503,
    "expired": 504,
}


class RefusedError(Exception):
    """A request that gets no prediction.

    Args:
        kind: of the reason.
        message: one sentence; nothing of the texts stands in it.
        retry_after: seconds after which another attempt may succeed; None where that is not known.
    """

    def __init__(self, kind: RefusalKind, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The status of the response."""
        return STATUS[self.kind]


class DisconnectedError(Exception):
    """A client that has gone before its answer was there."""
