"""The harness's side of a worker: a process that is stopped whenever it is not its turn."""

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from benchmarks.speed.systems import ROOT, System, python_of, why_missing

# Left out of a worker's environment, so that a shell's settings favour nobody.
_DROPPED = (
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "MALLOC_", "LD_PRELOAD", "THP_", "TORCH_",
    "TF_", "KERAS_", "XLA_", "TOKENIZERS_", "BERTUNE_", "PYTHONOPTIMIZE", "ATEN_",
)  # fmt: skip


class WorkerError(Exception):
    """A worker ended, answered nothing in time, or could not be started; the message says which."""


class Child:
    """One worker process.

    Args:
        system: what to run.
        folder: the workload.
        threads: for the worker's products.
        log: file for what it prints.

    Raises:
        WorkerError: its environment is missing, or it fails while loading.
    """

    def __init__(self, system: System, folder: Path, *, threads: int, log: Path, timeout: float = 1800) -> None:
        self.system = system
        self._log = log
        self._timeout = timeout
        python = python_of(system.environment)
        if python is None:
            raise WorkerError(why_missing(system.environment))
        command = [str(python), "-m", f"benchmarks.speed.workers.{system.worker}", str(folder), *system.arguments]
        if system.takes_threads:
            command += ["--threads", str(threads)]
        began = time.perf_counter()
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=worker_environment(system, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        self._rest = b""
        try:
            self.about = self._read()
            self.about["start_seconds"] = time.perf_counter() - began
            self._pause()
        except BaseException:
            self.close()
            raise

    def ask(self, **command: Any) -> dict[str, Any]:
        """Lets the worker run for one command and returns its answer.

        Raises:
            WorkerError: see the class.
        """
        assert self._process.stdin is not None
        try:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write((json.dumps(command) + "\n").encode())
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._last_words()) from error
        answer = self._read()
        self._pause()
        return answer

    def close(self) -> None:
        """Ends the worker."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pause(self) -> None:
        """Stops the process: threads that wait for work spin for a while, at the cost of whose turn it is."""
        self._process.send_signal(signal.SIGSTOP)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + self._timeout
        while b"\n" not in self._rest:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                raise WorkerError(f"no answer in {self._timeout:.0f} s")
            part = os.read(descriptor, 1 << 16)
            if not part:
                raise WorkerError(self._last_words())
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return f"ended: {lines[-1][:200]}" if lines else "ended without a word"


def worker_environment(system: System, threads: int) -> dict[str, str]:
    """Returns the environment variables of a worker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    count = str(threads)
    added = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    added |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}  # or the log lacks what was printed last
    if system.without:
        added["BERTUNE_DISABLE"] = ",".join(system.without)
    return kept | added | dict(system.settings)
