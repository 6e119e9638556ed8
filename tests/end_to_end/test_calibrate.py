"""Probabilities that mean what they say: from training to every answer."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run, write_table

from bertune.checkpoints.model_folder import replace_signature
from bertune.checkpoints.signature import ModelSignature
from bertune.cli import main
from bertune.evaluation import predict_texts
from bertune.evaluation.answer_kinds import softmax


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
    long += ["--recipe", "lesson"]  # which stops for nothing
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
    # The file also names the model that it is of.
    assert read(noisy / "result.json")["calibration"] | {"model": stored["model"]} == stored
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


def test_calibrating_again_takes_the_place_of_what_was_there(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    before = ModelSignature.read(folder / "model")
    again = run("calibrate", str(folder), "--data", str(noisy / "validation.csv"), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["temperature"] == pytest.approx(before.temperature, rel=1e-4)
    picture = tmp_path / "reliability.svg"
    other = run("calibrate", str(folder), "--data", str(noisy / "test.csv"), "--plot", str(picture))
    assert other.returncode == 0, other.stderr
    after = ModelSignature.read(folder / "model")
    assert after.temperature != pytest.approx(before.temperature, rel=1e-4)
    assert replace(after, temperature=before.temperature) == before
    assert f"temperature {after.temperature:.3g}, fitted on these 120 rows" in other.stdout
    assert read(folder / "calibration.json")["temperature"] == after.temperature
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert "<svg" in picture.read_text()
    assert run("evaluate", str(folder), "--data", str(noisy / "test.csv")).returncode == 0
    shown = run("inspect", str(folder)).stdout
    assert "before it was recalibrated" in shown
    assert "before it was recalibrated" not in run("inspect", str(noisy / "run")).stdout
    assert run("report", str(folder)).returncode == 0
    assert "before the model was recalibrated" in (folder / "report.html").read_text()


def test_without_data_a_run_is_calibrated_on_its_own_validation_rows(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    fitted = ModelSignature.read(folder / "model")
    replace_signature(folder / "model", replace(fitted, temperature=1.0))
    chosen = ["--threshold", "auto", "--threshold-for", "accuracy", "--json"]
    of_data = json.loads(run("calibrate", str(folder), "--data", str(noisy / "validation.csv"), *chosen).stdout)
    done = run("calibrate", str(folder), *chosen)
    assert done.returncode == 0, done.stderr
    assert "120 validation rows of" in done.stderr
    own = json.loads(done.stdout)
    assert own.pop("data") == {"path": str(folder / "validation.jsonl"), "rows": 120}
    assert of_data.pop("split") is own.pop("split") is None
    assert own["thresholds"]["values"] == of_data["thresholds"]["values"]
    for name in ("before", "after_cross_fitted"):
        assert own[name]["log_loss"] == pytest.approx(of_data[name]["log_loss"], rel=1e-5)
        assert own[name]["calibration_error"] == pytest.approx(of_data[name]["calibration_error"], abs=1e-5)
    # To the last bit what training found on these rows.
    assert own["temperature"] == fitted.temperature == ModelSignature.read(folder / "model").temperature
    assert own["temperature"] == pytest.approx(of_data["temperature"], rel=1e-4)


def test_the_model_folder_of_a_run_is_that_run(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    done = run("calibrate", str(folder / "model"), "--threshold", "auto", "--threshold-for", "accuracy")
    assert done.returncode == 0, done.stderr
    assert read(folder / "calibration.json")["thresholds"]["metric"] == "accuracy"


def test_without_data_a_model_alone_is_told_what_to_do(noisy: Path, run: Run, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(noisy / "run" / "model", tmp_path / "alone"))
    done = run("calibrate", str(alone))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a model without its run, so there are no validation rows in it" in done.stderr
    assert "name labelled rows with --data FILE, or the folder of the run" in done.stderr
    folder = copied(noisy, tmp_path)
    (folder / "validation.jsonl").unlink()
    done = run("calibrate", str(folder))
    assert done.returncode == 2
    assert "has no answers to validation rows" in done.stderr
    assert "--data" in done.stderr
    done = run("calibrate", str(noisy / "run"), "--split", "test")
    assert done.returncode == 2
    assert "the run's own validation rows are taken, so --split has no effect" in done.stderr


def test_no_run_can_put_another_model_there_while_one_is_calibrated(
    noisy: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(noisy, tmp_path)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    predict = predict_texts.predict
    codes = []

    def train_meanwhile(*arguments: Any, **named: Any) -> Any:
        again = ["train", "--data", str(noisy), *COLUMNS, "--model", str(model), "--out", str(folder), *TRAINING]
        codes.append(main([*again, "--overwrite"]))
        return predict(*arguments, **named)

    monkeypatch.setattr(predict_texts, "predict", train_meanwhile)
    for given in (folder, folder / "model"):
        assert main(["calibrate", str(given), "--data", str(noisy / "test.csv")]) == 0
        assert "another run is writing into" in capsys.readouterr().err
    assert codes == [2, 2]
    assert (folder / "model" / "model.safetensors").read_bytes() == weights


def test_a_stored_threshold_decides_every_answer(noisy: Path, run: Run, tmp_path: Path) -> None:
    folder = copied(noisy, tmp_path)
    replace_signature(folder / "model", replace(ModelSignature.read(folder / "model"), thresholds=(0.9,)))
    data = ["--data", str(noisy / "test.csv")]
    answers = [json.loads(line) for line in run("predict", str(folder), *data, "--json", "--quiet").stdout.splitlines()]
    shares = [answer["probabilities"]["up"] for answer in answers]
    assert any(0.5 < share < 0.9 for share in shares)
    for answer, share in zip(answers, shares, strict=True):
        assert answer["predicted_label"] == ("up" if share >= 0.9 else "down")
        assert answer["probability"] == answer["probabilities"][answer["predicted_label"]]
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
    assert list(ModelSignature.read(folder / "model").thresholds) == chosen["values"]
    run("calibrate", str(folder), *data)
    assert ModelSignature.read(folder / "model").thresholds == ()


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
    ],
)
def test_what_cannot_work_is_refused_and_changes_nothing(
    noisy: Path, run: Run, arguments: list[str], message: str
) -> None:
    before = (noisy / "run" / "model" / "bertune.json").read_bytes()
    done = run("calibrate", str(noisy / "run"), "--data", str(noisy / "validation.csv"), *arguments)
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

    alone = ["--data", str(noisy / "train.csv"), "--validation", "none"]
    assert "--threshold auto needs validation data" in train(*alone, "--threshold", "auto")
    assert "--threshold-for has no effect" in train("--data", str(noisy), "--threshold-for", "f1")
    unknown = train("--data", str(noisy), "--threshold", "auto", "--threshold-for", "f2")
    assert "a threshold cannot be chosen for 'f2'" in unknown


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:70], "70 rows, where 120 were scored"),
        (
            lambda lines: [*lines[:3], re.sub(r'"logits": \[[^,]*,', '"logits": [NaN,', lines[3]), *lines[4:]],
            ":4: not JSON: NaN is not JSON",
        ),
    ],
    ids=["cut short", "not a number"],
)
def test_damaged_validation_rows_are_refused_and_the_model_stays(
    damage: Callable[[list[str]], list[str]], said: str, noisy: Path, run: Run, tmp_path: Path
) -> None:
    folder = copied(noisy, tmp_path)
    lines = (folder / "validation.jsonl").read_text().splitlines()
    (folder / "validation.jsonl").write_text("\n".join(damage(lines)) + "\n")
    before = (folder / "model" / "bertune.json").read_bytes()
    done = run("calibrate", str(folder))
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert (folder / "model" / "bertune.json").read_bytes() == before
