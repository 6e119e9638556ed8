"""Probabilities that mean what they say: from training to every answer."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run, write_table

from bertune.checkpoints.contract import Contract
from bertune.checkpoints.model_directory import replace_contract
from bertune.evaluation.answers import softmax


def write_noisy_table(path: Path, rows: int, seed: int) -> Path:
    """Rows of which every fourth has the wrong label: nobody can be surer than 75 %."""
    write_table(path, rows, seed)
    with path.open(newline="") as stream:
        header, *lines = list(csv.reader(stream))
    for line in lines[::4]:
        line[-1] = "down" if line[-1] == "up" else "up"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return path


@pytest.fixture(scope="module")
def noisy(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables and a run that is too sure of itself."""
    folder = tmp_path_factory.mktemp("noisy")
    for name, rows, seed in (("train", 120, 1), ("validation", 120, 2), ("test", 120, 3)):
        write_noisy_table(folder / f"{name}.csv", rows, seed)
    long = ["--epochs", "12", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32", "--metric", "f1"]
    done = run(
        "train", "--data", str(folder), *COLUMNS, "--model", str(model), "--out", str(folder / "run"), *long, "--json"
    )
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def copied(noisy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(noisy / "run", tmp_path / "run"))


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_training_stores_a_temperature_that_all_answers_go_by(noisy: Path, run: Run) -> None:
    temperature = read(noisy / "run" / "model" / "bertune.json")["temperature"]
    stored = read(noisy / "run" / "calibration.json")
    assert stored["temperature"] == temperature > 1.2
    assert stored["after_cross_fitted"]["calibration_error"] < stored["before"]["calibration_error"]
    assert read(noisy / "result.json")["calibration"] == stored
    card = (noisy / "run" / "model" / "README.md").read_text()
    assert f"divides the logits by the temperature {temperature:.4g}" in card

    logits = [json.loads(line)["logits"] for line in (noisy / "run" / "validation.jsonl").read_text().splitlines()]
    answered = run("predict", str(noisy / "run"), "--data", str(noisy / "validation.csv"), "--json", "--quiet")
    shares = [list(json.loads(line)["probabilities"].values()) for line in answered.stdout.splitlines()]
    np.testing.assert_allclose(shares, softmax(np.array(logits) / temperature), atol=1e-6)


def test_the_scores_of_the_run_are_those_of_a_later_evaluation(noisy: Path, run: Run) -> None:
    done = run("evaluate", str(noisy / "run"), "--data", str(noisy / "validation.csv"), "--json", "--quiet")
    later, stored = json.loads(done.stdout)["scores"], read(noisy / "run" / "scores.json")["validation"]
    assert later["calibration_error"] == pytest.approx(stored["calibration_error"], abs=1e-6)
    assert later["mean_loss"] == pytest.approx(stored["mean_loss"], abs=1e-6)
    assert later["metrics"] == stored["metrics"]
    shown = run("evaluate", str(noisy / "run"), "--data", str(noisy / "validation.csv"), "--quiet").stdout
    assert f"expected calibration error {100 * later['calibration_error']:.1f} %" in shown


def test_calibrating_anew_takes_the_place_of_what_was_there(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    before = Contract.read(folder / "model")
    again = run("calibrate", str(folder), "--data", str(noisy / "validation.csv"), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["temperature"] == pytest.approx(before.temperature, rel=1e-4)
    picture = tmp_path / "reliability.svg"
    other = run("calibrate", str(folder), "--data", str(noisy / "test.csv"), "--plot", str(picture))
    assert other.returncode == 0, other.stderr
    after = Contract.read(folder / "model")
    assert after.temperature != pytest.approx(before.temperature, rel=1e-4)
    assert replace(after, temperature=before.temperature) == before
    assert f"temperature {after.temperature:.2f}, fitted on these 120 rows" in other.stdout
    assert read(folder / "calibration.json")["temperature"] == after.temperature
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert "<svg" in picture.read_text()
    assert run("evaluate", str(folder), "--data", str(noisy / "test.csv")).returncode == 0
    shown = run("inspect", str(folder)).stdout
    assert "before it was calibrated anew" in shown
    assert "before it was calibrated anew" not in run("inspect", str(noisy / "run")).stdout
    assert run("report", str(folder)).returncode == 0
    assert "before the model was calibrated anew" in (folder / "report.html").read_text()


def test_a_stored_threshold_decides_every_answer(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    replace_contract(folder / "model", replace(Contract.read(folder / "model"), thresholds=(0.9,)))
    data = ["--data", str(noisy / "test.csv")]
    answers = [json.loads(line) for line in run("predict", str(folder), *data, "--json", "--quiet").stdout.splitlines()]
    shares = [answer["probabilities"]["up"] for answer in answers]
    assert any(0.5 < share < 0.9 for share in shares)
    for answer, share in zip(answers, shares, strict=True):
        assert answer["label"] == ("up" if share >= 0.9 else "down")
        assert answer["probability"] == answer["probabilities"][answer["label"]]
    scores = json.loads(run("evaluate", str(folder), *data, "--json", "--quiet").stdout)["scores"]
    assert sum(row[1] for row in scores["confusion"]) == sum(share >= 0.9 for share in shares)


def test_thresholds_are_chosen_when_asked_and_said_what_they_are_worth(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    data = ["--data", str(noisy / "validation.csv")]
    done = run("calibrate", str(folder), *data, "--threshold", "auto", "--threshold-for", "accuracy")
    assert done.returncode == 0, done.stderr
    assert "threshold of 'up': " in done.stdout
    assert "accuracy" in done.stdout.split("threshold of 'up': ")[1]
    chosen = read(folder / "calibration.json")["thresholds"]
    assert chosen["metric"] == "accuracy"
    assert list(Contract.read(folder / "model").thresholds) == chosen["values"]
    run("calibrate", str(folder), *data)
    assert Contract.read(folder / "model").thresholds == ()


def test_too_few_rows_are_refused_and_the_model_stays_as_it_was(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    before = (folder / "model" / "bertune.json").read_bytes()
    few = write_noisy_table(tmp_path / "few.csv", 12, 5)
    done = run("calibrate", str(folder), "--data", str(few), "--threshold", "auto")
    assert done.returncode == 3
    assert f"{few}: 12 rows are too few to fit one, 20 are needed" in done.stderr
    assert (folder / "model" / "bertune.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold-for", "f1"], "--threshold-for has no effect without --threshold auto"),
        (["--threshold", "auto", "--threshold-for", "pearson"], "a threshold cannot be chosen for 'pearson'"),
        ([], "the data are not named"),
    ],
)
def test_what_cannot_work_is_refused_and_changes_nothing(
    noisy: Path, run: Run, arguments: list[str], message: str
) -> None:
    before = (noisy / "run" / "model" / "bertune.json").read_bytes()
    data = ["--data", str(noisy / "validation.csv")] if arguments else []
    done = run("calibrate", str(noisy / "run"), *data, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert (noisy / "run" / "model" / "bertune.json").read_bytes() == before


def test_training_refuses_thresholds_where_there_can_be_none(
    noisy: Path, run: Run, model: Path, tmp_path: Path
) -> None:
    def train(*arguments: str) -> str:
        done = run("train", *COLUMNS, "--model", str(model), "--out", str(tmp_path / "run"), *TRAINING, *arguments)
        assert done.returncode == 2
        assert not (tmp_path / "run").exists()
        return done.stderr

    assert "--threshold auto needs validation data" in train("--data", str(noisy / "train.csv"), "--threshold", "auto")
    assert "--threshold-for has no effect" in train("--data", str(noisy), "--threshold-for", "f1")
    unknown = train("--data", str(noisy), "--threshold", "auto", "--threshold-for", "f2")
    assert "a threshold cannot be chosen for 'f2'" in unknown
