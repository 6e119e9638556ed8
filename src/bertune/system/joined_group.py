"""The processes that `torchrun` started, joined by torch.distributed: gloo on processors, NCCL on GPUs."""

import atexit
import contextlib
import datetime
import signal
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from bertune.errors import BertuneError, ConfigError, DivergedError, ResourceError, StoppedError
from bertune.system.process_group import (
    ALONE,
    ProcessError,
    ProcessGroup,
    ProcessLostError,
    ToldElsewhereError,
)
from bertune.system.torchrun import Launch

Value = TypeVar("Value")

_SMALL_BYTES: Final = 1 << 20  # what is smaller travels with others
_SECONDS_BETWEEN: Final = 0.02
# A process that is there notices within so many seconds that another is not.
_SECONDS_TO_ANSWER: Final = 3.0
_FAILED, _ENDED, _NOTICED = "failed", "ended", "noticed"
# What all processes raise at the same step, of which the first tells.
_AGREED: Final = (StoppedError, DivergedError, ResourceError)


class JoinedGroup(ProcessGroup):
    """Several processes that train one run; see `joined`.

    Every method raises ProcessLostError where another process has ended, or has not answered in time.

    Args:
        launch: places of the processes.
        store: what all of them can write and read, also where a process is lost.
        timeout: seconds that a process is waited for.
    """

    def __init__(self, launch: Launch, store: Store, *, timeout: float) -> None:
        self.rank, self.size = launch.rank, launch.size
        self.launch = launch.run_id
        self._goes_first = launch.local_rank == 0
        self._store = store
        self._timeout = timeout
        self._first_is_lost = False

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """See `ProcessGroup`."""
        small: dict[tuple[torch.dtype, torch.device], list[Tensor]] = defaultdict(list)
        with self._losses_told():
            works = []
            for tensor in tensors:
                if tensor.numel() * tensor.element_size() < _SMALL_BYTES:
                    small[tensor.dtype, tensor.device].append(tensor)
                else:
                    works.append(dist.all_reduce(tensor, async_op=True))
            packed = [(torch.cat([tensor.reshape(-1) for tensor in group]), group) for group in small.values()]
            works += [dist.all_reduce(flat, async_op=True) for flat, _ in packed]
            for work in works:
                assert work is not None
                work.wait()
        for flat, group in packed:
            parts = torch.split(flat, [tensor.numel() for tensor in group])
            for tensor, part in zip(group, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """See `ProcessGroup`."""
        found = torch.tensor([int(flag)])
        self.add_up([found])
        return bool(found.item())

    def gather(self, value: Value) -> list[Value]:
        """See `ProcessGroup`."""
        found: list[Any] = [None] * self.size
        with self._losses_told():
            dist.all_gather_object(found, value)
        return found

    def from_first(self, value: Value) -> Value:
        """See `ProcessGroup`."""
        found: list[Any] = [value if self.is_first else None]
        with self._losses_told():
            dist.broadcast_object_list(found, src=0)
        own: Value = found[0]
        return value if self.is_first else own

    def in_turn(self, work: Callable[[], Value]) -> Value:
        """See `ProcessGroup`."""
        done = _outcome_of(work) if self._goes_first else None
        self.gather(None)
        if not self._goes_first:
            done = _outcome_of(work)
        assert done is not None
        value, error = done
        codes = self.gather(None if error is None else getattr(error, "exit_code", 1))
        teller = next((rank for rank, code in enumerate(codes) if code is not None), None)
        if teller is None:
            assert error is None
            return value[0]
        if teller == self.rank:
            assert error is not None
            raise error
        raise ToldElsewhereError(codes[teller] or 1) from error

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        """Makes one error of all the ways in which torch says that another process is not there."""
        try:
            yield
        except RuntimeError as error:
            raise self._loss(str(error)) from error

    def _loss(self, told: str) -> ProcessLostError:
        silent = self._silent_processes()
        self._first_is_lost = 0 in silent
        which = f"process {silent[0]} of {self.size} (from 0)" if len(silent) == 1 else "another process"
        if "timed out" in told.lower() or "timeout" in told.lower():
            return ProcessLostError(
                f"{which} has not answered for {self._timeout:g} s",
                hint="look for what keeps it waiting; --process-timeout sets how long it is waited for",
            )
        return ProcessLostError(
            f"{which} has ended",
            hint="see what it said before; a system that is out of memory kills processes without a word",
        )

    def _silent_processes(self) -> list[int]:
        """Returns the processes that do not notice that something is wrong: they are not there."""
        others = {rank: f"{_NOTICED}/{rank}" for rank in range(self.size) if rank != self.rank}
        try:
            self._store.set(f"{_NOTICED}/{self.rank}", "")
            ends = time.monotonic() + _SECONDS_TO_ANSWER
            while time.monotonic() < ends and not self._store.check(list(others.values())):
                if self._store.check([_FAILED]):  # it tells by itself
                    break
                time.sleep(_SECONDS_BETWEEN)
            return [rank for rank, key in others.items() if not self._store.check([key])]
        except RuntimeError:  # the store is gone, with the machine that had it
            return []

    def told(self, error: BaseException) -> BaseException:
        """Returns the error with which this process ends: one process tells what happened, the others say nothing."""
        if isinstance(error, ToldElsewhereError) or (self.is_first and isinstance(error, StoppedError)):
            return error
        if not self.is_first and isinstance(error, _AGREED):
            return ToldElsewhereError(_code_of(error))
        is_lost = isinstance(error, ProcessLostError) or isinstance(error.__cause__, ProcessLostError)
        if is_lost or not (self.is_first or isinstance(error, Exception)):
            self._wait_for(_FAILED, seconds=_SECONDS_TO_ANSWER)
        try:
            first = self._store.compare_set(_FAILED, "", f"{self.rank} {_code_of(error)}").decode()
        except RuntimeError:
            first = f"{self.rank} 1"
        teller, code = first.split()
        if int(teller) != self.rank:
            return ToldElsewhereError(int(code) if is_lost else _code_of(error))
        if not self.is_first and isinstance(error, BertuneError) and not isinstance(error, ProcessError):
            found = ProcessError(f"process {self.rank} of {self.size} (from 0): {error.message}", hint=error.hint)
            found.exit_code = error.exit_code
            return found
        return error

    def leave(self, *, failed: bool) -> None:
        """Ends the group; the others wait for the first process.

        Its files are the run's, and where one process has failed, `torchrun` ends the others as soon as it is gone.
        """
        if not self.is_first and not failed:
            self._wait_for(_ENDED, seconds=self._timeout)
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()  # who waits for this process learns of its end
        if failed:
            self._leave_after_failure()
        elif self.is_first:
            self._end()

    def _leave_after_failure(self) -> None:
        if self.is_first:
            atexit.register(self._end)  # what it has to say comes before
        else:
            if not self._first_is_lost:
                self._wait_for(_ENDED, seconds=self._timeout)
            _take_no_signals()
        atexit.register(_take_no_signals)  # the command line takes them again at its end

    def _end(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._store.set(_ENDED, "")

    def _wait_for(self, key: str, *, seconds: float) -> None:
        """Waits until a process has written a key, so many seconds at most, or until a signal comes."""
        ends = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError, KeyboardInterrupt, SystemExit):
            while time.monotonic() < ends and not self._store.check([key]):
                time.sleep(_SECONDS_BETWEEN)


@contextmanager
def joined(launch: Launch | None, *, device: str, timeout: float) -> Iterator[ProcessGroup]:
    """Joins the processes of a launch, and gives the group; `ALONE` where there is only one.

    Args:
        launch: what `torchrun` told; None where it did not start this process.
        device: of the run: `auto`, `cpu` or `cuda`.
        timeout: seconds that a process is waited for, at least 1.

    Raises:
        ConfigError: there are fewer GPUs than processes on this machine, or the timeout is too short.
        ProcessLostError: a process did not come, has ended, or has not answered in time.
        ToldElsewhereError: the run has ended by an error of which another process tells.
    """
    if not timeout >= 1:
        raise ConfigError(f"--process-timeout must be at least 1 s, not {timeout:g}")
    if launch is None:
        yield ALONE
        return
    if not launch.is_several:
        alone = ProcessGroup()
        alone.launch = launch.run_id
        yield alone
        return
    backend = _backend_of(launch, device)
    waits = datetime.timedelta(seconds=timeout)
    try:
        store, _, _ = next(rendezvous("env://", timeout=waits))
        own = PrefixStore(_name_of_start(store, launch, timeout), store)
        dist.init_process_group(
            backend, store=PrefixStore("group", own), rank=launch.rank, world_size=launch.size, timeout=waits
        )
    except (RuntimeError, ProcessLostError) as error:
        raise ProcessLostError(
            f"the {launch.size} processes did not come together: {_first_line(error)}",
            hint="torchrun's --nnodes, --rdzv-endpoint and --max-restarts say who comes, and where",
        ) from error
    group = JoinedGroup(launch, own, timeout=timeout)
    try:
        yield group
    except BaseException as error:
        found = group.told(error)
        group.leave(failed=True)
        if found is error:
            raise
        for note in getattr(error, "__notes__", []):
            found.add_note(note)
        raise found from error
    group.leave(failed=False)


def _name_of_start(store: Store, launch: Launch, timeout: float) -> str:
    """Agrees on a name that no earlier start of the same launch had, since all of them have one store.

    The first process makes one and waits until each other has answered with a word of its own; the list of these words
    tells the others that it is of this start.

    Raises:
        ProcessLostError: a process has not come in time.
    """
    word = uuid.uuid4().hex
    others = [rank for rank in range(launch.size) if rank != 0]
    ends = time.monotonic() + timeout
    if launch.is_first:
        store.set("bertune/start", word)
        while not store.check([f"bertune/{word}/{rank}" for rank in others]):
            _wait_until(ends)
        store.set(f"bertune/{word}/all", " ".join(store.get(f"bertune/{word}/{rank}").decode() for rank in others))
        return f"bertune/{word}"
    while True:
        if store.check(["bertune/start"]):
            start = f"bertune/{store.get('bertune/start').decode()}"
            store.set(f"{start}/{launch.rank}", word)
            if store.check([f"{start}/all"]) and word in store.get(f"{start}/all").decode().split():
                return start
        _wait_until(ends)


def _wait_until(ends: float) -> None:
    if time.monotonic() > ends:
        raise ProcessLostError("another process has not come")
    time.sleep(_SECONDS_BETWEEN)


def _take_no_signals() -> None:
    """Lets the process end with its own exit code: `torchrun` sends SIGTERM to all as soon as one has failed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _backend_of(launch: Launch, device: str) -> str:
    """Chooses this process's GPU, and what the processes talk by."""
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    count = torch.cuda.device_count()
    if count < launch.local_size:
        raise ConfigError(
            f"{launch.local_size} processes on this machine need as many GPUs, and there are {count}",
            hint=f"torchrun --nproc-per-node {count}, or --device cpu",
        )
    torch.cuda.set_device(launch.local_rank)
    return "cpu:gloo,cuda:nccl"


def _outcome_of(work: Callable[[], Value]) -> tuple[list[Value], BertuneError | Exception | None]:
    """Returns the value in a list, or what was raised."""
    try:
        return [work()], None
    except Exception as error:
        return [], error


def _code_of(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    return 130 if isinstance(error, KeyboardInterrupt) else int(getattr(error, "exit_code", 1))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
