"""Workers are replaced, given up or ended, by real processes without models."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from bertune.errors import BertuneError, DataError, ResourceError
from bertune.serving.event_log import EventLog
from bertune.serving.worker_pool import PoolSettings, WorkerPool
from bertune.serving.worker_process import WorkerStart

SECONDS = 30.0


class Pool:
    """A pool in this process; signals come to this process, too."""

    def __init__(self, folder: Path, plan: dict[str, list[str]] | None = None, **settings) -> None:
        self.folder = folder
        (folder / "plan.json").write_text(json.dumps(plan or {}))
        (folder / "kept").mkdir()
        start = WorkerStart(
            module="tests.unit.serving.fake_worker",
            order={"folder": str(folder), "kept": str(folder / "kept")},
            files=(),
            environment={},
        )
        self.stream = StringIO()
        self.log = EventLog(self.stream, as_json=True)
        self.ready: list[dict] = []
        self.gone: list[int] = []
        given = {"count": 2, "drain_timeout": 10.0, "back_off": (0.0, 0.01), "on_ready": self.ready.extend}
        self.pool = WorkerPool(
            start, PoolSettings(**given | settings, on_end=lambda worker: self.gone.append(worker.pid)), self.log
        )

    def run(self, *, then: Callable[[], None] = lambda: None, when: Callable[[], bool] = lambda: True) -> int | None:
        """Runs it; `then` is called once `when` holds."""

        async def both() -> int | None:
            async def watch() -> None:
                while not (self.ready and when()):
                    await asyncio.sleep(0.01)
                then()

            watching = asyncio.ensure_future(watch())
            try:
                return await asyncio.wait_for(self.pool.run(), SECONDS)
            finally:
                watching.cancel()

        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return asyncio.run(both())
        finally:
            self.log.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def pids(self, number: int) -> list[int]:
        return [int(line) for line in (self.folder / f"lives-{number}").read_text().split()]

    def went(self) -> int:
        return len(list(self.folder.glob("went-*")))

    def events(self, name: str) -> list[dict]:
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [event for event in found if event["event"] == name]

    def leaves_nothing(self) -> bool:
        pids = [pid for number in (1, 2) if (self.folder / f"lives-{number}").exists() for pid in self.pids(number)]
        return bool(pids) and not any(is_there(pid) for pid in pids)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def tell(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_serve_until_a_signal_ends_them(tmp_path: Path, number: int) -> None:
    pool = Pool(tmp_path)
    pool.run(when=lambda: pool.went() == 2, then=lambda: tell(number))
    assert [told["number"] for told in pool.ready] == ["1", "2"]
    assert sorted(pool.gone) == sorted(pool.pids(1) + pool.pids(2))
    assert [event["signal"] for event in pool.events("stopping")] == [signal.Signals(number).name]
    assert len(pool.events("stopped")) == 1
    assert pool.leaves_nothing()


def test_a_worker_that_is_killed_is_replaced_and_the_other_stays(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    killed: list[int] = []

    def kill_the_second() -> bool:
        if pool.went() == 2 and not killed:
            killed.append(pool.pids(2)[0])
            os.kill(killed[0], signal.SIGKILL)
        return pool.went() == 3

    pool.run(when=kill_the_second, then=tell)
    assert (len(pool.pids(1)), len(pool.pids(2))) == (1, 2)
    (ended,) = pool.events("worker_ended")
    assert (ended["worker"], ended["pid"]) == (2, killed[0])
    assert "killed" in ended["error"]
    assert [event["worker"] for event in pool.events("worker_ready")] == [1, 2, 2]
    assert pool.leaves_nothing()


def test_a_worker_that_dies_again_and_again_at_its_start_ends_the_server(tmp_path: Path) -> None:
    pool = Pool(tmp_path, {"2": ["die later", "raise", "die later", "serve"]})
    with pytest.raises(BertuneError, match=r"worker 2 ended: exit code 7 \(3 times in a row") as raised:
        pool.run()
    assert raised.value.exit_code == 1
    assert len(pool.pids(1)) == 1
    assert len(pool.pids(2)) == 3
    assert pool.events("worker_ended")[1]["error"] == "the rows are bad"
    assert pool.leaves_nothing()


def test_failures_that_are_far_apart_end_nothing(tmp_path: Path) -> None:
    pool = Pool(tmp_path, {"1": ["die later"] * 5 + ["serve"]}, steady_seconds=0.0)
    pool.run(when=lambda: pool.went() == 7, then=tell)
    assert len(pool.pids(1)) == 6


@pytest.mark.parametrize(
    ("plan", "kind", "told"),
    [
        ({"2": ["raise"]}, DataError, "the rows are bad"),
        ({"1": ["die"], "2": ["slow"]}, ResourceError, "worker 1 was killed"),
    ],
)
def test_what_cannot_begin_is_one_error_of_its_own_kind(
    tmp_path: Path, plan: dict[str, list[str]], kind: type[BertuneError], told: str
) -> None:
    pool = Pool(tmp_path, plan)
    with pytest.raises(kind, match=told):
        pool.run()
    assert not pool.ready
    assert not pool.went()
    assert pool.leaves_nothing()


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    pool = Pool(tmp_path, {"1": ["hang"]})

    def twice() -> bool:
        if pool.went() == 2 and not pool.pool._stopping.is_set():
            tell()
        return pool.pool._stopping.is_set()

    begun = time.monotonic()
    assert pool.run(when=twice, then=tell) == signal.SIGTERM
    assert time.monotonic() - begun < 8
    assert pool.leaves_nothing()


def test_answers_that_a_worker_loses_at_the_end_are_an_error(tmp_path: Path) -> None:
    pool = Pool(tmp_path, {"2": ["lose"]})
    with pytest.raises(BertuneError, match="before all that it had taken was answered"):
        pool.run(when=lambda: pool.went() == 2, then=tell)


def test_a_worker_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertune.serving.worker_pool._PATIENCE", 0.1)
    pool = Pool(tmp_path, {"1": ["hang"]}, drain_timeout=0.1)
    with pytest.raises(BertuneError, match="worker 1 was killed"):
        pool.run(when=lambda: pool.went() == 2, then=tell)


KILLED = """
import sys
from pathlib import Path
from tests.unit.serving.test_worker_pool import Pool
Pool(Path(sys.argv[1])).run()
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": path()})
    try:
        wait_for(lambda: len(list(tmp_path.glob("went-*"))) == 2)
    finally:
        parent.kill()
        parent.wait()
    pids = [int((tmp_path / f"lives-{number}").read_text()) for number in (1, 2)]
    wait_for(lambda: not any(is_there(pid) for pid in pids))
    wait_for(lambda: not (tmp_path / "kept").exists())


def path() -> str:
    return os.pathsep.join(sys.path)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_worker_that_the_system_cannot_start_again_ends_the_server_and_not_the_others_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(tmp_path, {"2": ["die later"]})

    def refuse(*_arguments, **_options) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def begin_to_refuse(told: list[dict]) -> None:
        pool.ready.extend(told)
        monkeypatch.setattr(subprocess, "Popen", refuse)

    pool.pool._settings = replace(pool.pool._settings, on_ready=begin_to_refuse)
    with pytest.raises(ResourceError, match="worker 2 cannot be started: Resource temporarily unavailable"):
        pool.run()
    assert len(pool.events("worker_ended")) == 3
    assert pool.leaves_nothing()
