"""Numbered pieces of work done by the processes of a Ray cluster. Ray only schedules: what a piece becomes is ours.

Plain actors and not Ray Data: no row goes through Ray, only the number of a piece and what comes of it, so there is
nothing to plan, to fuse or to keep in an object store (docs/decisions/0020-shards-that-need-no-coordinator.md).
"""

import contextlib
import importlib
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from bertune.errors import BertuneError, ConfigError, ResourceError
from bertune.system.processors import usable_processors
from bertune.system.shard_work import ShardWork

Done = TypeVar("Done")

#: A piece that ends this many processes would end more.
_MOST_DEATHS: Final = 3
_SECONDS_TO_REACH: Final = 5.0
#: How long a cluster may be without a process that works; one that grows needs minutes to start a machine.
_SECONDS_WITHOUT_ROOM: Final = 600.0
_SECONDS_BETWEEN_LOOKS: Final = 5.0
_NOT_INSTALLED: Final = 'pip install "bertune[ray]", here and on the machines of the cluster'


class RayEngine:
    """Has pieces of work done by actors of a Ray cluster, each of which gets ready once, such as by loading a model.

    An actor has one piece at a time. Where one dies, with its machine or alone, its piece goes to another; pieces are
    such that doing one twice changes nothing. The machines must see the same files under the same names.

    Args:
        address: of a running cluster, `auto` or HOST:PORT; None starts one on this machine alone, without a dashboard
            and with a token of its own, so that nobody else can use it.
        actors: at most; None as many as there is room for.
        cpus: cores and threads of each.
    """

    def __init__(self, *, address: str | None = None, actors: int | None = None, cpus: int = 1) -> None:
        self._address = address
        self._actors = actors
        self._cpus = cpus
        self._ray: Any = None
        self._before = dict(os.environ)

    def __enter__(self) -> Self:
        """Reaches or starts the cluster.

        Raises:
            ConfigError: Ray is not installed, or the cluster cannot be reached.
        """
        if self._address is not None:
            _check_reachable(self._address)
        settings = {"RAY_USAGE_STATS_ENABLED": "0"}
        if self._address is None and "ray" not in sys.modules:  # which reads them when it is imported
            settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        elif self._address is not None:
            # Where something else answers at the address, Ray would ask it for a quarter of an hour.
            settings["RAY_NUM_REDIS_GET_RETRIES"] = "2"
        for name, value in settings.items():
            os.environ.setdefault(name, value)
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as error:
            raise ConfigError("--engine ray needs Ray, which is not installed", hint=_NOT_INSTALLED) from error
        with _signals_kept():
            try:
                self._connect()
            except (OSError, RuntimeError, ValueError) as error:
                self._ray.shutdown()
                where = "cannot be started here" if self._address is None else f"at {self._address} cannot be reached"
                raise ConfigError(
                    f"the Ray cluster {where}: {_first_sentence(error)}", hint="what is finished is kept"
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _signals_kept():
            self._ray.shutdown()
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            if name not in self._before:
                os.environ.pop(name, None)

    def _connect(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self._address is None:
            cpus = max(usable_processors(), self._cpus * (self._actors or 1))
            self._ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            self._ray.init(address=self._address, **quiet)

    def run(self, work: ShardWork[Done], numbers: Sequence[int], on_done: Callable[[int, Done], None]) -> None:
        """Has every piece done once; see `ShardEngine`.

        Raises:
            BertuneError: what a piece raises.
            ConfigError: the machines of the cluster do not see what this one sees.
            ResourceError: processes die of a piece, or no machine has room for one.
        """
        _Run(self._ray, self._maker(work), self._most(len(numbers)), deque(numbers)).finish(on_done)

    def _most(self, pieces: int) -> int:
        room = int(self._ray.cluster_resources().get("CPU", 0)) // self._cpus
        return max(1, min(pieces, room if self._actors is None else self._actors))

    def _maker(self, work: ShardWork[Any]) -> Callable[[], Any]:
        actor = self._ray.remote(RayActor).options(num_cpus=self._cpus, max_restarts=0, max_task_retries=0)
        # As bytes: what is unpickled imports torch, which counts threads when it is imported.
        content = self._ray.put(pickle.dumps(work))
        here = str(Path.cwd()), list(sys.path)
        return lambda: actor.remote(content, self._cpus, *here)


class RayActor:
    """A process of the cluster.

    Args:
        content: the work, pickled.
        threads: that it may use.
        folder: in which names of files begin.
        path: where modules are found on the machine that began.
    """

    def __init__(self, content: bytes, threads: int, folder: str, path: list[str]) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        sys.path += [entry for entry in path if entry not in sys.path]
        self._content = content
        self._folder = folder
        self._do: Callable[[int], Any] | None = None

    def open(self) -> bool:
        """Gets ready.

        Raises:
            BertuneError: as the work does, or the machine does not see the folder.
        """
        try:
            os.chdir(self._folder)
        except OSError as error:
            raise ConfigError(
                f"{socket.gethostname()} of the cluster has no folder {self._folder}",
                hint="--engine ray needs a file system that all its machines see under the same names",
            ) from error
        self._do = pickle.loads(self._content).open()  # noqa: S301 (from our own driver)
        return True

    def do(self, number: int) -> Any:
        """Does one piece."""
        assert self._do is not None
        return self._do(number)


@dataclass
class _Run:
    """One run of pieces.

    Args:
        ray: the module.
        make: starts an actor.
        most: actors at a time.
        waiting: numbers of pieces that nobody has.
    """

    ray: Any
    make: Callable[[], Any]
    most: int
    waiting: deque[int]
    #: What an actor was asked: to get ready, or for a piece.
    asked: dict[Any, tuple[Any, int | None]] = field(default_factory=dict)
    deaths: Counter[int | None] = field(default_factory=Counter)

    def finish(self, on_done: Callable[[int, Any], None]) -> None:
        """Gives every actor a new piece when it has done one, until there are none."""
        left = len(self.waiting)
        try:
            for _ in range(self.most):
                self._start()
            worked = time.monotonic()
            while left:
                ready, _ = self.ray.wait(list(self.asked), num_returns=1, timeout=_SECONDS_BETWEEN_LOOKS)
                if ready or any(number is not None for _, number in self.asked.values()):
                    worked = time.monotonic()
                elif time.monotonic() - worked > _SECONDS_WITHOUT_ROOM:
                    raise ResourceError(
                        f"the Ray cluster has had no room for a process for {_SECONDS_WITHOUT_ROOM / 60:.0f} minutes",
                        hint="what is finished is kept; run the same command again",
                    )
                for answer in ready:
                    actor, number = self.asked.pop(answer)
                    done = self._outcome(answer, number)
                    if done is None:
                        self._start()
                        continue
                    if number is not None:
                        on_done(number, done[0])
                        left -= 1
                    self._give(actor)
        finally:
            for actor, _ in self.asked.values():
                with contextlib.suppress(Exception):
                    self.ray.kill(actor)

    def _start(self) -> None:
        actor = self.make()
        self.asked[actor.open.remote()] = actor, None

    def _give(self, actor: Any) -> None:
        if self.waiting:
            number = self.waiting.popleft()
            self.asked[actor.do.remote(number)] = actor, number
        else:
            self.ray.kill(actor)

    def _outcome(self, answer: Any, number: int | None) -> tuple[Any] | None:
        """Gives what came of a piece; None where its actor died, and the piece waits again.

        Raises:
            BertuneError: what the piece raised, or too many have died of it.
        """
        errors = self.ray.exceptions
        try:
            return (self.ray.get(answer),)
        except errors.RayTaskError as error:
            raise _told(error) from error
        except errors.RayError as error:
            self.deaths[number] += 1
            if self.deaths[number] >= _MOST_DEATHS:
                what = "getting ready" if number is None else f"shard {number}"
                raise ResourceError(
                    f"{self.deaths[number]} processes of the Ray cluster ended at {what}: {_first_sentence(error)}",
                    hint="is there enough memory on its machines? what is finished is kept",
                ) from error
            if number is not None:
                self.waiting.appendleft(number)
            return None


def _told(error: Any) -> Exception:
    """Gives what was raised in an actor, as it would have been raised here."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BertuneError | OSError | MemoryError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return ConfigError(f"a machine of the Ray cluster lacks a package: {cause}", hint=_NOT_INSTALLED)
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _first_sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:300]


def _check_reachable(address: str) -> None:
    """Refuses a cluster that nobody answers for, before Ray tries for a minute.

    Raises:
        ConfigError: there is none at the address.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host:
        return  # `auto`
    try:
        if not port.isdecimal() or int(port) > 65535:
            raise OSError("no port")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_REACH).close()
    except OSError as error:
        raise ConfigError(
            f"the Ray cluster at {address} cannot be reached: {error.strerror or error}",
            hint="is it running, and is this its address? what is finished is kept",
        ) from error


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keeps the handlers of signals, in the place of which Ray puts its own."""
    is_main = threading.current_thread() is threading.main_thread()  # where alone handlers can be set
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
