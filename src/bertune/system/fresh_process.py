"""Calls a function in a new Python, so that nothing but files passes between a model and its export."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from bertune import errors
from bertune.errors import BertuneError, ResourceError
from bertune.system.json_file import JsonObject

# The parent's own path: neither the folder one stands in nor a missing PYTHONPATH decides which code runs.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bertune.system.fresh_process import serve; serve()"
)
_DISK_PROBLEMS = ("No space left on device", "File too large", "Disk quota exceeded")

OnRows = Callable[[int], None]


def call_in_fresh_process(
    function: str,
    arguments: Mapping[str, Any],
    *,
    on_rows: OnRows | None = None,
    environment: Mapping[str, str] | None = None,
) -> JsonObject:
    """Calls a function in a new Python and waits for it.

    Args:
        function: as `module:name`; it takes `on_rows` and the arguments by name, and returns a dictionary.
        arguments: what JSON can hold; larger things go by files.
        on_rows: called with a number of rows whenever the function calls its own.
        environment: variables that differ from this process's.

    Returns:
        What the function returned, after a round through JSON.

    Raises:
        ResourceError: it had not enough disk or memory.
        BertuneError: that which the function raised, of its own class; or it failed otherwise, and the error carries
            the last line that it wrote.
    """
    path = json.dumps([entry for entry in sys.path if isinstance(entry, str)], allow_nan=False)
    command = [sys.executable, "-P", "-c", _START, path, function, json.dumps(dict(arguments), allow_nan=False)]
    # A file, because nobody reads this pipe while the process runs.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(  # noqa: S603 (this interpreter, our own code)
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | dict(environment or {})
        )
        with _ended(process):
            result = _listen(process, on_rows)
            code = process.wait()
        if code == 0 and result is not None:
            return result
        errors.seek(0)
        raise _failure(function, code, errors.read())


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Any:
    """Sees to it that the process is gone when the block is left, whatever ends the block."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _listen(process: subprocess.Popen[str], on_rows: OnRows | None) -> JsonObject | None:
    """Returns the result, None where the process ended without one.

    Raises:
        BertuneError: that which the function raised.
    """
    assert process.stdout is not None
    result: JsonObject | None = None
    raised: JsonObject | None = None
    for line in process.stdout:
        # Another library may write to this pipe too; its lines are no messages of ours.
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            message = json.loads(line)
            result, raised = message.get("result", result), message.get("raised", raised)
            if on_rows is not None and "rows" in message:
                on_rows(int(message["rows"]))
    if raised is not None:
        kind: type[BertuneError] = getattr(errors, raised["kind"])
        raise kind(raised["message"], hint=raised["hint"])
    return result


def _failure(function: str, code: int, errors: str) -> BertuneError:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    for problem in _DISK_PROBLEMS:
        if problem in errors:
            return ResourceError(f"a file cannot be written: {problem}", hint="free some space, or write elsewhere")
    # Killed by the system, which takes the largest process when memory runs out; or told so by the runtime.
    if code == -9 or "MemoryError" in last or "ResourceExhausted" in last or "allocate memory" in last:
        return ResourceError(f"not enough memory ({function} ended: {last})")
    return BertuneError(f"{function} failed in its own process: {last}", hint="nothing was written; please report this")


def serve() -> None:
    """Does the call; the work of the new process."""
    function, arguments = sys.argv[2], json.loads(sys.argv[3])
    # Messages go to a pipe of their own; whatever else writes to standard output is no message.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as pipe:
        os.dup2(2, 1)

        def tell(**message: Any) -> None:
            pipe.write(json.dumps(message, allow_nan=False) + "\n")
            pipe.flush()

        module, _, name = function.partition(":")
        called = getattr(importlib.import_module(module), name)
        try:
            tell(result=called(on_rows=lambda rows: tell(rows=rows), **arguments))
        except BertuneError as error:
            tell(raised={"kind": type(error).__name__, "message": error.message, "hint": error.hint})
