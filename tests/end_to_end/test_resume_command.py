"""`bertune train --resume` after kills, signals and full disks, in processes of their own."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.conftest import _environment
from tests.end_to_end.test_rough_handling import content
from tests.end_to_end.world import Run
from tests.resumed_runs import results, write_world

from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.run_checkpoints import newest_state

SIGNALLED = Path(__file__).with_name("signalled_command.py")
# Six steps an epoch, three epochs.
SETTINGS = ["--text-a", "first", "--label", "mood", "--epochs", "3", "--batch-size", "16", "--learning-rate", "3e-3"]
STEPS = 18


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def arguments(world: Path) -> list[str]:
    data = ["--data", "train.csv", "--validation", "validation.csv", "--test", "test.csv", "--model", "model"]
    return ["train", *data, *SETTINGS, "--max-length", "32"]


@pytest.fixture(scope="module")
def expected(run: Run, world: Path, arguments: list[str]) -> dict[str, Any]:
    """What a run that was never interrupted leaves."""
    done = run_in(world, run, *arguments, "--out", "runs/whole/run")
    assert done.returncode == 0, done.stderr
    return results(world / "runs" / "whole" / "run")


def run_in(folder: Path, run: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return run(*arguments)
    finally:
        os.chdir(before)


def signalled(
    world: Path, name: str, where: str, *arguments: str, limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in the folder of the world, with a signal at a point, or a limit on the size of files."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, str(SIGNALLED), name, where, *arguments],
        capture_output=True,
        text=True,
        cwd=world,
        env=_environment(),
        timeout=300,
        preexec_fn=limited,
    )


def killed(world: Path, arguments: list[str], out: Path, where: str, every: str = "2") -> None:
    done = signalled(world, "SIGKILL", where, *arguments, "--save-every", every, "--out", str(out))
    assert done.returncode == -signal.SIGKILL, (where, done.stderr)


def check_goes_on(run: Run, out: Path, expected: dict[str, Any]) -> None:
    done = run("train", "--resume", str(out))
    assert done.returncode == 0, done.stderr
    found = results(out)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == expected[name], name


@pytest.mark.parametrize("where", ["step:1", "step:9", "save:22", "evaluation:3"])
def test_a_killed_run_goes_on_to_the_same_bits(
    where: str, run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    killed(world, arguments, tmp_path / "run", where)
    if where.startswith("save"):
        assert list((tmp_path / "run" / "checkpoints").glob(".tmp-*"))
    check_goes_on(run, tmp_path / "run", expected)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_runs_killed_at_twenty_points_ten_of_them_in_a_save_go_on_to_the_same_bits(
    run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(os.environ.get("BERTUNE_KILLS_SEED", "1"))
    # A save makes about 16 calls, and there are nine of them, beside those at the ends of epochs.
    points = [f"step:{draw.randrange(1, STEPS)}" for _ in range(8)]
    points += [f"save:{draw.randrange(1, 140)}" for _ in range(10)] + ["evaluation:2", "evaluation:4"]
    for number, where in enumerate(points):
        out = tmp_path / str(number) / "run"
        killed(world, arguments, out, where)
        check_goes_on(run, out, expected)


@pytest.mark.slow
def test_a_run_is_killed_again_and_again(
    run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed(world, arguments, out, "step:5", every="1")
    for where in ("step:8", "save:40"):
        assert signalled(world, "SIGKILL", where, "train", "--resume", str(out)).returncode == -signal.SIGKILL
    check_goes_on(run, out, expected)


@pytest.mark.parametrize(("name", "where"), [("SIGTERM", "step:9"), ("SIGINT", "evaluation:2")])
def test_a_run_that_is_asked_to_stop_saves_ends_with_6_and_names_the_command(
    name: str, where: str, run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = signalled(world, name, where, *arguments, "--out", str(out), "--save-every", "1000m")
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert f"bertune train --resume {out}" in done.stderr.splitlines()[-1]
    state = newest_state(out / "checkpoints", print)
    assert state is not None
    assert state.fitting.step == {"step:9": 10, "evaluation:2": 12}[where]
    check_goes_on(run, out, expected)


@pytest.mark.parametrize(
    ("name", "code", "step"), [("SIGINT", 6, 4), pytest.param("SIGKILL", -signal.SIGKILL, 3, marks=pytest.mark.slow)]
)
def test_an_evaluation_within_an_epoch_that_is_left_or_killed_is_made_again(
    name: str, code: int, step: int, run: Run, world: Path, arguments: list[str], tmp_path: Path
) -> None:
    """The first of them, after four steps; the model that is kept is of a later one."""
    within = [*arguments, "--evaluate-every", "4"]
    done = run_in(world, run, *within, "--out", str(tmp_path / "whole" / "run"))
    assert done.returncode == 0, done.stderr
    expected = results(tmp_path / "whole" / "run")
    assert json.loads(expected["scores.json"])["step"] == 8
    out = tmp_path / "run"
    done = signalled(world, name, "evaluation:1", *within, "--out", str(out), "--save-every", "3")
    assert done.returncode == code, done.stderr
    state = newest_state(out / "checkpoints", print)
    assert state is not None
    assert (state.fitting.step, state.fitting.is_evaluated) == (step, False)
    check_goes_on(run, out, expected)


@pytest.mark.parametrize(("name", "code", "second"), [("SIGTERM", 143, "save:18"), ("SIGINT", 130, "save:26")])
def test_a_second_signal_ends_the_run_at_once_and_the_last_checkpoint_stays(
    name: str, code: int, second: str, world: Path, arguments: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = signalled(world, name, f"step:3,{second}", *arguments, "--out", str(out), "--save-every", "3")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    state = newest_state(out / "checkpoints", print)
    assert state is not None
    assert state.fitting.step in (3, 4)
    assert not list((out / "checkpoints").glob(".tmp-*"))


def test_a_run_stops_within_ten_seconds(world: Path, arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bertune", *arguments, "--out", str(tmp_path / "run")]
    command[command.index("--epochs") + 1] = "4000"
    process = subprocess.Popen(command, cwd=world, env=_environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert process.returncode == 6, errors


def test_a_run_that_replaces_another_goes_on_beside_it(
    run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run_in(world, run, *arguments, "--out", str(out), "--seed", "7").returncode == 0
    before = content(out)
    done = signalled(world, "SIGINT", "step:9", *arguments, "--out", str(out), "--overwrite")
    assert done.returncode == 6, done.stderr
    assert content(out) == before
    assert f"bertune train --resume {out}.unfinished" in done.stderr
    check_goes_on(run, Path(f"{out}.unfinished"), expected)
    # Killed, it stands in the place of the other; the other comes back if it does not end.
    shutil.rmtree(f"{out}.unfinished")
    done = signalled(world, "SIGKILL", "step:3", *arguments, "--out", str(out), "--overwrite", "--save-every", "1")
    assert done.returncode == -signal.SIGKILL
    done = signalled(world, "SIGTERM", "step:5", "train", "--resume", str(out))
    assert done.returncode == 6
    assert content(out) == before
    check_goes_on(run, Path(f"{out}.unfinished"), expected)
    assert content(out) == before


def test_a_disk_that_is_full_while_saving_leaves_the_checkpoint_before(
    run: Run, world: Path, arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed(world, arguments, out, "step:5")
    newest = checkpoints_in(out / "checkpoints")[0]
    size = (newest / "optimizer.safetensors").stat().st_size
    before = content(newest)
    done = signalled(world, "SIGKILL", "none:0", "train", "--resume", str(out), limit=size - 1)
    assert done.returncode == 4, done.stderr
    assert "bytes are needed" in done.stderr
    assert "bytes are free" in done.stderr
    assert f"bertune train --resume {out}" in done.stderr
    assert content(newest) == before
    check_goes_on(run, out, expected)


def test_what_cannot_go_on_is_refused_with_one_sentence(
    run: Run, world: Path, arguments: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    here = tmp_path / "here"
    shutil.copytree(world, here, ignore=shutil.ignore_patterns("runs"))
    killed(here, arguments, out, "step:5")
    before = content(out)

    def refused(code: int, *words: str, folder: Path = out, more: tuple[str, ...] = (), **variables: str) -> None:
        done = run("train", "--resume", str(folder), *more, **variables)
        assert done.returncode == code, done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith(("error", "hint"))]
        assert len(lines) == 2
        assert all(word in lines[0] for word in words), lines
        assert content(out) == before

    refused(2, "no such folder", folder=tmp_path / "nowhere")
    refused(2, "not the folder of a run", folder=here)
    refused(2, "takes all settings", "--epochs", more=("--epochs", "3"))
    refused(2, "1 thread,", "2", OMP_NUM_THREADS="2")
    refused(2, "compiled kernels", "torch operators", BERTUNE_DISABLE="kernels")
    table = (here / "train.csv").read_text()
    (here / "train.csv").write_text(table.replace(",up,", ",down,", 1))
    refused(2, "the rows of its data have changed")
    (here / "train.csv").write_text(table)
    settings = (out / "run.toml").read_text()
    (out / "run.toml").write_text(settings.replace("batch-size = 16", "batch-size = 8"))
    before = content(out)
    refused(2, "batch-size was 16 and is 8")
    (out / "run.toml").write_text(settings)
    vocabulary = (here / "model" / "vocab.txt").read_text()
    (here / "model" / "vocab.txt").write_text(vocabulary.replace("w1\n", "x1\n"))
    before = content(out)
    refused(2, "tokenizer has changed")
    (here / "model" / "vocab.txt").write_text(vocabulary)
    weights = (here / "model" / "model.safetensors").read_bytes()
    (here / "model" / "model.safetensors").write_bytes(weights[:-4] + b"\x00\x00\x00\x00")
    refused(2, "the encoder that it started from has changed")
    (here / "model" / "model.safetensors").write_bytes(weights)
    process = subprocess.Popen(
        [sys.executable, str(SIGNALLED), "SIGSTOP", "step:8", "train", "--resume", str(out)],
        env=_environment(),
        stderr=subprocess.DEVNULL,
    )
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    done = run("train", "--resume", str(out))
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"error: another run is writing into {out}")
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=120) == 0
    before = content(out)
    refused(2, "this run has ended")


def test_the_result_can_be_had_as_json(run: Run, world: Path, arguments: list[str], tmp_path: Path) -> None:
    killed(world, arguments, tmp_path / "run", "step:5")
    done = run("train", "--resume", str(tmp_path / "run"), "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["report"] == str(tmp_path / "run" / "report.html")


@pytest.mark.slow
def test_a_run_can_be_certified_and_the_certificate_is_shown(
    run: Run, world: Path, arguments: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    longer = ["10" if word == "3" else word for word in arguments]  # epochs
    done = run_in(world, run, *longer, "--out", str(out), "--certify-resume")
    assert done.returncode == 0, done.stderr
    sentence = next(line for line in done.stdout.splitlines() if line.startswith("resume certified"))
    certificate = json.loads((out / "resume-certificate.json").read_text())
    assert len(certificate["interrupted_after"]) >= 1
    assert set(certificate["compared"]) >= {"model/model.safetensors", "scores.json", "metrics.jsonl", "dynamics.npz"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sentence in run("inspect", str(out)).stdout
    assert "Resume certified: killed after step" in (out / "report.html").read_text()
    assert json.loads((out / "metrics.json").read_text())["resume"] == certificate
    # Of other weights it says nothing.
    digests = out / "model" / "SHA256SUMS"
    digests.write_text(digests.read_text().replace(certificate["weights"], "0" * 64))
    assert run("report", str(out)).returncode == 0
    assert "Resume certified" not in (out / "report.html").read_text()
