"""Locks that end with their process, and what killed processes leave behind."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bertune.atomic import remove_leftovers, replaced_folder
from bertune.errors import ConfigError
from bertune.folder_lock import is_alive, only_run_in, refuse_second_run

HOLD = """
import sys
from pathlib import Path
from bertune.folder_lock import only_run_in
with only_run_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process with the lock of `run`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_process_is_refused_until_the_first_ends(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    for enter in (lambda: only_run_in(tmp_path / "run").__enter__(), lambda: refuse_second_run(tmp_path / "run")):
        with pytest.raises(ConfigError, match="another run is writing into"):
            enter()
    with only_run_in(tmp_path / "other"):
        pass
    holder.communicate("", timeout=30)
    refuse_second_run(tmp_path / "run")
    with only_run_in(tmp_path / "run"):
        assert [path.name for path in tmp_path.iterdir()] == [".lock-run"]
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_stops_nobody(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=30)
    assert (tmp_path / ".lock-run").exists()
    refuse_second_run(tmp_path / "run")
    with only_run_in(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_many_that_come_and_go_are_never_two_at_once(tmp_path: Path) -> None:
    """Also not in the moment in which one deletes the file that another has just opened."""
    inside: list[int] = []
    most: list[int] = []

    def come_and_go(number: int) -> None:
        for _ in range(300):
            try:
                with only_run_in(tmp_path / "run"):
                    inside.append(number)
                    most.append(len(inside))
                    inside.remove(number)
            except ConfigError:
                continue

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert list(tmp_path.iterdir()) == []


def test_a_link_and_the_folder_it_leads_to_are_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with only_run_in(tmp_path / "link"), pytest.raises(ConfigError):
        refuse_second_run(tmp_path / "run")


def test_where_nothing_can_be_written_beside_the_folder_there_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *arguments: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("bertune.folder_lock.os.open", refuse)
    with only_run_in(tmp_path / "run"):
        refuse_second_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_processes_are_alive_until_they_end() -> None:
    assert is_alive(os.getpid())
    assert is_alive(1)
    assert not is_alive(dead_process())


def test_leftovers_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    dead, alive = dead_process(), os.getpid()
    gone = [f".tmp-run-{dead}-0", f".tmp-run-{dead}-17"]
    kept = [f".tmp-run-{alive}-0", ".tmp-run-1-0", f".tmp-other-run-{dead}-0", ".tmp-run", "run", f".old-run-{dead}-0"]
    for name in [*gone, *kept]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    remove_leftovers(tmp_path, of="run")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    (tmp_path / f".tmp-run.toml-{dead}-3").write_text("half")
    remove_leftovers(tmp_path)
    kept.remove(f".tmp-other-run-{dead}-0")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_folder_that_is_being_filled_is_kept_whatever_its_number_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from another container, whose process numbers mean nothing here."""
    dead = dead_process()
    monkeypatch.setattr("bertune.atomic.os.getpid", lambda: dead)
    with replaced_folder(tmp_path / "run") as temporary:
        assert str(dead) in temporary.name
        (temporary / "file").write_text("x")
        remove_leftovers(tmp_path)
        assert (temporary / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
