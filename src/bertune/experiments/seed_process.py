"""A seed trained in a process of its own, with its own share of the threads, watched through a pipe.

Not `multiprocessing`: forking with threads about is unsafe, and spawning runs the user's script again in every process
unless it is guarded.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from bertune.errors import ResourceError
from bertune.experiments.seed_run import run_seed
from bertune.experiments.study_table import SeedResult
from bertune.training.callback import Callback
from bertune.training.history import EpochResult, Evaluation
from bertune.training.prepare import PreparedRun
from bertune.training.step import SkippedStep, StepResult

_START = "import sys; sys.path[:] = sys.argv[1:]; from bertune.experiments.seed_process import serve; serve()"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_FAILED, _PARENT_GONE, _TERMINATED = 1, 2, 143


class SeedProcesses:
    """Starts processes and ends those that are left.

    Args:
        threads: of each process.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def run(self, run: PreparedRun, callback: Callback | None) -> SeedResult:
        """Does what `run_seed` does, in a new process.

        Raises:
            ResourceError: the process was killed.
            BertuneError: what was raised there.
        """
        with self._process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump((self._threads, run), process.stdin, pickle.HIGHEST_PROTOCOL)
                process.stdin.flush()
                while True:
                    event, *content = pickle.load(process.stdout)  # noqa: S301 (our own process)
                    if event == "result":
                        result: SeedResult = content[0]
                        return result
                    if event == "error":
                        raise content[0]
                    if callback is not None:
                        getattr(callback, event)(*content)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
                raise ResourceError(
                    f"the process that trains seed {run.config.seed} ended unexpectedly",
                    hint="is there enough memory? use --parallel-seeds 1",
                ) from error

    def stop(self) -> None:
        """Ends all processes, which put their folders in order first, and starts no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._stopped:
                raise ResourceError("the study was stopped")
            process = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
                [sys.executable, "-c", _START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # An interrupt from the keyboard goes to the parent alone, which decides.
                process_group=0 if os.name == "posix" else None,
                env=os.environ | dict.fromkeys(_THREAD_VARIABLES, str(self._threads)),
            )
            self._running.append(process)
        try:
            yield process
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
            with self._lock:
                self._running.remove(process)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what was still buffered, for one that has ended


class _Reporting(Callback):
    """A callback that sends what it is told through a pipe."""

    def __init__(self, send: Any) -> None:
        self._send = send

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        self._send("on_start", total_steps, steps_per_epoch, precision)

    def on_step(self, result: StepResult) -> None:
        self._send("on_step", result)

    def on_skipped_step(self, skipped: SkippedStep) -> None:
        self._send("on_skipped_step", skipped)

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        self._send("on_smaller_parts", step, micro_batch_size)

    def on_evaluation(self, result: Evaluation) -> None:
        self._send("on_evaluation", result)

    def on_epoch(self, result: EpochResult) -> None:
        self._send("on_epoch", result)


def serve() -> NoReturn:
    """Trains the seed that comes through the pipe; the work of one process, which ends with it."""
    signal.signal(signal.SIGTERM, _terminate)
    code = _FAILED
    try:
        code = _train_and_answer()
    except SystemExit:
        code = _TERMINATED
    except (BrokenPipeError, EOFError, pickle.UnpicklingError):
        code = _PARENT_GONE
    except Exception:
        traceback.print_exc()  # what could not be sent as an answer must not be lost
    finally:
        os._exit(code)  # at once: a signal while the interpreter shuts down would be shown as an error


def _train_and_answer() -> int:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def send(*content: Any) -> None:
        # A parent that is gone ends this run, as an error ends it: its folder is put in order.
        pickle.dump(content, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    import torch

    threads, run = pickle.load(sys.stdin.buffer)  # noqa: S301 (from our own parent)
    torch.set_num_threads(threads)
    try:
        answer: tuple[str, object] = ("result", run_seed(run, _Reporting(send)))
    except BrokenPipeError:
        raise
    except Exception as error:
        answer = ("error", error)
    send(*answer)
    return 0


def _terminate(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)
