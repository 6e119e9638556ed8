"""Bounds of what the server takes, and of how long it waits."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """Bounds of a request, of the queue before a model, and of its batches.

    Args:
        max_body_bytes: of a request.
        max_texts: texts, or pairs, of a request.
        max_characters: of one text.
        request_timeout: seconds from the head of a request to its answer.
        max_queue: sequences that wait for one model; a text in windows is several.
        queue_deadline: seconds that a request may be expected to wait for its turn; it is refused beyond.
        max_batch_tokens: that are computed at a time; a longer sequence is computed alone.
        max_wait: seconds that a batch which others may still join waits for them.
        max_connections: at a time.
        drain_timeout: seconds that what is in flight has at the end.
    """

    max_body_bytes: int = 2_000_000
    max_texts: int = 32
    max_characters: int = 100_000
    request_timeout: float = 30.0
    max_queue: int = 2048
    queue_deadline: float = 1.0
    max_batch_tokens: int = 2048
    max_wait: float = 0.002
    max_connections: int = 1000
    drain_timeout: float = 25.0
