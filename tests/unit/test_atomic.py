import os
from pathlib import Path

import pytest

from bertune import atomic
from bertune.atomic import replaced_folder, write_text


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


def test_a_system_without_the_exchange_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def without(*arguments: object, **options: object) -> object:
        return object()

    monkeypatch.setattr(atomic.ctypes, "CDLL", without)
    assert atomic._exchange(tmp_path, tmp_path) is False


def test_everything_is_flushed_before_it_takes_its_place(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    place = atomic._put_in_place

    def watched(temporary: Path, folder: Path) -> None:
        assert {"a.txt", "inner", temporary.name} <= set(flushed)
        place(temporary, folder)

    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(atomic, "_put_in_place", watched)
    fill(target, "first")
    assert flushed[-1] == target.parent.name


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "run.toml"
    write_text(path, "ä = 1\n")
    assert path.read_bytes() == "ä = 1\n".encode()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "b = 2\n")
    assert path.read_bytes() == "ä = 1\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["run.toml"]


def test_a_folder_is_not_taken_for_a_file_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as told:
        write_text(tmp_path, "page")
    assert told.value.filename == str(tmp_path)
