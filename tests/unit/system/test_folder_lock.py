"""Locks that end with their process, and what killed processes leave behind."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from bertune.errors import ConfigError
from bertune.system import folder_lock
from bertune.system.atomic import remove_leftovers, replaced_folder
from bertune.system.folder_lock import is_alive, only_run_in, refuse_second_run, take_lock

HOLD = """
import sys
from pathlib import Path
from bertune.system.folder_lock import only_run_in
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


def test_a_lock_of_a_file_that_was_deleted_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that held it ends between the two calls, in which another opens the file and takes its lock."""
    taken: list[int] = []
    real, file = folder_lock.take_lock, tmp_path / ".lock-run"

    def late(descriptor: int, **how: bool) -> bool:
        if not taken:
            file.unlink()  # as the run does that ends
        taken.append(descriptor)
        return real(descriptor, **how)

    monkeypatch.setattr(folder_lock, "take_lock", late)
    with only_run_in(tmp_path / "run"):
        assert len(taken) == 2
        assert file.exists(), "the file that was locked is not the one that others look at"
        with pytest.raises(ConfigError, match="another run is writing into"):
            only_run_in(tmp_path / "run").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_file_that_another_run_made_again_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and a third run has begun by then."""
    file = tmp_path / ".lock-run"
    real, third = folder_lock.take_lock, contextlib.ExitStack()

    def late(descriptor: int, **how: bool) -> bool:
        monkeypatch.setattr(folder_lock, "take_lock", real)
        file.unlink()
        third.enter_context(only_run_in(tmp_path / "run"))
        return real(descriptor, **how)

    monkeypatch.setattr(folder_lock, "take_lock", late)
    with third, pytest.raises(ConfigError, match="another run is writing into"):
        only_run_in(tmp_path / "run").__enter__()


def test_who_only_looks_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the file that a killed run left, two may look at once, and one may start while another looks."""
    lock = tmp_path / ".lock-run"
    lock.touch()
    looking = os.open(lock, os.O_RDONLY)
    assert take_lock(looking, shared=True)
    refuse_second_run(tmp_path / "run")
    monkeypatch.setattr("bertune.system.folder_lock.time.sleep", lambda seconds: os.close(looking))
    with only_run_in(tmp_path / "run"), pytest.raises(ConfigError, match="another run is writing into"):
        refuse_second_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_second_user_is_kept_out_too(
    holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the first user's: it can be read, not written, nor be deleted."""
    real = os.open

    def open_as_another(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR and not flags & os.O_EXCL:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, mode)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr("bertune.system.folder_lock.os.open", open_as_another)
    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(ConfigError, match="another run is writing into"), only_run_in(tmp_path / "run"):
        pass
    holder.kill()
    holder.wait(timeout=30)
    with only_run_in(tmp_path / "run"), pytest.raises(ConfigError), only_run_in(tmp_path / "run"):
        pass


def test_the_lock_can_be_read_by_other_users(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with only_run_in(tmp_path / "run"):
            assert stat.S_IMODE((tmp_path / ".lock-run").stat().st_mode) == 0o644
    finally:
        os.umask(before)


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

    monkeypatch.setattr("bertune.system.folder_lock.os.open", refuse)
    with only_run_in(tmp_path / "run"):
        refuse_second_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_where_the_system_has_no_locks_runs_are_not_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "_fcntl", None)
    with only_run_in(tmp_path / "run"), only_run_in(tmp_path / "run"):
        refuse_second_run(tmp_path / "run")


def test_where_processes_cannot_be_asked_for_they_are_taken_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = dead_process()
    monkeypatch.setattr(folder_lock, "os", SimpleNamespace(name="nt"))
    assert is_alive(dead)


def test_the_lock_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with only_run_in(tmp_path / "run"):
        assert (tmp_path / ".lock-run").stat().st_mode == (tmp_path / "plain").stat().st_mode


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
    monkeypatch.setattr("bertune.system.atomic.os.getpid", lambda: dead)
    with replaced_folder(tmp_path / "run") as temporary:
        assert str(dead) in temporary.name
        (temporary / "file").write_text("x")
        remove_leftovers(tmp_path)
        assert (temporary / "file").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_named_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock-run")
    refuse_second_run(tmp_path / "run")
    with only_run_in(tmp_path / "run"):
        pass
