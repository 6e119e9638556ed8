"""Runs the command line in processes that find torch imported.

A process of its own for each command costs two to three seconds of imports, of several hundred commands. Here one
process imports what bertune needs from other packages, nothing of bertune, and forks for each command: what the command
line imports, reads and leaves behind is that of a fresh process. Variables that torch, Python or the system read when
they start (all but those of `AT_ANY_TIME`) cannot be given this way; `tests/end_to_end/test_forked_commands.py` holds
both ways to the same answers.

Run as a program, it serves one request a line of standard input: the paths of the standard streams, arguments and
variables, as JSON. It answers with the exit code.
"""

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AT_ANY_TIME = ("BERTUNE_", "COLUMNS", "XDG_CACHE_HOME")
"""Beginnings of variables that are read when they are needed, not at the start."""

PRELOADED = ("torch", "numpy", "rich.console", "rich.table", "cyclopts", "tokenizers", "safetensors.torch", "tomli_w")


class ForkedCommands:
    """A process that forks for each command.

    Args:
        environment: of the process, complete.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment
        )

    def run(
        self, arguments: list[str], *, stdin: str | None, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Runs `bertune` with these arguments, and variables beside those of the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            streams = [Path(name) / stream for stream in ("stdin", "stdout", "stderr")]
            streams[0].write_text(stdin or "", encoding="utf-8")
            request = {
                "streams": [str(stream) for stream in streams],
                "arguments": arguments,
                "variables": self._environment | dict(variables),
                "folder": str(Path.cwd()),
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            output, errors = (stream.read_text("utf-8") for stream in streams[1:])
        return subprocess.CompletedProcess(["bertune", *arguments], code, output, errors)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def serve() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    # bertune itself is imported by each command; compiled once.
    # Requests come by another descriptor than a command's standard input, and none is read ahead of it.
    with tempfile.TemporaryDirectory() as compiled, os.fdopen(os.dup(0)) as requests:
        sys.pycache_prefix, sys.dont_write_bytecode = compiled, False
        for line in requests:
            child = os.fork()
            if child == 0:
                os._exit(_command(json.loads(line)))
            status = os.waitpid(child, 0)[1]
            print(os.waitstatus_to_exitcode(status), flush=True)


def _command(request: Mapping[str, Any]) -> int:
    """What a new interpreter would do between its start and its end."""
    modes = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for number, (path, mode) in enumerate(zip(request["streams"], modes, strict=True)):
        os.dup2(os.open(path, mode), number)
    os.environ.clear()
    os.environ.update(request["variables"])
    os.chdir(request["folder"])
    sys.argv = ["bertune", *request["arguments"]]
    try:
        runpy.run_module("bertune", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


if __name__ == "__main__":
    serve()
