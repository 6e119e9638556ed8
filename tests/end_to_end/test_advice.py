"""What the command line says of a run that has not learned, and that asking changes nothing."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run

COLLAPSING = ["--epochs", "1", "--learning-rate", "1e-7", "--max-length", "32"]


@pytest.fixture(scope="module")
def data(tables: Path, model: Path) -> list[str]:
    return ["--data", str(tables), *COLUMNS, "--model", str(model)]


def test_a_run_that_has_not_learned_says_first_what_to_try_and_ends_with_0(
    run: Run, data: list[str], tmp_path: Path
) -> None:
    done = run("train", *data, *COLLAPSING, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("warning: ")
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    codes = [each["code"] for each in scores["advice"]]
    assert "few_steps" in codes
    assert {"collapsed", "near_chance"} & set(codes)
    assert [f"warning: {each['message']}" for each in scores["advice"]] == lines[: len(codes)]
    assert lines[len(codes)].startswith("try: --")
    assert scores["frozen_features"]["rows_trained"] == 200
    assert scores["tf_idf"]["beside"]["low"] < scores["tf_idf"]["beside"]["high"]
    assert any(line.startswith("logistic regression on frozen features: accuracy ") for line in lines)
    page = (tmp_path / "run" / "report.html").read_text()
    assert 0 < page.index("optimizer steps are few") < page.index("What was run")


def test_a_run_that_has_learned_says_no_more_than_that_steps_are_few_and_the_regression_changes_no_bit(
    run: Run, data: list[str], tmp_path: Path
) -> None:
    # The lesson's schedule: by that of recipe auto the loss still falls at the end.
    settings = [*TRAINING, "--recipe", "lesson"]
    done = run("train", *data, *settings, "--out", str(tmp_path / "probed"))
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "probed" / "scores.json").read_text())
    assert [each["message"] for each in scores["advice"]] == [
        "80 optimizer steps are few: the model may have only begun to learn"
    ]
    done = run("train", *data, *settings, "--skip-probe", "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "frozen" not in done.stdout
    without = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert not without.keys() & {"frozen_features", "tf_idf"}
    assert without["validation"] == scores["validation"]
    weights = [folder / "model" / "model.safetensors" for folder in (tmp_path / "probed", tmp_path / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_seeds_say_how_many_of_them_and_which(run: Run, data: list[str], tmp_path: Path) -> None:
    done = run("train", *data, *COLLAPSING, "--seeds", "2", "--out", str(tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("warning: ")
    assert "warning: 2 of 2 seeds trained few optimizer steps (42, 43)" in lines
    summary = json.loads((tmp_path / "study" / "seeds.json").read_text())["summary"]
    assert "few_steps" in [each["code"] for each in summary["advice"]]
    assert "2 of 2 seeds trained few optimizer steps (42, 43)." in (tmp_path / "study" / "report.html").read_text()


def test_a_sweep_says_first_that_all_of_its_trials_collapsed(run: Run, data: list[str], tmp_path: Path) -> None:
    search = ["--search-learning-rate", "1e-9", "1e-8", "--trials", "2", "--out", str(tmp_path / "sweep")]
    done = run("sweep", *data, "--epochs", "1", "--max-length", "32", "--seed", "3", *search)
    assert done.returncode == 0, done.stderr
    trials = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["trials"]
    assert [trial["collapsed"] for trial in trials] == [True, True]
    lines = done.stdout.splitlines()
    assert lines[0] == "warning: all 2 trials collapsed: each model gives every row the same answer"
    assert lines[1].startswith("try: --search-learning-rate ")
