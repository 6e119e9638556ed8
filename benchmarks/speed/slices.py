"""A worker's side of a measurement: it answers commands on stdin, one JSON line each, and idles between them.

A training loop that belongs to a package cannot be called slice by slice. So the loop runs once, over all steps, and
blocks in its end-of-step callback (`Slices.step_done`) until the next command allows it more steps.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Slices:
    """Talks with the parent; whatever else is printed on stdout goes to the log.

    Attributes:
        notes: told with every answer; for what is known only when the loop runs.
    """

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._born = time.perf_counter()
        self._imported: float | None = None
        self._command: dict[str, Any] = {}
        self._steps = self._examples = self._tokens = 0
        self._began = self._cpu = 0.0

    def imports_done(self) -> None:
        """Marks where importing ends and loading begins."""
        self._imported = time.perf_counter()

    def ready(self, **about: Any) -> None:
        """Says that all is loaded, with whatever the result file should say about this system."""
        now = time.perf_counter()
        imported = self._imported or now
        self._answer(
            ready=True, import_seconds=imported - self._born, load_seconds=now - imported, pid=os.getpid(), **about
        )

    def wait(self) -> dict[str, Any]:
        """Blocks until the next command and starts its clock; ends the process when there is none."""
        line = sys.stdin.readline()
        command = json.loads(line) if line.strip() else {"do": "stop"}
        if command["do"] == "stop":
            self._answers.close()
            sys.stderr.flush()
            # Not sys.exit: a package's loop might catch it, and half its threads are running.
            os._exit(0)
        self._command = command
        self._steps = self._examples = self._tokens = 0
        self._cpu = time.process_time()
        self._began = time.perf_counter()
        return command

    def step_done(self, examples: int, tokens: int, loss: Callable[[], float]) -> None:
        """Counts a step; at the last one of a slice answers, then blocks until the next command.

        Args:
            examples: of the step.
            tokens: of the step, real ones.
            loss: returns the loss of the step; called at the end of a slice only.
        """
        self._steps += 1
        self._examples += examples
        self._tokens += tokens
        if self._steps == self._command["steps"]:
            self.done(self._examples, self._tokens, steps=self._steps, loss=loss)
            self.wait()

    def done(self, examples: int, tokens: int, *, loss: Callable[[], float] | None = None, **more: Any) -> None:
        """Answers a command with what it took."""
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        if loss is not None:
            more["loss"] = loss()
        self._answer(
            seconds=seconds,
            cpu_seconds=cpu,
            **self.notes,
            examples=examples,
            tokens=tokens,
            peak_rss_bytes=peak_rss_bytes(),
            **more,
        )

    def _answer(self, **values: Any) -> None:
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()


def peak_rss_bytes() -> int:
    """Returns this process's peak resident memory; `getrusage` would start from that of the parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
