"""Signals, pipes, configuration files and earlier runs: what a hasty user does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONUNBUFFERED", None)  # what is left in a buffer at the end is part of it
    command = [sys.executable, "-m", "bertune", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def copy_of(run: Path, place: Path) -> Path:
    place.mkdir()
    for file in run.rglob("*"):
        target = place / file.relative_to(run)
        if file.is_dir():
            target.mkdir()
        else:
            target.write_bytes(file.read_bytes())
    return place


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_training_with_one_line_and_brings_the_earlier_run_back(
    sent: signal.Signals, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    out = copy_of(trained, tmp_path / "run")
    before = content(out)
    # Small batches and many epochs: the first epoch is still going on when the signal comes.
    settings = ["--batch-size", "1", "--epochs", "50", "--overwrite"]
    process = start("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *settings)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("training "):
            break
    time.sleep(0.3)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 6
    assert "Traceback" not in errors
    assert errors.count("error:") == 1
    assert content(out) == before
    # What was trained within the first epoch is kept as well, beside it.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.unfinished"]
    assert not (tmp_path / "run.unfinished" / "model").exists()


def that_diverges(model: Path, place: Path) -> Path:
    """A copy of a model whose first loss is not finite."""
    import torch
    from safetensors.torch import load_file, save_file

    broken = copy_of(model, place)
    tensors = load_file(broken / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = torch.full_like(tensors[name], 3e38)
    save_file(tensors, broken / "model.safetensors")
    return broken


def test_a_diverged_run_brings_the_earlier_run_back(
    run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    broken = that_diverges(model, tmp_path / "model")
    out = copy_of(trained, tmp_path / "run")
    before = content(out)
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(broken), "--out", str(out), "--overwrite")
    assert done.returncode == 5
    assert content(out) == before


def test_overwriting_replaces_the_earlier_run_and_run_toml_does_not_say_overwrite(
    run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    out = copy_of(trained, tmp_path / "run")
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *TRAINING, "--overwrite"]
    done = run("train", *arguments, "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "seed = 5" in (out / "run.toml").read_text()
    assert "overwrite" not in (out / "run.toml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nepochz = 3\n", ["epochz", "epochs"]),
        ("[trian]\nepochs = 3\n", ["trian", "train"]),
        ("epochs = 3\n", ["epochs"]),
        ("[train]\nbatch-size = 8.7\n", ["batch-size", "8.7", "whole number"]),
        ("[train]\nbatch-size = [8, 9]\n", ["batch-size", "whole number"]),
        ('[train]\noverwrite = "yes"\n', ["overwrite", "true or false"]),
        ('[train]\npooling = "max"\n', ["pooling", "'cls'"]),
        ("[train\n", ["TOML"]),
    ],
)
def test_a_configuration_file_is_read_to_the_letter(text: str, words: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(text)
    done = run("train", "--config", str(tmp_path / "my.toml"), "--data", "x.csv", "--out", str(tmp_path / "run"))
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in ["my.toml", *words])


@pytest.mark.parametrize("settings", [["--metric", "pearson"], ["--metric", "acuracy"], ["--max-length", "2"]])
def test_a_setting_that_cannot_work_is_refused_before_anything_is_made(
    settings: list[str], run: Run, model: Path, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *settings)
    assert done.returncode == 2
    assert not out.exists()


def test_json_gives_texts_to_the_letter(run: Run, trained: Path) -> None:
    text = "good\u00a0film \u0645\u06cc\u200c\u0631 \u3000x \U0001f469\u200d\U0001f4bb"
    done = run("predict", str(trained), "--json", stdin=text + "\n", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["first"] == text


def test_a_reader_that_goes_away_is_no_error(trained: Path, tables: Path) -> None:
    process = start("predict", str(trained), "--data", str(tables / "test.csv"))
    assert process.stdout is not None
    process.stdout.close()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_standard_error_that_goes_away_does_not_stop_training(model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), "--epochs", "1"]
    with start("train", *arguments) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(timeout=120) == 0
    assert (out / "model" / "model.safetensors").is_file()


def test_evaluating_the_split_that_chose_the_epoch_says_so(run: Run, trained: Path, tables: Path) -> None:
    assert "biased upward" in run("evaluate", str(trained), "--data", str(tables)).stderr
    file = run("evaluate", str(trained), "--data", str(tables / "test.csv"), "--split", "test")
    assert file.returncode == 2
    assert "--split" in file.stderr


def test_the_demo_replaces_no_run_but_a_demo(run: Run, trained: Path) -> None:
    before = content(trained)
    done = run("demo", "--out", str(trained))
    assert done.returncode == 2
    assert "not a demo" in done.stderr
    assert content(trained) == before


def test_one_class_among_the_scored_rows_is_no_collapse(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "up.csv").write_text("id,first,mood\n1,the film was good,up\n2,a great story,up\n")
    done = run("evaluate", str(trained), "--data", str(tmp_path / "up.csv"))
    assert done.returncode == 0, done.stderr
    assert "collapsed" not in done.stdout


def test_a_second_run_into_the_folder_of_a_first_is_refused_and_a_killed_one_stops_nobody(
    run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    out = copy_of(trained, tmp_path / "run")
    before = content(out)
    common = ["--data", str(tables), *COLUMNS, "--out", str(out), "--overwrite"]
    first = start("train", *common, "--model", str(model), "--batch-size", "1", "--epochs", "50")
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("training "):
            break
    first.send_signal(signal.SIGSTOP)  # stopped within its first epoch
    second = run("train", *common, "--model", str(model), "--epochs", "1")
    assert second.returncode == 2
    assert second.stderr.splitlines() == [
        f"error: another run is writing into {out}",
        "hint: wait for it to end, or name another folder",
    ]
    first.kill()
    first.communicate(timeout=60)
    assert not (out / "model").exists()
    (out / f".tmp-model-{first.pid}-0").mkdir()
    assert len(list(tmp_path.iterdir())) == 3  # the lock, the killed run and the one before it
    # The next run ends before its first epoch too: the run before the killed one is back.
    done = run("train", *common, "--model", str(that_diverges(model, tmp_path / "model")))
    assert done.returncode == 5, done.stderr
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]
