"""Calling a function in a new Python."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import BertuneError, CheckpointError, ResourceError
from bertune.system.fresh_process import call_in_fresh_process

PROGRAM = """
import os, signal, sys, time

def answer(*, number, on_rows):
    print("noise", flush=True)
    os.system("echo more noise")
    on_rows(3)
    on_rows(4)
    return {"twice": 2 * number, "pid": os.getpid()}

def fail(*, on_rows):
    raise RuntimeError("the wheel came off")

def refuse(*, on_rows):
    from bertune.errors import CheckpointError
    raise CheckpointError("wheel.onnx: is no wheel", hint="take another")

def fill_disk(*, on_rows):
    raise OSError(28, "No space left on device", "x")

def be_killed(*, on_rows):
    os.kill(os.getpid(), signal.SIGKILL)

def wait(*, file, on_rows):
    with open(file, "w") as stream:
        stream.write(str(os.getpid()))
    on_rows(1)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wheels.py").write_text(PROGRAM)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return call_in_fresh_process(f"wheels:{name}", arguments)


def test_the_result_and_the_rows_come_back_whatever_else_is_printed() -> None:
    rows: list[int] = []
    result = call_in_fresh_process("wheels:answer", {"number": 21}, on_rows=rows.append)
    assert result["twice"] == 42
    assert result["pid"] != os.getpid()
    assert rows == [3, 4]


def test_a_failure_is_told_by_its_last_line() -> None:
    with pytest.raises(BertuneError, match="RuntimeError: the wheel came off") as error:
        call("fail")
    assert error.value.exit_code == 1


def test_an_error_of_ours_comes_back_as_it_was() -> None:
    with pytest.raises(CheckpointError, match=r"^wheel\.onnx: is no wheel$") as error:
        call("refuse")
    assert error.value.hint == "take another"


@pytest.mark.parametrize(
    ("name", "words"), [("fill_disk", "No space left on device"), ("be_killed", "not enough memory")]
)
def test_a_full_disk_and_a_killed_process_are_told_from_faults(name: str, words: str) -> None:
    with pytest.raises(ResourceError, match=words):
        call(name)


def test_the_process_ends_when_the_caller_is_interrupted(tmp_path: Path) -> None:
    def interrupt(_rows: int) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call_in_fresh_process("wheels:wait", {"file": str(tmp_path / "pid")}, on_rows=interrupt)
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIG_DFL)


def test_a_module_in_the_folder_one_stands_in_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(elsewhere)
    assert call("answer", number=1)["twice"] == 2
