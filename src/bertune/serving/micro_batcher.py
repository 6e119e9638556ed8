"""Requests that come one by one, computed in batches by one thread that keeps the model ready."""

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.evaluation.predictor import Predictor
from bertune.evaluation.windows import mean_of_windows
from bertune.serving.batch_queue import BatchQueue, Entry, Job, joined
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ModelMetrics
from bertune.tokenization.encoded_examples import EncodedExamples

# A weight for the newest batch that follows a change of load within a second and no single slow batch.
_NEWEST: Final = 0.2
# The first batches are slower than all others.
_NEWEST_FASTER: Final = 0.5
# From so much of the most tokens on a batch shows how fast the model is.
_FULL_SHARE: Final = 0.25
# After so long a call is due, whatever else waits.
_CALL_PATIENCE: Final = 5.0
_MOST_CALLS: Final = 16
_ENDED: Final = "the model has stopped working"


@dataclass(frozen=True, eq=False)
class _Call:
    """Something that the model's thread is to do between batches."""

    function: Callable[[Predictor], Any]
    future: asyncio.Future[Any]
    arrived: float


class MicroBatcher:
    """The thread of one model, and the queue before it.

    A batch begins when the thread is free: what comes meanwhile is computed together. Only after a batch of several
    does a smaller one wait a moment for the others, so that a client alone never waits.

    Args:
        opened: gives the predictor, entered by the thread.
        bounds: see `BatchQueue`.
        limits: of queue and batches.
        metrics: told what is done.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Predictor]],
        bounds: Sequence[int],
        limits: ServingLimits,
        metrics: ModelMetrics,
    ) -> None:
        self._opened = opened
        self._limits = limits
        self._metrics = metrics
        self._queue = BatchQueue(bounds)
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._futures: dict[Job, asyncio.Future[NDArray[np.float32]]] = {}
        self._computing_tokens = 0
        self._seconds_per_token = 0.0
        self._last_size = 1
        self._since = 0.0
        self._is_closing = False
        self.is_alive = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> Predictor:
        """Starts the thread.

        Returns:
            The predictor, for what it tells of itself; only the thread computes with it.

        Raises:
            BertuneError: whatever the opening raises.
        """
        self._loop = asyncio.get_running_loop()
        started: asyncio.Future[Predictor] = self._loop.create_future()
        # A process that is told to end while models are read does not wait for them.
        self._thread = threading.Thread(target=self._run, args=(started,), name="model", daemon=True)
        self._thread.start()
        return await started

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the thread after what it is doing, and waits for it.

        A process that ends while a thread of it computes in native code is aborted.

        Args:
            timeout: seconds to wait.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    @property
    def expected_wait(self) -> float:
        """Seconds until a sequence that comes now is likely to be computed."""
        return (self._queue.tokens + self._computing_tokens) * self._seconds_per_token

    def check_room(self, sequences: int = 1) -> None:
        """Refuses what the queue has no room for.

        Raises:
            RefusedError: it is full, or would take longer than the queue's deadline; or the thread has failed.
        """
        if not self.is_alive:
            raise RefusedError("stopping", _ENDED)
        wait = self.expected_wait
        if self._queue.count + sequences > self._limits.max_queue and self._queue.count:
            raise RefusedError("overloaded", "the queue is full", retry_after=max(1, math.ceil(wait)))
        if wait > self._limits.queue_deadline:
            raise RefusedError(
                "overloaded", "the queue is longer than its deadline", retry_after=max(1, math.ceil(wait))
            )

    async def logits(self, encoded: EncodedExamples) -> NDArray[np.float32]:
        """Computes logits of examples; see `Predictor`.

        Raises:
            RefusedError: there is no room in the queue, or the model fails on one of them.
        """
        self.check_room(len(encoded.sequences))
        assert self._loop is not None
        future: asyncio.Future[NDArray[np.float32]] = self._loop.create_future()
        job = Job(encoded.sequences, time.perf_counter())
        with self._changed:
            if not self._queue.count:
                self._since = job.arrived
            self._queue.push(job)
            self._futures[job] = future
            self._metrics.queue_size.set(self._queue.count)
            self._changed.notify()
        try:
            return mean_of_windows(await future, encoded)
        except asyncio.CancelledError:
            with self._changed:
                before = self._queue.dropped
                self._end(job)
                self._metrics.dropped.inc(self._queue.dropped - before)
            raise

    async def call(self, function: Callable[[Predictor], Any]) -> Any:
        """Has the thread call a function with the predictor when no request waits, within some seconds anyway.

        Raises:
            RefusedError: too many such calls wait.
        """
        assert self._loop is not None
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._changed:
            if len(self._calls) >= _MOST_CALLS:
                raise RefusedError("overloaded", "too many explanations wait", retry_after=1)
            self._calls.append(_Call(function, future, time.perf_counter()))
            self._changed.notify()
        return await future

    def _end(self, job: Job) -> asyncio.Future[NDArray[np.float32]] | None:
        """Ends a job, under the lock."""
        self._queue.end(job)
        return self._futures.pop(job, None)

    def _run(self, started: asyncio.Future[Predictor]) -> None:
        assert self._loop is not None
        try:
            with self._opened() as predictor:
                self._loop.call_soon_threadsafe(_set_result, started, predictor)
                while (work := self._next()) is not None:
                    if isinstance(work, _Call):
                        self._do(work, predictor)
                    else:
                        self._compute(work, predictor)
        except BaseException as error:
            # The loop may be gone with the process.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._fail, started, error)

    def _fail(self, started: asyncio.Future[Predictor], error: BaseException) -> None:
        """Has nobody wait for a thread that has ended."""
        self.is_alive = False
        _set_exception(started, error)
        with self._changed:
            waiting = [self._end(job) for job in list(self._futures)]
            calls = [call.future for call in self._calls]
            self._calls.clear()
        for future in (*waiting, *calls):
            if future is not None:
                _set_exception(future, RefusedError("stopping", _ENDED))

    def _next(self) -> list[Entry] | _Call | None:
        """Waits for something to do; None at the end."""
        with self._changed:
            while not self._is_closing:
                now = time.perf_counter()
                if self._calls and (not self._queue.count or now - self._calls[0].arrived > _CALL_PATIENCE):
                    return self._calls.popleft()
                if not self._queue.count:
                    self._changed.wait()
                    continue
                left = self._since + self._limits.max_wait - now
                is_joined = self._queue.count >= self._last_size
                if not is_joined and left > 0 and self._queue.tokens < self._limits.max_batch_tokens:
                    self._changed.wait(left)
                    continue
                batch = self._queue.pick(self._limits.max_batch_tokens)
                self._computing_tokens = sum(entry.tokens for entry in batch)
                self._metrics.queue_size.set(self._queue.count)
                if batch:
                    return batch
            return None

    def _do(self, call: _Call, predictor: Predictor) -> None:
        if call.future.cancelled():
            return
        assert self._loop is not None
        try:
            result = call.function(predictor)
        except Exception as error:
            self._loop.call_soon_threadsafe(_set_exception, call.future, error)
        except BaseException:
            self._loop.call_soon_threadsafe(_set_exception, call.future, RefusedError("stopping", _ENDED))
            raise
        else:
            self._loop.call_soon_threadsafe(_set_result, call.future, result)

    def _compute(self, batch: list[Entry], predictor: Predictor) -> None:
        """Computes a batch and has its answers delivered by the loop, which the futures belong to."""
        begun = time.perf_counter()
        answers = computed(batch, predictor)
        seconds = time.perf_counter() - begun
        done: list[tuple[asyncio.Future[NDArray[np.float32]], Any]] = []
        with self._changed:
            for entry, answer in zip(batch, answers, strict=True):
                job = entry.job
                if job.is_over:
                    continue
                if isinstance(answer, RefusedError):
                    done.append((self._futures[job], answer))
                    self._end(job)
                elif job.take(entry.row, answer):
                    done.append((self._futures[job], job.logits))
                    self._end(job)
            tokens, self._computing_tokens = self._computing_tokens, 0
            self._last_size = len(batch)
            # What a few tokens take says nothing about many, of which a queue that is long consists.
            if self._queue.count or tokens >= _FULL_SHARE * self._limits.max_batch_tokens:
                newest, known = seconds / tokens, self._seconds_per_token
                weight = _NEWEST if newest > known else _NEWEST_FASTER
                self._seconds_per_token = known + weight * (newest - known) if known else newest
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_deliver, done)
        self._metrics.computed(seconds=seconds, tokens=tokens, waited=[begun - entry.job.arrived for entry in batch])


def computed(batch: list[Entry], predictor: Predictor) -> list[NDArray[np.float32] | RefusedError]:
    """Computes a batch; one that fails is computed again sequence by sequence, so that each fails for itself.

    Returns:
        Of each sequence its logits, or why there are none.
    """
    try:
        logits = predictor.logits(joined(batch))
    except Exception as error:  # whatever an engine raises, from memory to arithmetic
        if len(batch) == 1:
            return [RefusedError("poisoned", f"the model failed on a text ({type(error).__name__})")]
        return [computed([entry], predictor)[0] for entry in batch]
    is_finite = [bool(np.isfinite(row).all()) for row in logits]
    if all(is_finite):
        return list(logits)
    if len(batch) == 1:
        return [RefusedError("poisoned", "the model gives numbers that are not finite for a text")]
    # Neighbours of a text with such numbers may have caught them.
    return [
        row if finite else computed([entry], predictor)[0]
        for entry, row, finite in zip(batch, logits, is_finite, strict=True)
    ]


def _set_result(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _deliver(done: list[tuple[asyncio.Future[NDArray[np.float32]], Any]]) -> None:
    for future, answer in done:
        if isinstance(answer, RefusedError):
            _set_exception(future, answer)
        else:
            _set_result(future, answer)
