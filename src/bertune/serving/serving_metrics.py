"""What Prometheus is told; no label holds anything of a text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# A second series beside each, of when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS: Final = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class ModelMetrics:
    """The numbers of one model.

    Args:
        of: of the server.
        model: its name, which the one who started the server gave.
    """

    def __init__(self, of: "ServingMetrics", model: str) -> None:
        self.queue_size = of.queue_size.labels(model)
        self.dropped = of.dropped.labels(model)
        self.input_tokens = of.input_tokens.labels(model)
        self.tokenization = of.tokenization.labels(model)
        self._queue = of.queue.labels(model)
        self._inference = of.inference.labels(model)
        self._batch_size = of.batch_size.labels(model)
        self._batch_tokens = of.batch_tokens.labels(model)

    def computed(self, *, seconds: float, tokens: int, waited: Sequence[float]) -> None:
        """Counts a batch.

        Args:
            seconds: that it took.
            tokens: in it.
            waited: seconds that each of its sequences waited before.
        """
        self._inference.observe(seconds)
        self._batch_tokens.observe(tokens)
        self._batch_size.observe(len(waited))
        for each in waited:
            self._queue.observe(each)


class ServingMetrics:
    """The numbers of a server, by the names of `docs/guides/serving.md`.

    Args:
        folder: where each of several processes keeps its numbers, which `text` adds up; the variable
            `PROMETHEUS_MULTIPROC_DIR` named it before prometheus_client was imported. None is a process by itself.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self._told = self.registry
        if folder is None:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
        else:
            from prometheus_client.multiprocess import MultiProcessCollector

            self._told = CollectorRegistry()
            MultiProcessCollector(self._told, path=str(folder))  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "bertune_requests", "Requests answered, by route and status.", ("route", "code"), registry=self.registry
        )
        self.duration = self._seconds("request", "From the head of a request to its answer.", "route")
        self.rejected = Counter(
            "bertune_rejected", "Requests refused, by the reason.", ("reason",), registry=self.registry
        )
        self.queue = self._seconds("queue", "From the queue to the begin of the batch.", "model")
        self.inference = self._seconds("inference", "Of one batch.", "model")
        self.tokenization = self._seconds("tokenization", "Of the texts of one request.", "model")
        self.queue_size = Gauge(
            "bertune_queue_size",
            "Sequences that wait.",
            ("model",),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.dropped = Counter(
            "bertune_dropped_sequences",
            "Sequences that were not computed, since nobody waited for them any longer.",
            ("model",),
            registry=self.registry,
        )
        self.batch_size = self._sizes("batch_size", "Sequences of a batch.", _SIZES)
        self.batch_tokens = self._sizes("batch_tokens", "Tokens of a batch.", _TOKENS)
        self.input_tokens = self._sizes("input_tokens", "Tokens of a request.", _TOKENS)

    def text(self) -> bytes:
        """Returns all numbers, of all processes, in Prometheus' text format."""
        return generate_latest(self._told)

    def _seconds(self, name: str, meaning: str, label: str) -> Histogram:
        return Histogram(
            f"bertune_{name}_duration_seconds", meaning, (label,), buckets=_SECONDS, registry=self.registry
        )

    def _sizes(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"bertune_{name}", meaning, ("model",), buckets=buckets, registry=self.registry)
