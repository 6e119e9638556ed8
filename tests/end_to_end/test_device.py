"""`--device`: a GPU that is not there is refused at once, and what was chosen is written down."""

import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_a_gpu_that_is_not_there_is_refused(
    command: str, run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    data = ["--data", str(tables / "train.csv")]
    if command == "train":
        arguments = [*data, *COLUMNS, "--model", str(model), "--out", str(tmp_path / "run")]
    else:
        arguments = [str(trained), *data]
    done = run(command, *arguments, "--device", "cuda")
    assert done.returncode == 2
    assert "error: device cuda: torch" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


def test_run_toml_says_where_a_run_was_trained(trained: Path) -> None:
    assert tomllib.loads((trained / "run.toml").read_text())["train"]["device"] == "cpu"


def test_answers_do_not_depend_on_naming_the_processor(run: Run, trained: Path, tables: Path) -> None:
    arguments = ["predict", str(trained), "--data", str(tables / "train.csv"), "--json", "--quiet"]
    assert run(*arguments, "--device", "cpu").stdout == run(*arguments).stdout != ""
