"""Processes of the benchmarks, and groups of them."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks.processes import JobError, own_variables, run_command, run_groups

VARIABLES = {"PATH": os.environ["PATH"]}


def test_a_command_that_sleeps_has_a_small_share_of_the_processor() -> None:
    sleeps = run_command([sys.executable, "-c", "import time; time.sleep(2); print('done')"], variables=VARIABLES)
    assert sleeps.output == "done\n"
    assert 0 < sleeps.processor_share < 0.6


def test_a_command_that_fails_tells_its_code_and_last_words(tmp_path: Path) -> None:
    program = "import sys; print('no such table', file=sys.stderr); sys.exit(3)"
    with pytest.raises(JobError, match="no such table") as caught:
        run_command([sys.executable, "-c", program], variables=VARIABLES, log=tmp_path / "log")
    assert caught.value.code == 3
    assert (tmp_path / "log").read_text() == "no such table\n"


def test_a_group_that_fails_is_counted_and_the_others_go_on() -> None:
    done = []

    def run(group: int) -> None:
        if group == 2:
            raise JobError(["train"], 3, "bad")
        done.append(group)

    assert run_groups([1, 2, 3], run, at_a_time=1) == 1
    assert done == [1, 3]


def test_settings_of_the_verbs_do_not_reach_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_TRAIN_EPOCHS", "9")
    variables = own_variables(1)
    assert "BERTUNE_TRAIN_EPOCHS" not in variables
    assert variables["OMP_NUM_THREADS"] == "1"
