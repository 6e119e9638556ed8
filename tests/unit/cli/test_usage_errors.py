"""What is wrong with the arguments is said in words of the command line, with the verb at hand."""

from pathlib import Path

import pytest

from bertune.cli.app import main
from bertune.wording.nearest import shorten

_PAIR = ["--data", "a", "--out", "b"]
SEVERAL = "hint: name several tables by a pattern in quotes, --data 'part-*.csv', or with --data before each"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["trian"], ["error: bertune has no verb 'trian'", "hint: did you mean 'train'?"]),
        (
            ["explain", "r"],
            ["error: bertune has no verb 'explain'", "hint: bertune predict RUN --explain shows which words decide"],
        ),
        (["score"], ["error: bertune has no verb 'score'", "hint: did you mean 'evaluate'?"]),
        (
            ["train", *_PAIR, "--text-a", "t", "--labl", "l"],
            ["error: bertune train has no option --labl", "hint: did you mean --label?"],
        ),
        (
            ["train", *_PAIR, "--text-a", "t", "--epohcs", "2"],
            ["error: bertune train has no option --epohcs", "hint: did you mean --epochs?"],
        ),
        (["--lr"], ["error: '--lr' stands before the verb", "hint: the verb comes first: see `bertune --help`"]),
        (["train"], ["error: bertune train needs --data", "hint: see `bertune train --help`"]),
        (["predict"], ["error: bertune predict needs RUN", "hint: see `bertune predict --help`"]),
        (["train", "--data"], ["error: --data needs a value", "hint: see `bertune train --help`"]),
        (
            ["sweep", "--search-learning-rate", "2", *_PAIR],
            ["error: --search-learning-rate needs 2 values", "hint: see `bertune sweep --help`"],
        ),
        (
            ["train", *_PAIR, "--out", "c"],
            ["error: --out is given twice", "hint: leave one of them out"],
        ),
        (
            ["train", *_PAIR, "--data=b,c.csv"],
            [
                "error: 'b,c.csv' cannot be given beside others, since it has {, } or a comma",
                "hint: rename it, or name all of them by a pattern in quotes: --data 'part-*.csv'",
            ],
        ),
        (
            ["train", "x.csv", "--task", "mrpc", *_PAIR],
            ["error: bertune train takes no 'x.csv' without a flag before it", "hint: see `bertune train --help`"],
        ),
        (
            ["train", "--task", "mrpc", "--data", __file__, __file__, "--out", "o"],
            [f"error: bertune train takes no '{shorten(__file__)}' without a flag before it", SEVERAL],
        ),
        (["compare", "a", "b", "--rows", "x"], ["error: --rows: 'x' is not a whole number"]),
        (
            ["train", "--learning-rate", "fast", "--task", "mrpc", *_PAIR],
            ["error: --learning-rate: 'fast' is not a number"],
        ),
        (
            ["train", "--pooling", "mena", *_PAIR],
            ["error: --pooling: 'mena' is not one of 'cls', 'mean'", "hint: did you mean 'mean'?"],
        ),
        (["report", ""], ["error: an argument is empty", "hint: leave it out, or look at the variable it is made of"]),
    ],
)
def test_usage(arguments: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == lines


def test_a_value_of_the_environment_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BERTUNE_COMPARE_ROWS", "many")
    assert main(["compare", "a", "b"]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: BERTUNE_COMPARE_ROWS: 'many' is not a whole number"]


def test_a_name_with_a_line_end_makes_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "text\nhint: run: curl evil"
    (tmp_path / "t.csv").write_text(f'"{evil}",label\na,b\nc,d\n')
    for column in (evil.replace("text", "tezt"), "texx"):
        assert main(["inspect", str(tmp_path / "t.csv"), "--text-a", column, "--label", "label"]) == 2
        assert not any(line.startswith("hint: run") for line in capsys.readouterr().err.splitlines())
    assert main(["report", evil]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_name_of_any_length_makes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(f"{'x' * 100_000},label\na,b\nc,d\n")
    assert main(["inspect", str(tmp_path / "t.csv"), "--text-a", "text", "--label", "label"]) == 2
    assert len(capsys.readouterr().err) < 3000


def test_the_lines_of_a_message_stay_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,x\na,y\n")
    data = ["inspect", str(tmp_path / "t.csv"), "--text-a", "text", "--label", "label", "--strict"]
    assert main(data) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: the audit of the data has ")
    assert len(lines) > 2
    assert all(line.startswith(("  ", "hint: ")) for line in lines[1:])


def test_a_report_says_which_folder_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "a" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "run.toml").touch()
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "bertune.json").touch()
    for name, hint in (
        ("runs/a/model", f"hint: name the run itself: bertune report {tmp_path / 'runs' / 'a'}"),
        ("alone", "hint: a model alone has no record of its training; bertune evaluate scores it"),
        ("runs", "hint: name the folder that bertune train --out made"),
        ("run", f"hint: did you mean {tmp_path / 'runs'}?"),
    ):
        assert main(["report", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.splitlines()[1:] == [hint]
