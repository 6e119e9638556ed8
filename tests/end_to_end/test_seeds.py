"""Several seeds as one result, from the real command line in fresh processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.test_rough_handling import content, that_diverges
from tests.end_to_end.world import COLUMNS, Run
from tests.unit.training.conftest import make_classifier

from bertune.training.config import TrainingConfig
from bertune.training.plan import plan_of

SETTINGS = [*COLUMNS, "--epochs", "2", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32"]


@pytest.fixture(scope="module")
def arguments(model: Path, tables: Path) -> list[str]:
    return ["train", "--data", str(tables), *SETTINGS, "--model", str(model)]


@pytest.fixture(scope="module")
def study(run: Run, arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "mood"
    done = run(*arguments, "--seed", "3", "--seeds", "3", "--out", str(out))
    assert done.returncode == 0, done.stderr
    (out.parent / "stdout").write_text(done.stdout)
    (out.parent / "stderr").write_text(done.stderr)
    return out


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_the_table_says_what_each_seed_came_to_and_what_was_kept(study: Path) -> None:
    printed = (study.parent / "stdout").read_text()
    told = json.loads((study / "seeds.json").read_text())
    assert [result["seed"] for result in told["results"]] == [3, 4, 5]
    best = told["summary"]["best"]
    assert f"model: {study}/model, that of seed {best}, the best by validation accuracy" in printed
    assert "chosen on validation alone, test was not used" in printed
    assert "95 % interval of the mean" in printed
    assert told["test"] == "not used"
    assert weights(study) == weights(study / f"seed-{best}")
    errors = (study.parent / "stderr").read_text()
    assert errors.count(" rows: ") == 2  # read once, train and validation
    for place, seed in enumerate((3, 4, 5), start=1):
        assert f"seed {place} of 3 (seed {seed}): epoch 2/2" in errors


def test_a_seed_of_a_study_is_the_run_of_that_seed_bit_for_bit(
    run: Run, arguments: list[str], study: Path, tmp_path: Path
) -> None:
    done = run(*arguments, "--seed", "4", "--out", str(tmp_path / "alone"))
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "alone") == weights(study / "seed-4")
    assert json.loads((tmp_path / "alone" / "scores.json").read_text()) == json.loads(
        (study / "seed-4" / "scores.json").read_text()
    )


def test_two_at_a_time_give_the_bits_of_one_after_another_with_as_many_threads(
    run: Run, arguments: list[str], study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    done = run(*arguments, "--seeds", "3,4", "--parallel-seeds", "2", "--out", str(out), OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert "2 seeds at a time, 1 threads each" in done.stderr
    for seed in (3, 4):
        assert weights(out / f"seed-{seed}") == weights(study / f"seed-{seed}")
        made_with = tomllib.loads((out / f"seed-{seed}" / "run.toml").read_text())["made_with"]
        assert made_with["threads"] == 1


def test_evaluate_predict_inspect_and_export_take_a_study(run: Run, study: Path, tables: Path, tmp_path: Path) -> None:
    told = json.loads((study / "seeds.json").read_text())
    best = next(result for result in told["results"] if result["seed"] == told["summary"]["best"])
    scored = run("evaluate", str(study), "--data", str(tables), "--json")
    assert json.loads(scored.stdout)["scores"]["metrics"]["accuracy"]["value"] == best["metrics"]["accuracy"]
    assert run("predict", str(study), stdin="the film was good\n").returncode == 0
    inspected = run("inspect", str(study))
    assert f"validation, seed {best['seed']}, epoch {best['best_epoch']}: accuracy" in inspected.stdout
    assert "3 seeds, scores on the validation data:" in inspected.stdout
    exported = run("export", str(study), str(tmp_path / "exported"), "--format", "tf_checkpoint")
    assert exported.returncode == 0, exported.stderr


def test_the_studys_own_settings_repeat_it(run: Run, study: Path, tmp_path: Path) -> None:
    done = run("train", "--config", str(study / "run.toml"), "--out", str(tmp_path / "again"), "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert [result["seed"] for result in told["results"]] == [3, 4, 5]
    assert weights(tmp_path / "again") == weights(study)


def test_the_test_split_is_not_even_opened(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tables, tmp_path / "data", ignore=shutil.ignore_patterns("pairs"))
    (data / "test.csv").unlink()
    os.mkfifo(data / "test.csv")  # who opens it waits for ever
    out = str(tmp_path / "study")
    done = run("train", "--data", str(data), *SETTINGS, "--model", str(model), "--seeds", "2", "--out", out)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("sent", "code", "parallel"),
    [
        (signal.SIGTERM, 143, "1"),
        pytest.param(signal.SIGINT, 130, "2", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, "2", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_study_goes_on_with_the_same_command(
    sent: signal.Signals, code: int, parallel: str, run: Run, arguments: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "study"
    threads = {"OMP_NUM_THREADS": parallel}
    command = [*arguments, "--seeds", "1,2,3", "--parallel-seeds", parallel, "--out", str(out)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | threads
    process = subprocess.Popen([sys.executable, "-m", "bertune", *command], env=environment, stderr=subprocess.PIPE)
    table = out / "seeds.json"
    while process.poll() is None and not (table.is_file() and json.loads(table.read_text())["results"]):
        time.sleep(0.02)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    # 6 where a seed was being trained, which then goes on at its checkpoint.
    assert process.returncode in (code, 6)
    assert b"Traceback" not in errors, errors.decode()
    finished = [result["seed"] for result in json.loads(table.read_text())["results"]]
    assert 1 <= len(finished) < 3
    before = {seed: content(out / f"seed-{seed}") for seed in finished}
    done = run(*command, **threads)
    assert done.returncode == 0, done.stderr
    assert f"resuming the study in {out}: seeds {', '.join(map(str, finished))} are done" in done.stderr
    assert {seed: content(out / f"seed-{seed}") for seed in finished} == before
    assert [result["seed"] for result in json.loads(table.read_text())["results"]] == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study"]
    assert not [path.name for path in out.rglob(".*")]


def test_a_study_whose_seeds_all_diverge_exits_with_5(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    broken = that_diverges(model, tmp_path / "model")
    out = str(tmp_path / "study")
    done = run("train", "--data", str(tables), *SETTINGS, "--model", str(broken), "--seeds", "2", "--out", out)
    assert done.returncode == 5
    assert "all 2 seeds diverged; seed 42: the" in done.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--seeds", "0"], "seeds must be at least 1, not 0"),
        (["--seeds", "1,1"], "seed 1 is named twice"),
        (["--seeds", "1", "--average"], "--average needs two seeds or more"),
        (["--average"], "--average is about several seeds"),
        (["--seeds", "2", "--parallel-seeds", "2"], "--parallel-seeds 2 needs as many threads, and there are 1"),
        (["--seeds", "1,2", "--seed", "7"], "so --seed has no effect"),
        (["--recipe", "stabel"], "recipe"),
        (["--reinit-layers", "3"], "reinit_layers (3) exceeds the encoder's 2 layers"),
        (["--freeze", "3"], "freeze (3) exceeds the encoder's 2 layers"),
        (["--lora", "0"], "lora must be at least 1, not 0"),
        (["--lora", "1000"], "lora (1000) exceeds"),
        (["--lora-alpha", "4"], "lora_alpha must lie above 0 and go with lora"),
        (["--keep-adapter"], "--keep-adapter is about the adapters of --lora"),
        (["--freeze", "-1"], "freeze must be 0 or more, not -1"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_makes_nothing(
    flags: list[str], sentence: str, run: Run, arguments: list[str], tmp_path: Path
) -> None:
    done = run(*arguments, *flags, "--out", str(tmp_path / "study"))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("error:") == 1
    assert list(tmp_path.iterdir()) == []


def test_seeds_without_validation_data_are_refused(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    data = [str(tables / "train.csv"), "--validation", "none"]
    out = tmp_path / "study"
    done = run("train", "--data", *data, *SETTINGS, "--model", str(model), "--seeds", "2", "--out", str(out))
    assert done.returncode == 2
    assert "error: --seeds needs validation data" in done.stderr
    assert not out.exists()


def test_a_study_does_not_replace_a_run_and_a_run_no_study(
    run: Run, arguments: list[str], study: Path, trained: Path
) -> None:
    before = content(study)
    for out, seeds in ((trained, ["--seeds", "2"]), (study, [])):
        done = run(*arguments, *seeds, "--out", str(out))
        assert done.returncode == 2
        assert "already holds a run" in done.stderr
    assert content(study) == before


def test_a_recipe_is_below_everything_that_a_user_sets(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    """Of stable's settings the flag sets one, the environment one and the file one; the others are the recipe's."""
    (tmp_path / "my.toml").write_text('[train]\nrecipe = "stable"\nweight-decay = 0.2\n')
    out = tmp_path / "run"
    arguments = ["train", "--config", str(tmp_path / "my.toml"), "--data", str(tables), *COLUMNS, "--model", str(model)]
    done = run(*arguments, "--out", str(out), "--epochs", "1", BERTUNE_TRAIN_BATCH_SIZE="40")
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads((out / "run.toml").read_text())["train"]
    assert (settings["epochs"], settings["batch-size"], settings["weight-decay"]) == (1, 40, 0.2)
    recipe = plan_of(TrainingConfig(recipe="stable"), make_classifier(), 1)
    for name in ("learning-rate", "layer-decay", "warmup-fraction"):
        assert settings[name] == getattr(recipe, name.replace("-", "_"))
    assert "recipe stable: rate 1e-4, layer decay 0.9" in done.stderr
