"""Forked commands answer as fresh processes do."""

from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train"], ["inspect", "nosuch"], ["predict", "{trained}", "--json"], ["evaluate", "{trained}"]],
    ids=lambda arguments: arguments[0].lstrip("-"),
)
def test_a_forked_command_answers_as_a_fresh_one(run: Run, fresh_run: Run, trained: Path, arguments: list[str]) -> None:
    arguments = [argument.format(trained=trained) for argument in arguments]
    forked, fresh = (runs(*arguments, stdin="a good film\n") for runs in (run, fresh_run))
    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_training_gives_the_same_bytes(run: Run, fresh_run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    weights = []
    for name, runs in (("forked", run), ("fresh", fresh_run)):
        where = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(tmp_path / name)]
        done = runs("train", *where, *TRAINING)
        assert done.returncode == 0, done.stderr
        weights.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_variables_are_those_of_one_command(run: Run) -> None:
    usual = run("train", "--help").stdout
    assert run("train", "--help", COLUMNS="60").stdout != usual
    assert run("train", "--help").stdout == usual
