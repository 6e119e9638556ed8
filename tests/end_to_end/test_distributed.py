"""One run in several processes, started by the real `torchrun`."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.conftest import _environment
from tests.end_to_end.world import Run
from tests.resumed_runs import results, write_world

from bertune.training.run_checkpoints import newest_state

CHECKS = Path(__file__).parents[1] / "process_checks.py"
SIGNALLED = Path(__file__).with_name("signalled_command.py")
# Six steps an epoch, three epochs.
SETTINGS = ["--text-a", "first", "--label", "mood", "--epochs", "3", "--batch-size", "16", "--learning-rate", "3e-3"]
DATA = ["--data", "train.csv", "--validation", "validation.csv", "--test", "test.csv", "--model", "model"]
TRAIN = ["train", *DATA, *SETTINGS, "--max-length", "32"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an encoder that drops nothing."""
    folder = write_world(tmp_path_factory.mktemp("still"))
    path = folder / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}))
    return folder


def torchrun(
    folder: Path, processes: int, *arguments: str, options: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", str(processes), *options, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=_environment() | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKS.parents[1])} | variables,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the command itself wrote to standard error of an error: `torchrun` adds words of its own."""
    return [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:", "warning:"))]


def exit_codes(done: subprocess.CompletedProcess[str]) -> set[int]:
    """The exit codes of the processes, as `torchrun` tells them."""
    return {int(code) for code in re.findall(r"^  exitcode  : (-?\d+)", done.stderr, re.MULTILINE)}


def checked(folder: Path, out: Path, processes: int, *names: str) -> list[dict[str, Any]]:
    """What each process found, by its rank."""
    done = torchrun(folder, processes, str(CHECKS), str(folder), str(out), *names)
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(processes)]


def check_rows(found: list[dict[str, Any]], rows: int) -> None:
    """Each row once an epoch, and shares of about as many tokens."""
    each = [of["rows"] for of in found]
    steps = len(each[0]["rows"])
    for step in range(0, steps, 2):  # an epoch is a batch of 89 rows and one of 1
        seen = [row for of in each for batch in of["rows"][step : step + 2] for row in batch]
        assert sorted(seen) == list(range(rows))
        shares = [of["tokens"][step] for of in each]
        assert max(shares) - min(shares) <= 32  # the longest row
        assert sorted(len(of["rows"][step + 1]) for of in each) == [0] * (len(each) - 1) + [1]


def check_scores(found: list[dict[str, Any]]) -> None:
    for tokens in ("4096", "40"):
        assert all(of["scores"][tokens]["same"] for of in found)
        assert sum(of["scores"][tokens]["rows"] for of in found) == 21
    assert sum(of["scores"]["40"]["rows"] > 0 for of in found) == len(found)


def check_losses(found: list[dict[str, Any]], cases: int) -> None:
    assert len(found[0]["losses"]) == cases
    for name, values in found[0]["losses"].items():
        assert values["steps"] >= 20
        for of in ("loss", "norm", "dynamics", "weights"):
            assert values[of] < 1e-5, (name, of)
        assert all(of["losses"][name]["digest"] == values["digest"] for of in found)


def test_two_processes_train_as_one_does_and_score_each_row_once(still: Path, tmp_path: Path) -> None:
    found = checked(still, tmp_path, 2, "few_losses", "rows", "scores")
    for of in found:
        of["losses"] = of.pop("few_losses")
    check_losses(found, 4)
    check_rows(found, 90)
    check_scores(found)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_losses_gradients_and_mishaps_are_those_of_one_process(processes: int, still: Path, tmp_path: Path) -> None:
    found = checked(still, tmp_path, processes, "losses", "gradients", "rows", "scores", "mishaps")
    check_losses(found, 10)
    check_rows(found, 90)
    check_scores(found)
    for of_engine in found[0]["gradients"].values():
        assert len(of_engine) > 30
        assert max(of_engine.values()) < 1e-5
    assert all(of["mishaps"] == found[0]["mishaps"] for of in found)
    loss, memory = found[0]["mishaps"]["loss"], found[0]["mishaps"]["memory"]
    assert [(step, rows) for step, _, rows in loss["told"]] == [(2, 16)]
    assert (loss["steps"][:3], loss["unseen"]) == ([0, 1, 3], 16)
    assert memory["told"][0][0] == 2
    assert 1 <= memory["told"][0][1] <= 5
    assert (memory["steps"], memory["unseen"]) == (list(range(24)), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "code", "sentence"),
    [
        ("faults", 1, "the weights of process 1 (from 0) differ from those of process 0 after step 6"),
        ("bad_row", 3, "process 1 of 2 (from 0): row 7 is bad"),
        ("full_disk", 4, "the disk is full"),
    ],
)
def test_an_error_of_one_process_ends_all_and_is_told_once(
    check: str, code: int, sentence: str, still: Path, tmp_path: Path
) -> None:
    started = time.monotonic()
    done = torchrun(still, 2, str(CHECKS), str(still), str(tmp_path), check)
    assert told(done) == [f"error: {sentence}"], done.stderr
    assert exit_codes(done) == {code}
    assert time.monotonic() - started < 100  # nobody waits for the timeout


@pytest.fixture(scope="module")
def expected(world: Path) -> dict[str, Any]:
    """What a run of two processes leaves that nothing interrupts; it prints what a run of one prints."""
    done = torchrun(world, 2, "-m", "bertune", *TRAIN, "--out", "runs/whole/run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: runs/whole/run/report.html") == 1
    assert len(re.findall(r"^epoch \d/3", done.stderr, re.MULTILINE)) == 3
    assert "compiled kernels, 2 processes" in done.stderr
    found = results(world / "runs" / "whole" / "run")
    assert len([line for line in found["metrics.jsonl"] if line["event"] == "step"]) == 18
    return found


def check_same(out: Path, expected: dict[str, Any]) -> None:
    found = results(out)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == expected[name], name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where"), [("SIGTERM", "step:9@1"), ("SIGINT", "step:9"), ("SIGTERM", "evaluation:2")]
)
def test_all_stop_at_the_same_step_and_resume_to_the_same_bits(
    name: str, where: str, run: Run, world: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = torchrun(world, 2, str(SIGNALLED), name, where, *TRAIN, "--out", str(out))
    assert exit_codes(done) == {6}, done.stderr
    lines = told(done)
    step = 12 if where.startswith("evaluation") else 10
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    assert lines[0] == f"error: stopped after step {step}; all up to there is saved"
    assert f"bertune train --resume {out}" in lines[1]
    done = torchrun(world, 2, "-m", "bertune", "train", "--resume", str(out))
    assert done.returncode == 0, done.stderr
    check_same(out, expected)


@pytest.mark.slow
def test_a_run_of_two_processes_resumes_with_one_and_with_three(run: Run, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = torchrun(world, 2, str(SIGNALLED), "SIGTERM", "step:9@0", *TRAIN, "--out", str(out))
    assert exit_codes(done) == {6}, done.stderr
    done = torchrun(
        world, 3, str(SIGNALLED), "SIGTERM", "step:11@2", "train", "--resume", str(out), "--process-timeout", "60"
    )
    assert exit_codes(done) == {6}, done.stderr
    assert "was trained by 2 processes and goes on with 3: nothing is lost" in done.stderr
    done = run("train", "--resume", str(out), OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert f"warning: {out} was trained by 3 processes and goes on with 1: nothing is lost" in done.stderr
    steps = [line for line in results(out)["metrics.jsonl"] if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(18))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["step:9@1", "step:9@0", "evaluation:2@1"])
def test_after_a_kill_the_restarted_processes_resume_by_themselves(
    where: str, world: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = [str(SIGNALLED), "SIGKILL", where, *TRAIN, "--out", str(out), "--save-every", "4"]
    done = torchrun(world, 2, *arguments, options=("--max-restarts", "1"))
    assert done.returncode == 0, done.stderr
    # What the first process has is whole, and it saves that; where it is killed itself, the last checkpoint serves.
    step = {"step:9@1": 9, "step:9@0": 8, "evaluation:2@1": 12}[where]
    assert f"{out} resumes after step {step}" in done.stderr
    check_same(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("hung", [0, 1])
def test_a_process_that_hangs_ends_the_run_within_the_timeout(hung: int, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*TRAIN, "--out", str(out), "--process-timeout", "5"]
    where = f"step:9@{hung}"
    done = torchrun(world, 2, str(SIGNALLED), "SIGSTOP", where, *command, TORCH_ELASTIC_SHUTDOWN_TIMEOUT="1")
    assert done.returncode != 0
    (error,) = [line for line in told(done) if line.startswith("error")]
    assert error.startswith(f"error: process {hung} of 2 (from 0) has not answered for 5 s")
    if hung == 1:
        assert error.endswith("; stopped after step 9, all up to there is saved")
        assert 6 in exit_codes(done)
    state = newest_state(out / "checkpoints", print)
    assert state is not None
    assert state.fitting.step == (9 if hung else 6)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [None, 0, 1])
def test_two_agents_train_as_two_machines_do_and_resume(
    killed: int | None, world: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    endpoint = f"127.0.0.1:{20000 + os.getpid() % 20000}"
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", "twins"]
    command = [*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "1", *rendezvous]
    command += ["-m", "bertune"] if killed is None else [str(SIGNALLED), "SIGKILL", f"step:9@{killed}"]
    command += [*TRAIN, "--out", str(out)]
    environment = _environment() | {"OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as started:
        agents = [
            started.enter_context(
                subprocess.Popen(
                    command, cwd=world, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
            )
            for _ in range(2)
        ]
        said = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert sorted(bool(output) for output, _ in said) == [False, True]
    assert sum(f"{out} resumes" in errors for _, errors in said) == (killed is not None)
    check_same(out, expected)


@pytest.mark.slow
def test_what_several_processes_cannot_do_is_refused_once(world: Path, tmp_path: Path) -> None:
    def refused(code: int, sentence: str, *arguments: str) -> None:
        done = torchrun(world, 2, "-m", "bertune", *arguments)
        lines = told(done)
        assert [line.partition(":")[0] for line in lines] == ["error", "hint"], done.stderr
        assert sentence in lines[0]
        # The others end by the signal of `torchrun`, at whatever they are.
        assert code in exit_codes(done) <= {code, -15, 143}
        assert done.stdout == ""

    out = ["--out", str(tmp_path / "run")]
    refused(2, "--seeds trains several, each in a process of its own", *TRAIN, *out, "--seeds", "3")
    refused(2, "--certify-resume is about a run of one process", *TRAIN, *out, "--certify-resume")
    refused(2, "evaluate runs in one process", "evaluate", "runs/two", "--data", "test.csv")
    refused(2, "has no option --epoch", *TRAIN, *out, "--epoch", "3")
    refused(2, "nowhere.csv", "train", "--data", "nowhere.csv", *SETTINGS, *out)
    assert not (tmp_path / "run").exists()
