"""`bertune train --folds`, from the real command line and from Python."""

import json
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.world import Run

import bertune

SETTINGS = ["--text-a", "first", "--label", "mood", "--epochs", "1", "--batch-size", "32", "--max-length", "32"]


@pytest.fixture(scope="module")
def arguments(model: Path, tables: Path) -> list[str]:
    return ["train", "--data", str(tables / "train.csv"), *SETTINGS, "--model", str(model)]


def refused(run: Run, out: Path, *arguments: str) -> tuple[int, str]:
    done = run(*arguments, "--out", str(out))
    assert not out.exists()
    assert not done.stdout
    return done.returncode, done.stderr


def test_the_score_is_printed_by_fold_and_the_settings_repeat_it(
    run: Run, arguments: list[str], tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = run(*arguments, "--folds", "3", "--test", str(tables / "test.csv"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "cross-validation, 3 folds (each row answered by a model that did not learn from it):" in done.stdout
    assert "test (nothing was chosen by these rows):" in done.stdout
    assert "trained on all rows" in done.stdout
    assert done.stderr.count("train: 320 rows: ") == 1  # read and encoded once
    assert "3 folds of 106 to 107 rows" in done.stderr
    for fold in (1, 2, 3):
        assert f"fold {fold} of 3: epoch 1/1" in done.stderr
    settings = tomllib.loads((out / "run.toml").read_text())["train"]
    assert settings["folds"] == 3
    again = run("train", "--config", str(out / "run.toml"), "--out", str(tmp_path / "again"), "--json", "--quiet")
    assert again.returncode == 0, again.stderr
    told, kept = json.loads(again.stdout), json.loads((out / "scores.json").read_text())
    assert told["cross_validation"] == kept["cross_validation"]
    assert (out / "model" / "model.safetensors").read_bytes() == (
        tmp_path / "again" / "model" / "model.safetensors"
    ).read_bytes()
    assert run("predict", str(out), stdin="the film was good\n").returncode == 0
    compared = run("compare", str(out), str(tmp_path / "again"))
    assert "compared on the training rows, each answered by models that did not learn from it" in compared.stderr
    assert "no difference shown" in compared.stdout


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--folds", "1"], 2, "error: --folds must be at least 2, not 1"),
        (["--folds", "5", "--validation", "0.1"], 2, "so --validation 0.1 has no effect"),
        (["--folds", "5", "--validation", "none"], 2, "so --validation none has no effect"),
        (["--folds", "5", "--seeds", "2"], 2, "--folds and --seeds are two ways to several runs"),
        (["--folds", "5", "--certify-resume"], 2, "--certify-resume is about one run"),
    ],
)
def test_settings_that_contradict_folds_are_refused(
    run: Run, arguments: list[str], tmp_path: Path, more: list[str], code: int, message: str
) -> None:
    found, told = refused(run, tmp_path / "run", *arguments, *more)
    assert found == code, told
    assert message in told


def test_more_folds_than_rows_of_the_rarest_label_or_groups_are_refused(run: Run, model: Path, tmp_path: Path) -> None:
    rows = [f"film number {row},{'rare' if row < 4 else ('up', 'down')[row % 2]},{row % 6}" for row in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["first,mood,author", *rows]) + "\n")
    base = ["train", "--data", str(tmp_path / "table.csv"), *SETTINGS, "--model", str(model)]
    code, told = refused(run, tmp_path / "run", *base, "--folds", "5")
    assert code == 3
    assert "--folds 5 needs 5 rows of each label or more, and 'rare' has 4" in told
    assert "hint: use --folds 4, or add rows of 'rare'" in told
    text = (tmp_path / "table.csv").read_text().replace("rare", "up")
    (tmp_path / "table.csv").write_text(text)
    code, told = refused(run, tmp_path / "run", *base, "--folds", "7", "--group", "author")
    assert code == 3
    assert "--folds 7 needs 7 values in 'author' or more, and there are 6" in told


def test_encoded_folders_are_refused(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    table, encoded = tables / "train.csv", tmp_path / "encoded"
    columns = ["--text-a", "first", "--label", "mood", "--labels", "down", "--labels", "up", "--max-length", "32"]
    done = run("encode", "--data", str(table), *columns, "--model", str(model), "--out", str(encoded))
    assert done.returncode == 0, done.stderr
    base = ["train", "--data", str(encoded), "--max-length", "32", "--model", str(model)]
    code, told = refused(run, tmp_path / "run", *base, "--folds", "3")
    assert code == 2
    assert "was encoded before, and near-duplicates are found by texts" in told


def test_python_gives_what_the_command_line_does(model: Path, tables: Path, tmp_path: Path) -> None:
    given = {"model": model, "text_a": "first", "label": "mood", "max_length": 32, "epochs": 1, "batch_size": 32}
    run = bertune.train(tables / "train.csv", out=tmp_path / "run", folds=3, quiet=True, **given)
    told = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert run.scores is not None
    assert run.folds is not None
    assert told["cross_validation"]["metrics"]["accuracy"]["value"] == run.scores.value("accuracy")
    assert [fold.fold for fold in run.folds] == [1, 2, 3]
    assert "3 folds; cross-validated accuracy" in repr(run)
    assert run.model.predict(["the film was good"]).labels[0] in ("down", "up")
    with pytest.raises(bertune.ConfigError, match="--folds and --seeds"):
        bertune.train(tables / "train.csv", out=tmp_path / "other", folds=3, seeds=2, quiet=True, **given)
