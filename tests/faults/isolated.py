"""Cases tried in a process that may die of them: how each ended, the seconds it took and the memory it asked for."""

import os
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LINE = struct.Struct("<IfI300s")
_CPU_SECONDS, _WALL_SECONDS = 10.0, 120
#: More than this is no memory that a machine has to spare for a damaged file; asking for it fails instead.
_ADDRESS_SPACE = 8 << 30
_PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Args:
        number: of the case, from 0.
        seconds: of the processor, whatever else the machine does.
        kilobytes: by which the memory of the process grew at its highest.
        ended: one word, and after a colon what there is to say.
    """

    number: int
    seconds: float
    kilobytes: int
    ended: str


def outcomes_of(
    count: int,
    attempt: Callable[[int], str],
    *,
    before: Callable[[], object] = lambda: None,
    limits: bool = True,
) -> list[Outcome]:
    """Tries cases one after another in a forked process; where it dies, another goes on behind the case.

    Args:
        count: of cases.
        attempt: told the number of a case; says how it ended.
        before: done once in each process and not measured, such as what is loaded at the first use.
        limits: whether a case may take only so much time and memory.
    """
    found: list[Outcome] = []
    while len(found) < count:
        found += _tried(range(len(found), count), attempt, before, limits)
    return found


def _tried(numbers: range, attempt: Callable[[int], str], before: Callable[[], object], limits: bool) -> list[Outcome]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            before()
            _try_all(numbers, attempt, writer, limits)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    found = []
    with os.fdopen(reader, "rb") as lines:
        while len(line := lines.read(_LINE.size)) == _LINE.size:
            number, seconds, kilobytes, ended = _LINE.unpack(line)
            found.append(Outcome(number, seconds, kilobytes, ended.rstrip(b"\0").decode(errors="replace")))
    status = os.waitpid(child, 0)[1]
    if len(found) < len(numbers):
        code = os.waitstatus_to_exitcode(status)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        found.append(Outcome(numbers[len(found)], _CPU_SECONDS, 0, f"died: {how}"))
    return found


def _try_all(numbers: range, attempt: Callable[[int], str], writer: int, limits: bool) -> None:
    # Unhandled, both end the process, also in the middle of compiled code.
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    if limits:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        if limits:
            signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
            signal.alarm(_WALL_SECONDS)
        before = _memory(reset=True)
        started = time.process_time()
        ended = attempt(number)
        seconds = time.process_time() - started
        os.write(writer, _LINE.pack(number, seconds, max(0, _memory() - before), ended.encode()[:300]))


def _memory(*, reset: bool = False) -> int:
    """Most memory that the process has used since it was reset, in KiB."""
    if reset and os.access(_PEAK, os.W_OK):
        _PEAK.write_text("5")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
