"""Workers that take turns, played by a small script."""

import sys
from pathlib import Path

import pytest
from benchmarks.speed.child import Child, WorkerError, worker_environment
from benchmarks.speed.rounds import take_turns
from benchmarks.speed.systems import System, python_of
from benchmarks.speed.targets import TARGETS

ECHO = System("echo", "a worker that counts", "own", "echo")


def test_a_loop_that_blocks_after_each_slice_answers_once_a_command(tmp_path: Path) -> None:
    with Child(ECHO, tmp_path, threads=1, log=tmp_path / "log", timeout=60) as child:
        assert child.about["ready"]
        answers = [child.ask(do="train", steps=steps) for steps in (2, 3)]
    assert [answer["steps"] for answer in answers] == [2, 3]
    assert [answer["examples"] for answer in answers] == [20, 30]
    assert [answer["loss"] for answer in answers] == [2, 5]


def test_what_a_worker_prints_goes_to_its_log(tmp_path: Path) -> None:
    with Child(ECHO, tmp_path, threads=1, log=tmp_path / "log", timeout=60) as child:
        child.ask(do="train", steps=1)
    assert "chatter" in (tmp_path / "log").read_text()


def test_rounds_after_the_first_count(tmp_path: Path) -> None:
    measured, loads = take_turns([ECHO], tmp_path, {"do": "train", "steps": 2}, rounds=3, threads=1, logs=tmp_path)
    assert [answer["loss"] for answer in measured[0].rounds] == [4, 6, 8]
    assert measured[0].warm_up["loss"] == 2
    assert len(loads) == 3


def test_a_worker_that_fails_is_listed_and_the_others_go_on(tmp_path: Path) -> None:
    failing = System("failing", "a worker that ends", "own", "echo", ("--fail-at", "3"))
    systems = [failing, ECHO]
    measured, _ = take_turns(systems, tmp_path, {"do": "train", "steps": 2}, rounds=2, threads=1, logs=tmp_path)
    assert measured[0].failure == "in round 1: ended: ValueError: step 3"
    assert measured[0].rounds == []
    assert len(measured[1].rounds) == 2


def test_a_missing_environment_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_KERAS_HUB_PYTHON", str(tmp_path / "nothing"))
    peer = System("peer", "a peer", "keras-hub", "echo")
    assert python_of("keras-hub") is None
    with pytest.raises(WorkerError, match=r"no \.venv-keras-hub .*BERTUNE_KERAS_HUB_PYTHON"):
        Child(peer, tmp_path, threads=1, log=tmp_path / "log")


def test_a_named_python_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_ORIGINAL_PYTHON", sys.executable)
    assert python_of("original") == Path(sys.executable)


def test_settings_of_the_shell_do_not_reach_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("LD_PRELOAD_TEST", "x")
    monkeypatch.setenv("BERTUNE_DISABLE", "everything")
    environment = worker_environment(ECHO, threads=2)
    assert environment["OMP_NUM_THREADS"] == "2"
    assert not {"OMP_WAIT_POLICY", "BERTUNE_DISABLE"} & set(environment)


def test_every_target_names_its_result() -> None:
    assert all(target.source.startswith("speed-") for target in TARGETS)
