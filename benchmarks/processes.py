"""Runs groups of jobs in processes of their own, several groups at a time."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.speed.child import worker_environment
from benchmarks.speed.systems import ROOT, Environment, System, python_of, why_missing

Group = TypeVar("Group")


class JobError(Exception):
    """A process that ended with an error; the message has its last words."""

    def __init__(self, command: Sequence[str], code: int, words: str) -> None:
        super().__init__(f"exit code {code}: {' '.join(command)}\n{words[-2000:]}")
        self.code = code


def run_worker(environment: Environment, worker: str, folder: Path, *, threads: int) -> None:
    """Runs `benchmarks.WORKER FOLDER` in the Python of an environment.

    Raises:
        JobError: the environment is missing, or the worker failed.
    """
    python = python_of(environment)
    if python is None:
        raise JobError([worker], 2, why_missing(environment))
    variables = worker_environment(System(worker, worker, environment, worker), threads)
    command = [str(python), "-m", f"benchmarks.{worker}", str(folder)]
    run_command(command, variables=variables)


@dataclass(frozen=True)
class Finished:
    """A command that ended well.

    Args:
        output: its standard output.
        processor_share: its processor time by the time it took; below 1 with one thread, where others wanted the
            processor too.
    """

    output: str
    processor_share: float


def run_command(command: Sequence[str], *, variables: dict[str, str], log: Path | None = None) -> Finished:
    """Runs a command from the repository's root.

    Args:
        command: the program and its arguments.
        variables: the whole environment.
        log: where its standard error is kept; None forgets it unless it fails.

    Raises:
        JobError: its exit code is not 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=errors)
        # Popen's own wait keeps no account of the processor's time.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        written = []
        for stream in (output, errors):
            stream.seek(0)
            written.append(stream.read().decode("utf-8", "replace"))
    if log is not None:
        log.write_text(written[1], encoding="utf-8")
    if process.returncode:
        raise JobError(command, process.returncode, written[1])
    return Finished(written[0], (usage.ru_utime + usage.ru_stime) / seconds)


def own_variables(threads: int) -> dict[str, str]:
    """Returns the environment of bertune's command line with a number of threads, and without settings of its verbs."""
    verbs = ("BERTUNE_TRAIN_", "BERTUNE_EVALUATE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(verbs)}
    return kept | {"OMP_NUM_THREADS": str(threads)}


def run_groups(groups: Iterable[Group], run: Callable[[Group], None], *, at_a_time: int) -> int:
    """Runs groups in their order, several at a time; one that fails is told, and the others go on.

    Returns:
        How many failed.
    """
    failed = 0
    with ThreadPoolExecutor(at_a_time) as pool:
        running = {pool.submit(run, group): group for group in groups}
        for done in as_completed(running):
            error = done.exception()
            if isinstance(error, JobError):
                failed += 1
                print(f"{running[done]}: {error}", flush=True)
            elif error is not None:
                pool.shutdown(cancel_futures=True)
                raise error
    return failed
