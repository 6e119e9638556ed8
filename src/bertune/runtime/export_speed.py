"""How fast a model or an export answers texts, one at a time and 32 at a time; imports no torch."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from bertune.runtime.padded_rows import ProofRows
from bertune.system.json_file import JsonObject
from bertune.tokenization.encoded_examples import EncodedExamples

SPEED_WORDS: Final = ("size", "one row", "32 rows at a time")
BATCH_ROWS: Final = 32
# So much of each, however slow the model: a proof is no benchmark.
_SECONDS: Final = 0.5
_MOST_CALLS: Final = 100
_LEAST_TEXTS: Final = 3


@dataclass(frozen=True)
class ExportSpeed:
    """Size and speed of an export, or of the model beside it, on one machine.

    Args:
        bytes: of the files, or of the model's weights in memory.
        latency_ms: of one text, in milliseconds: the median.
        rows_per_second: texts, or pairs, in batches of 32.
        threads: that computed.

    Example:
        >>> agreement = bertune.export("runs/questions/model", "exported", format="tf_checkpoint")
        >>> agreement.export_speed.bytes > 1000, agreement.export_speed.latency_ms > 0
        (True, True)
    """

    bytes: int
    latency_ms: float
    rows_per_second: float
    threads: int

    def to_dict(self) -> JsonObject:
        """Returns JSON-ready values, rounded to what such a short measurement tells."""
        rounded = {"latency_ms": round(self.latency_ms, 3), "rows_per_second": round(self.rows_per_second, 1)}
        return asdict(self) | rounded

    def texts(self) -> tuple[str, str, str]:
        """Returns size, latency and throughput as people read them."""
        return f"{self.bytes / 1e6:,.1f} MB", f"{self.latency_ms:,.2f} ms", f"{self.rows_per_second:,.0f} rows/s"


def measured(
    answer: Callable[[EncodedExamples], object], rows: ProofRows, *, threads: int, size: int = 0
) -> ExportSpeed:
    """Measures for about a second what has answered these rows before.

    Args:
        answer: computes the logits of sequences.
        rows: of which 32 texts are taken, one from each part; where there are fewer, some come twice, and where there
            are none, rows of random ids.
        threads: that compute.
        size: in bytes, where it is known here.
    """
    chosen = np.linspace(0, (rows.texts or len(rows)) - 1, BATCH_ROWS).astype(np.int64)
    singles = [rows.encoded.take([index]) for index in chosen]
    for one in singles[:_LEAST_TEXTS]:  # the first calls allocate
        answer(one)
    alone = _seconds_of(lambda call: answer(singles[call % BATCH_ROWS]), least=_LEAST_TEXTS)
    together = rows.encoded.take(chosen)
    batches = _seconds_of(lambda _call: answer(together), least=1)
    return ExportSpeed(size, 1000 * statistics.median(alone), BATCH_ROWS / statistics.median(batches), threads)


def _seconds_of(call: Callable[[int], object], *, least: int) -> list[float]:
    """Measures calls until half a second is over, and at least a few."""
    taken: list[float] = []
    while len(taken) < least or (len(taken) < _MOST_CALLS and sum(taken) < _SECONDS):
        started = time.perf_counter()
        call(len(taken))
        taken.append(time.perf_counter() - started)
    return taken
