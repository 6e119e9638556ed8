"""A fraction where a whole number is meant is refused, and not rounded."""

from pathlib import Path

import pytest

from bertune.cli import main

DATA = Path(__file__).parents[3] / "examples" / "data"
COLUMNS = ["--text-a", "question1", "--text-b", "question2", "--label", "label"]


@pytest.mark.parametrize("flag", ["--epochs", "--evaluate-every", "--batch-size", "--micro-batch-size", "--seed"])
def test_a_fraction_is_refused(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "--data", str(DATA), *COLUMNS, "--out", str(tmp_path / "run"), flag, "2.5"])
    assert code == 2
    assert capsys.readouterr().err == f"error: {flag}: '2.5' is not a whole number\n"
    assert list(tmp_path.iterdir()) == []


def test_of_a_variable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BERTUNE_TRAIN_EPOCHS", "1.25")
    assert main(["train", "--data", str(DATA), *COLUMNS, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == "error: BERTUNE_TRAIN_EPOCHS: '1.25' is not a whole number\n"


def test_a_whole_number_may_be_written_with_a_point_and_a_column_may_be_called_like_a_fraction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("2.5,label\n" + "a text,yes\nanother,no\n" * 10)
    assert main(["inspect", str(table), "--text-a", "2.5", "--label", "label"]) == 0
    assert "20 rows" in capsys.readouterr().out
    rest = ["--out", str(tmp_path / "run"), "--epochs", "3.0", "--batch-size", "-1"]
    assert main(["train", "--data", str(DATA), *COLUMNS, *rest]) == 2
    assert "batch_size must be at least 1" in capsys.readouterr().err
