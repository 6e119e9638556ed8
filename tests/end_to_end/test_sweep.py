"""`bertune sweep` through the real command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.world import COLUMNS, Run

SEARCH = ["--max-length", "32", "--search-learning-rate", "1e-3", "1e-2", "--search-batch-size", "4", "8"]
SEARCH += ["--epochs", "4", "--trials", "5"]


@pytest.fixture(scope="module")
def command(model: Path, tables: Path) -> list[str]:
    return ["sweep", "--data", str(tables), *COLUMNS, "--model", str(model), *SEARCH]


@pytest.fixture(scope="module")
def swept(run: Run, command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweeps") / "mood"
    done = run(*command, "--out", str(out))
    assert done.returncode == 0, done.stderr
    (out.parent / "shown.txt").write_text(done.stdout)
    return out


def trials_of(sweep: Path) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = json.loads((sweep / "sweep.json").read_text())["trials"]
    return trials


def rank_of(trial: dict[str, Any]) -> tuple[float, float]:
    """The metric of the best epoch, then the lower loss."""
    return max(zip(trial["values"], [-loss for loss in trial["losses"]], strict=True))


def test_each_trial_is_a_run_and_the_best_one_is_the_result(run: Run, swept: Path, tables: Path) -> None:
    trials = trials_of(swept)
    assert [trial["folder"] for trial in trials] == [f"trial-{number}" for number in range(1, 6)]
    assert any(trial["state"] == "stopped" for trial in trials)
    for trial in trials:
        folder = swept / trial["folder"]
        settings = tomllib.loads((folder / "run.toml").read_text())["train"]
        assert settings["learning-rate"] == trial["drawn"]["learning_rate"]
        assert settings["batch-size"] == trial["drawn"]["batch_size"]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        epochs = [line for line in lines if line["event"] == "epoch"]
        assert [epoch["validation"]["metrics"]["accuracy"]["value"] for epoch in epochs] == trial["values"]
        # The model of the best epoch is there, of trials that were stopped as well.
        assert [epoch["validation"]["mean_loss"] for epoch in epochs] == trial["losses"]
        ranks = list(zip(trial["values"], [-loss for loss in trial["losses"]], strict=True))
        assert json.loads((folder / "scores.json").read_text())["epoch"] == 1 + ranks.index(max(ranks))
    best = max(trials, key=rank_of)
    own, kept = (folder / "model" / "model.safetensors" for folder in (swept / best["folder"], swept))
    assert own.read_bytes() == kept.read_bytes()
    done = run("evaluate", str(swept), "--data", str(tables / "validation.csv"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["metrics"]["accuracy"]["value"] == max(best["values"]) > 0.9


def test_the_table_lists_the_trials_best_first_beside_a_picture(swept: Path) -> None:
    shown = (swept.parent / "shown.txt").read_text().splitlines()
    trials = trials_of(swept)
    ranked = sorted(trials, key=rank_of, reverse=True)
    # In 80 columns the names of columns may take two lines.
    heading = next(place for place, line in enumerate(shown[:3]) if "trial" in line.split())
    listed = shown[heading + 1 : heading + 6]
    assert [int(line.split()[0]) for line in listed] == [trial["number"] for trial in ranked]
    assert any("stopped" in line for line in listed)
    assert (swept / "sweep.svg").read_text().startswith("<?xml")


def test_a_sweep_ends_when_every_setting_was_tried(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "seeds"
    arguments = ["sweep", "--data", str(tables), *COLUMNS, "--model", str(model), "--max-length", "32", "--epochs", "1"]
    done = run(*arguments, "--search-seed", "1", "2", "--trials", "5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert sorted(trial["drawn"]["seed"] for trial in trials_of(out)) == [1, 2]
    assert "all 2 settings were tried" in done.stderr


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_end(command: list[str], run: Run, swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "bertune", *command, "--out", str(out), "--quiet"]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (out / "trial-2" / "metrics.jsonl").exists():
            assert process.poll() is None, "the sweep ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert len(trials_of(out)) == 1
    (out / "trial-2" / "run.toml").unlink()  # as if it had been killed a moment earlier
    done = run(*command, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "trials done before: 1" in done.stderr
    assert "trial 1 of 5" not in done.stderr
    assert trials_of(out) == trials_of(swept)
    assert (out / "model" / "model.safetensors").read_bytes() == (swept / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_more_trials_are_added_and_other_settings_are_refused(
    command: list[str], run: Run, swept: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    done = run("sweep", "--config", str(swept / "run.toml"), "--out", str(again), "--trials", "1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert trials_of(again) == trials_of(swept)[:1]
    done = run("sweep", "--config", str(swept / "run.toml"), "--out", str(again), "--trials", "2", "--json", "--quiet")
    assert [trial["number"] for trial in json.loads(done.stdout)["trials"]] == [1, 2]
    assert trials_of(again) == trials_of(swept)[:2]
    done = run(*command, "--out", str(again), "--weight-decay", "0.1")
    assert done.returncode == 2
    assert f"{again} holds a sweep with another weight-decay: 0.01 then, 0.1 now" in done.stderr


def test_fewer_trials_than_are_done_still_repeat_all_of_them(
    run: Run, command: list[str], swept: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "sweep"
    shutil.copytree(swept, copy)
    fewer = [*command[: command.index("--trials")], "--trials", "2"]
    done = run(*fewer, "--out", str(copy))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((copy / "run.toml").read_text())["sweep"]["trials"] == 5
    assert run("report", str(copy)).returncode == 0
    assert json.loads((copy / "metrics.json").read_text())["command"].startswith("bertune sweep --data")


def test_the_test_split_is_never_opened(command: list[str], tables: Path, tmp_path: Path) -> None:
    guard = (
        "import sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('test.csv'): raise SystemExit('opened the test split')\n"
        "sys.addaudithook(hook)\n"
        "from bertune.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def guarded(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", guard, *arguments], capture_output=True, text=True, env=environment, timeout=300
        )

    assert (tables / "test.csv").is_file()
    out = tmp_path / "sweep"
    done = guarded(*command[:-1], "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    # The guard is one: it stops what does open the file.
    done = guarded("evaluate", str(out), "--data", str(tables), "--split", "test")
    assert "opened the test split" in done.stderr


def test_without_optuna_a_line_says_how_to_get_it(command: list[str], tmp_path: Path) -> None:
    code = "import sys; sys.modules['optuna'] = None\nfrom bertune.cli import main\nsys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, *command, "--out", str(tmp_path / "sweep")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == 'error: a sweep needs optuna\nhint: pip install "bertune[sweep]"\n'


def test_a_sweep_that_cannot_work_is_refused_before_anything_is_written(
    command: list[str], run: Run, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    alone = ["sweep", "--data", str(tables / "train.csv"), "--validation", "none", *command[3:]]
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    for arguments, said in (
        ([*alone, "--out", str(out)], "error: a sweep compares its trials on validation data"),
        ([*command, "--out", str(out), "--search-epochs", "2", "--search-epochs", "2"], "names a value twice: 2, 2"),
        ([*command, "--out", str(out), "--learning-rate", "1e-3"], "so --learning-rate has no effect"),
        ([*command, "--out", str(other)], f"{other} is not empty and not a sweep"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert not out.exists()
    assert (other / "letter.txt").read_text() == "mine"
    reversed_range = [*command[:3], *COLUMNS, "--out", str(out), "--search-learning-rate", "1e-3", "1e-5"]
    done = run(*reversed_range)
    assert done.returncode == 2
    assert "the lowest rate comes first" in done.stderr
