import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bertune.system import atomic
from bertune.system.atomic import replaced_file, replaced_folder, signals_held, write_text


def fill(folder: Path, text: str) -> None:
    with replaced_folder(folder) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a.txt").write_text(text)


def content(folder: Path) -> str:
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name], "something was left behind"
    return (folder / "inner" / "a.txt").read_text()


@pytest.fixture(params=["exchange", "two renames"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "two renames":
        monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    return tmp_path / "deep" / "er" / "folder"


def test_a_folder_is_made_and_replaced_whole(target: Path) -> None:
    fill(target, "first")
    assert content(target) == "first"
    fill(target, "second")
    assert content(target) == "second"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_folder_and_nothing_else(target: Path, error: type[BaseException]) -> None:
    fill(target, "first")

    def fill_half() -> None:
        with replaced_folder(target) as temporary:
            (temporary / "half").write_text("x")
            raise error

    with pytest.raises(error):
        fill_half()
    assert content(target) == "first"


def test_an_error_before_the_first_folder_leaves_none(target: Path) -> None:
    with pytest.raises(RuntimeError), replaced_folder(target):
        raise RuntimeError
    assert list(target.parent.iterdir()) == []


def test_if_the_second_rename_fails_the_old_folder_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "in" / "folder"
    fill(target, "first")
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    rename = Path.rename

    def failing(self: Path, other: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise OSError("the disk went away")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="went away"):
        fill(target, "second")
    monkeypatch.undo()
    assert content(target) == "first"


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real" / "folder"
    fill(real, "first")
    link = tmp_path / "link"
    link.symlink_to(real)
    fill(link, "second")
    assert link.is_symlink()
    assert content(real) == "second"


def test_the_new_folder_is_as_readable_as_any(tmp_path: Path) -> None:
    fill(tmp_path / "a", "x")
    (tmp_path / "b").mkdir()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has the exchange")
def test_the_exchange_is_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "in" / "folder"
    fill(target, "first")
    monkeypatch.setattr(Path, "rename", lambda *paths: pytest.fail("there was a moment without a folder"))
    fill(target, "second")
    assert content(target) == "second"


def test_an_old_folder_that_cannot_be_removed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is done by then."""
    target, real = tmp_path / "in" / "folder", shutil.rmtree
    fill(target, "first")

    def refuse(path: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        real(path, ignore_errors=True)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    fill(target, "second")
    assert content(target) == "second"


def test_a_system_without_the_exchange_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def without(*arguments: object, **options: object) -> object:
        return object()

    monkeypatch.setattr(ctypes, "CDLL", without)
    assert atomic._exchange(tmp_path, tmp_path) is False


def test_everything_is_flushed_before_it_takes_its_place(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    place = atomic.put_in_place

    def watched(temporary: Path, folder: Path) -> None:
        assert {"a.txt", "inner", temporary.name} <= set(flushed)
        place(temporary, folder)

    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(atomic, "put_in_place", watched)
    fill(target, "first")
    assert flushed[-1] == target.parent.name


def test_a_file_is_flushed_before_it_takes_its_place_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real, replace = os.fsync, Path.replace

    def noted(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    def placed(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", placed)
    write_text(tmp_path / "run.toml", "a = 1\n")
    assert done[0].startswith(".tmp-run.toml-")
    assert done[1:] == ["rename", tmp_path.name]


def test_signals_wait_until_the_block_ends_and_come_once() -> None:
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in before:
            signal.signal(number, lambda number, _frame: came.append(number))
        handlers = {number: signal.getsignal(number) for number in before}
        with signals_held():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
            assert came == []
        assert came == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
        assert {number: signal.getsignal(number) for number in before} == handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_interrupt_within_the_block_is_raised_behind_it() -> None:
    done: list[str] = []

    def interrupted() -> None:
        with signals_held():
            signal.raise_signal(signal.SIGINT)
            done.append("both renames")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["both renames"]


def test_in_another_thread_no_handler_is_set() -> None:
    failed: list[BaseException] = []

    def hold() -> None:
        try:
            with signals_held():
                pass
        except ValueError as error:  # Python lets only the main thread set handlers
            failed.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert failed == []


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "folder" / "run.toml"
    write_text(path, "ä = 1\n")
    assert path.read_bytes() == "ä = 1\n".encode()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "b = 2\n")
    assert path.read_bytes() == "ä = 1\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["run.toml"]


def test_errors_name_what_people_know_and_not_what_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, replaced_folder(tmp_path / "model") as temporary:
        (temporary / "part" / "file").read_text()
    assert raised.value.filename == str(tmp_path / "model" / "part" / "file")
    for number, name in ((errno.ENOSPC, str(tmp_path / "scores.json")), (errno.ECONNRESET, None)):
        with pytest.raises(OSError, match="as the system says") as raised, replaced_file(tmp_path / "scores.json"):
            raise OSError(number, "as the system says")
        assert raised.value.filename == name
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_taken_for_a_file_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as told:
        write_text(tmp_path, "page")
    assert told.value.filename == str(tmp_path)


def test_what_a_killed_process_left_half_written_goes_when_it_is_written_again(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()  # its number is nobody's now
    left = [tmp_path / f".tmp-{name}-{process.pid}-0" for name in ("run.toml", "model", "other")]
    left[0].write_text("half")
    left[1].mkdir()
    left[2].write_text("of another file")
    write_text(tmp_path / "run.toml", "a = 1\n")
    with replaced_folder(tmp_path / "model"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([left[2].name, "model", "run.toml"])


def test_what_somebody_is_filling_in_another_container_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process number means nothing here."""
    monkeypatch.setattr(atomic, "is_alive", lambda number: False)
    with replaced_file(tmp_path / "scores.json") as filled:
        filled.write_text("{}")
        atomic.remove_leftovers(tmp_path)
        assert filled.exists()
    assert (tmp_path / "scores.json").read_text() == "{}"
