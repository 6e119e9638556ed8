"""One line for each event, written by a thread of its own; no text of a request stands in it."""

import json
import queue
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final

from bertune.wording.printed_lines import printable

_LONGEST_FIELD: Final = 1024
_CUT: Final = "…"
# Bytes that several processes can write to one pipe without mixing them: PIPE_BUF of Linux, less the end of the line.
_LONGEST_LINE: Final = 4095
# Of a reader that does not read, so many lines are kept.
_MOST_WAITING: Final = 10_000


@dataclass(eq=False)
class RequestRecord:
    """What is logged of a request.

    Args:
        method: of the request.
        path: as it was asked for.
        begun: by `time.perf_counter`.
        route: template of the path; other where no route has it.
        model: that was asked.
        texts: that were asked for.
        reason: why it was refused.
    """

    method: str
    path: str
    begun: float
    route: str = "other"
    model: str | None = None
    texts: int | None = None
    reason: str | None = None


class EventLog:
    """Writes events as lines, for people or as JSON.

    Args:
        stream: where to; None is standard error.
        as_json: one JSON object a line.
        quiet: only what is no ordinary request.
        of: told with each event: whose it is.
    """

    def __init__(
        self,
        stream: IO[str] | None = None,
        *,
        as_json: bool = False,
        quiet: bool = False,
        of: Mapping[str, int] | None = None,
    ) -> None:
        self._of = dict(of or {})
        self._stream = stream
        self._as_json = as_json
        self._quiet = quiet
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def request(self, record: RequestRecord, status: int) -> None:
        """Logs a request that was answered."""
        if self._quiet and status < 500:
            return
        fields: dict[str, Any] = {
            "method": record.method,
            "path": record.path,
            "status": status,
            "milliseconds": round((time.perf_counter() - record.begun) * 1000, 2),
        }
        for name in ("model", "texts", "reason"):
            if (value := getattr(record, name)) is not None:
                fields[name] = value
        self.event("request", **fields)

    def event(self, event: str, **fields: str | float | None) -> None:
        """Logs an event; never waits for whoever reads the log.

        Args:
            event: its name.
            fields: what is told of it; texts are cut at 1,024 characters, and shorter where the line is too long.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        longest = _LONGEST_FIELD
        line = self._line(now, event, _cut(fields, longest))
        while len(line.encode(errors="backslashreplace")) > _LONGEST_LINE and longest > 1:
            longest //= 2
            line = self._line(now, event, _cut(fields, longest))
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self, timeout: float = 2.0) -> None:
        """Writes what waits, for a limited time."""
        try:
            self._lines.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _line(self, now: str, event: str, fields: dict[str, Any]) -> str:
        if self._as_json:
            # ASCII alone: no character of a path can steer a terminal or begin a line.
            return json.dumps({"time": now, "event": event, **self._of, **fields}, allow_nan=False)
        told = " ".join(f"{name}={value}" for name, value in (self._of | fields).items())
        return printable(f"{now} {event} {told}")

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                line = self._line("", "lines_lost", {"count": lost}) + "\n" + line
            try:
                stream = self._stream or sys.stderr
                for each in line.split("\n"):
                    stream.write(each + "\n")
                if self._lines.empty():
                    stream.flush()
            except (OSError, ValueError):  # closed by its reader, or by the end of the process
                continue


def _cut(fields: dict[str, Any], longest: int) -> dict[str, Any]:
    return {
        name: value[: longest - 1] + _CUT if isinstance(value, str) and len(value) > longest else value
        for name, value in fields.items()
    }
