"""Paths stay as they were given, and are found again from another folder."""

from pathlib import Path

import pytest

from bertune.training.named_paths import place_of, same_settings, started_in


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "runs" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home"


def test_where_a_run_was_started_follows_from_its_place(home: Path) -> None:
    run = Path("../home/runs/a").resolve()
    assert started_in(run, "runs/a") == started_in(run, "./runs/a") == home
    assert started_in(run, "a") == home / "runs"
    for out in (None, str(run), "runs/b", "../home/runs/a"):  # moved, or not to be told
        assert started_in(run, out) == Path.cwd()


def test_only_what_is_there_is_a_path(home: Path) -> None:
    assert place_of("data", home) == str(home / "data")
    for name in ("bert-base-uncased", "gs://bucket/data", 0.1, None):
        assert place_of(name, home) == name


def test_settings_are_the_same_where_paths_lead_to_the_same(home: Path) -> None:
    then = {"data": "data", "model": "bert-base-uncased", "seed": 1}
    assert same_settings(then, then | {"data": str(home / "data")}, start=home) is None
    assert same_settings(then, then, start=home) == ("data", "data", "data")
    assert same_settings(then, then, start=Path.cwd()) is None
    assert same_settings(then, {"seed": 1, "data": str(home / "data")}, start=home) == (
        "model",
        "bert-base-uncased",
        "not set",
    )
