"""How many processors this process may keep busy: what its container allows, not what the machine has."""

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

_THREADS = "OMP_NUM_THREADS"
_MEMBERSHIP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_TOPOLOGY = Path("/sys/devices/system/cpu")


# What `limit_threads` has set: nobody asked for it.
_set_here: set[str] = set()


def usable_processors() -> int:
    """Returns the number of processors, as limited by affinity and by the processor time of Linux's control groups.

    A limit of two and a half processors counts as two, a limit below one as one.
    """
    limit = processor_limit(_MEMBERSHIP, _GROUPS)
    return len(_present()) if limit is None else max(1, min(len(_present()), int(limit)))


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """Sets the number of threads of torch's products, before torch is loaded, where it would start too many.

    Torch starts one for each core, whatever processor time there is: in a container that may use two of 64 cores, 64,
    which wait for each other most of the time. A number that is set already stays.
    """
    if _THREADS in environment:
        return
    limit = processor_limit(_MEMBERSHIP, _GROUPS)
    if limit is not None and limit < _cores():
        environment[_THREADS] = str(max(1, int(limit)))
        _set_here.add(_THREADS)


def threads_of_workers(count: int) -> dict[str, str]:
    """Returns the variables of processes that share the processors: each may compute with as many threads.

    Args:
        count: of the processes; a number that whoever started this one has set is each one's.
    """
    total = threads_of_products()
    is_asked = _THREADS in os.environ and _THREADS not in _set_here
    return {_THREADS: str(total if is_asked else max(1, total // count))}


def threads_of_products() -> int:
    """Returns with how many threads products are computed: `OMP_NUM_THREADS`, else one a core that may be used."""
    asked = os.environ.get(_THREADS, "").split(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else min(usable_processors(), _cores())


def processor_limit(membership: Path, groups: Path) -> float | None:
    """Returns how many processors' time the control groups of this process grant, or None for no limit.

    Both versions of control groups are read, each from this process's group up to the root, whose files in a container
    are its own.

    Args:
        membership: lists the process's groups, a line each: number, controllers, path.
        groups: where control groups are mounted.
    """
    return min(_limits(membership, groups), default=None)


def _present() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cores() -> int:
    """Counts processors that share a core once, as torch does."""
    siblings = [_text(_TOPOLOGY / f"cpu{number}/topology/thread_siblings_list") for number in _present()]
    return len(siblings) if None in siblings else len(set(siblings))


def _limits(membership: Path, groups: Path) -> Iterator[float]:
    for line in (_text(membership) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = groups / controllers / path.strip("/")
        for folder in (group, *group.parents):
            limit = _limit_of(folder)
            if limit is not None:
                yield limit
            if folder == groups:
                break


def _limit_of(group: Path) -> float | None:
    """Reads `cpu.max` of the second version, or the two files of the first; a quota of -1 or "max" is none."""
    text = _text(group / "cpu.max") or f"{_text(group / 'cpu.cfs_quota_us')} {_text(group / 'cpu.cfs_period_us')}"
    try:
        quota, period = (int(number) for number in text.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
