"""What a worker and the process that started it tell each other.

Lines of JSON on the worker's standard output are for the other process: `{"ready": …}`, or `{"raised": …}`. What the
worker is told comes by its standard input: what to serve, then `go` and `stop`. The end of that input is the end of the
other process, however that ended, and then of the worker.
"""

import contextlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from typing import Any

from bertune.system.json_file import JsonObject


class Supervision:
    """The two pipes to the process that started this one."""

    def __init__(self) -> None:
        # Whatever else writes to standard output is no message.
        self._told = os.dup(1)
        os.dup2(2, 1)
        # Without a lock that the thread would hold at the end of the process.
        self._heard = io.FileIO(0, closefd=False)

    def read(self) -> JsonObject:
        """Reads the first line."""
        values: JsonObject = json.loads(self._heard.readline())
        return values

    def tell(self, **message: Any) -> None:
        """Sends a message."""
        os.write(self._told, json.dumps(message, allow_nan=False).encode() + b"\n")

    def heed(self, folder: str, heard: Callable[[str], object]) -> None:
        """Has a thread wait for words, and for the end of the other process.

        Args:
            folder: removed when the other process is gone.
            heard: told each word.
        """
        threading.Thread(target=self._heed, args=(folder, heard), name="supervision", daemon=True).start()

    def _heed(self, folder: str, heard: Callable[[str], object]) -> None:
        while word := self._heard.readline():
            # The loop may have ended.
            with contextlib.suppress(RuntimeError):
                heard(word.decode().strip())
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
