"""`bertune demo` has the flags of the other verbs."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.workshop import QUESTIONS, _words_of
from tests.end_to_end.world import Run, write_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("demo") / "encoder", _words_of(QUESTIONS.glob("*.csv")))


def test_the_demo_gives_one_document_with_all_that_it_shows(run: Run, encoder: Path, tmp_path: Path) -> None:
    flags = ["--model", str(encoder), "--precision", "fp32", "--device", "cpu"]
    done = run("demo", "--out", str(tmp_path / "demo"), *flags, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    values = json.loads(done.stdout)
    assert values["run"] == str(tmp_path / "demo")
    assert values["equal_after_reloading"] == 150
    assert values["test"]["rows"] == 150
    assert {"label", "probability", "probabilities"} <= set(values["new_pairs"][0])
    shown = run("demo", "--out", str(tmp_path / "demo"), *flags, "--quiet")
    assert shown.stderr == ""
    accuracy = values["test"]["metrics"]["accuracy"]["value"]
    assert f"test accuracy {100 * accuracy:.1f} % (150 pairs)" in shown.stdout
    assert "150 of 150 predictions are equal to the last bit" in shown.stdout
