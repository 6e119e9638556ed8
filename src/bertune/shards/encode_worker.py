"""Processes that encode chunks, fed through pipes.

Not `multiprocessing`: forking with threads about is unsafe, and spawning runs the user's script again in every process
unless it is guarded. A worker here is a fresh interpreter that imports this module and nothing of the user's.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from bertune.errors import ResourceError
from bertune.shards.chunk_encoding import Chunk, ChunkEncoder, EncodedChunk

_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from bertune.shards.encode_worker import serve; serve()"
)


class EncoderProcesses:
    """Encodes chunks in several processes and gives the results in order.

    Args:
        encoder: what each process does.
        processes: how many.
    """

    def __init__(self, encoder: ChunkEncoder, processes: int) -> None:
        self._encoder = pickle.dumps(encoder, pickle.HIGHEST_PROTOCOL)
        self._processes = processes
        self._own = threading.local()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="encode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            for pipe in (worker.stdin, worker.stdout):
                assert pipe is not None
                # Closing writes what is still buffered, which a worker that ended cannot take.
                with contextlib.suppress(OSError):
                    pipe.close()
            worker.wait()

    def map(self, chunks: Iterable[Chunk]) -> Iterator[EncodedChunk]:
        """Encodes chunks; takes only a few more from the source than have been given back."""
        waiting: deque[Future[EncodedChunk]] = deque()
        for chunk in chunks:
            waiting.append(self._threads.submit(self._encode, chunk))
            if len(waiting) > 2 * self._processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _encode(self, chunk: Chunk) -> EncodedChunk:
        """Lets this thread's own process do it."""
        worker: subprocess.Popen[bytes] | None = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = self._start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            pickle.dump(chunk, worker.stdin, pickle.HIGHEST_PROTOCOL)
            worker.stdin.flush()
            answer = pickle.load(worker.stdout)  # noqa: S301 (our own process)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            raise ResourceError(
                "a process that encodes ended unexpectedly", hint="is there enough memory? use fewer --processes"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        result: EncodedChunk = answer
        return result

    def _start(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Each process has one core; the library's own threads would get in the way of the others.
            env={"TOKENIZERS_PARALLELISM": "false", **os.environ},
        )
        assert worker.stdin is not None
        self._workers.append(worker)
        pickle.dump(sys.path, worker.stdin)
        worker.stdin.write(self._encoder)
        worker.stdin.flush()
        return worker


def serve() -> None:
    """Answers until the pipe is closed; the work of one process."""
    # An interrupt goes to the whole group; the parent decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    encoder = pickle.load(source)  # noqa: S301 (from our own parent)
    while True:
        try:
            chunk = pickle.load(source)  # noqa: S301 (from our own parent)
        except (EOFError, pickle.UnpicklingError):
            return  # the parent closed the pipe, or is gone
        answer: Any
        try:
            answer = encoder(chunk)
        except Exception as error:
            answer = error
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
