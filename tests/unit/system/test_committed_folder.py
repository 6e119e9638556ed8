"""A committed folder is the old one or the new one, wherever its writing stops, and whatever happens to its bytes."""

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import CheckpointError, ResourceError
from bertune.system import atomic, committed_folder
from bertune.system.committed_folder import MANIFEST, check_folder, commit_folder, is_committed

OLD = {"a": b"old" * 300, "b": b"older"}
NEW = {"a": b"new" * 500, "b": b"newer", "c": b""}


class StopError(BaseException):
    """Stands in for the end of a process."""


def commit(place: Path, content: dict[str, bytes]) -> None:
    needed = sum(map(len, content.values()))
    commit_folder(place, {name: [value[:7], value[7:]] for name, value in content.items()}, needed=needed)


def content_of(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.name != MANIFEST}


class Faults:
    """Counts the calls that change a disk, and does something in the place of one of them, or right after it."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, *, fault: Callable[[], None], after: bool) -> None:
        self.calls: list[str] = []
        self.at, self.fault, self.after = at, fault, after
        for owner, name in (
            (os, "fsync"),
            (os, "mkdir"),
            (os, "rename"),
            (shutil, "rmtree"),
            (atomic, "_exchange"),
        ):
            patch.setattr(owner, name, self._watched(name, getattr(owner, name)))
        real_open = Path.open

        def opened(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            stream = real_open(path, mode, *arguments, **more)
            return Stream(stream, self) if "w" in mode else stream

        patch.setattr(Path, "open", opened)

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **more: self.call(name, lambda: real(*arguments, **more))

    def call(self, name: str, real: Callable[[], Any]) -> Any:
        self.calls.append(name)
        is_it = len(self.calls) == self.at
        if len(self.calls) > self.at and self.fault is stop:  # a process that has ended does no more
            raise StopError
        if is_it and not self.after:
            self.fault()
        result = real()
        if is_it and self.after:
            self.fault()
        return result


class Stream:
    def __init__(self, stream: Any, faults: Faults) -> None:
        self.stream, self.faults = stream, faults

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, content: bytes) -> int:
        return self.faults.call("write", lambda: self.stream.write(content))


def stop() -> None:
    raise StopError


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def calls_of_a_commit(place: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, 0, fault=lambda: None, after=False)
        commit(place, NEW)
    assert {"write", "fsync", "mkdir"} <= set(faults.calls)
    assert {"rename", "_exchange"} & set(faults.calls)
    return len(faults.calls)


@pytest.mark.parametrize("is_new", [True, False], ids=["a new name", "a name that is there"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_wherever_a_commit_stops_the_old_content_or_the_new_is_there(is_new: bool, after: bool, tmp_path: Path) -> None:
    commit(tmp_path / "measured" / "new", OLD)
    count = calls_of_a_commit(tmp_path / "measured" / ("other" if is_new else "new"))
    found = set()
    for at in range(1, count + 1):
        parent = tmp_path / f"{at}"
        commit(parent / "old", OLD)
        place = parent / ("new" if is_new else "old")
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, at, fault=stop, after=after)
            with pytest.raises(StopError):
                commit(place, NEW)
        whole = [entry for entry in parent.iterdir() if not entry.name.startswith(".")]
        for entry in whole:
            check_folder(entry)
        assert (parent / "old").is_dir()
        content = content_of(place) if place.exists() else None
        assert content in ([None, NEW] if is_new else [OLD, NEW])
        found.add(str(content))
    assert len(found) == 2


def test_a_disk_that_is_full_at_any_call_leaves_the_old_one_and_says_how_much_is_needed(tmp_path: Path) -> None:
    place = tmp_path / "steps" / "old"
    commit(place, OLD)
    count = calls_of_a_commit(tmp_path / "measured" / "new")
    told: list[ResourceError] = []
    for at in range(1, count + 1):
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, at, fault=full, after=False)
            try:
                commit(tmp_path / "steps" / "new", NEW)
            except ResourceError as error:
                told.append(error)
        check_folder(place)
        assert [entry.name for entry in place.parent.iterdir() if entry.name.startswith(".")] == []
        shutil.rmtree(tmp_path / "steps" / "new", ignore_errors=True)
    assert len(told) >= count - 3  # what is taken away at the end need not succeed
    for error in told:
        assert error.exit_code == 4
        for words in ("1,505 bytes are needed", "bytes are free", str(tmp_path / "steps" / "new")):
            assert words in error.message


def test_a_disk_with_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ResourceError, match=r"not enough room on the disk.*are needed"):
        commit_folder(tmp_path / "new", {"a": [b"x"]}, needed=free)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(committed_folder, "_check_free", lambda place, needed: None)
    commit_folder(tmp_path / "new", {"a": [b"x"]}, needed=free)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="cannot be written"):
        commit(tmp_path / "new", NEW)
    tmp_path.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResourceError, match="bytes are needed"):
            commit(tmp_path / "new", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_and_every_cut_is_found_and_the_file_named(tmp_path: Path) -> None:
    place = tmp_path / "new"
    commit(place, NEW)
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        bits = (
            range(8 * len(content))
            if path.name == MANIFEST
            else random.Random(1).sample(range(8 * len(content)), min(200, 8 * len(content)))
        )
        for bit in bits:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(CheckpointError, match=path.name):
                check_folder(place)
        for size in range(0, len(content), max(1, len(content) // 50)):
            path.write_bytes(content[:size])
            with pytest.raises(CheckpointError, match=path.name):
                check_folder(place)
        path.write_bytes(content)
    check_folder(place)


def test_files_that_were_swapped_taken_away_or_added_are_found(tmp_path: Path) -> None:
    place = tmp_path / "new"
    commit(place, NEW)
    (place / "a").rename(place / "x")
    with pytest.raises(CheckpointError, match=r"a: missing"):
        check_folder(place)
    (place / "b").rename(place / "a")
    (place / "x").rename(place / "b")
    with pytest.raises(CheckpointError, match=r"a: 5 bytes"):
        check_folder(place)
    commit(place, NEW)
    (place / "more").write_text("x")
    with pytest.raises(CheckpointError, match=f"more: not in {MANIFEST}"):
        check_folder(place)
    (place / MANIFEST).unlink()
    assert not is_committed(place)
    with pytest.raises(CheckpointError, match="was not completed"):
        check_folder(place)
