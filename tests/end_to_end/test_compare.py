"""Two runs on the same rows: is one better, or was it luck?"""

import json
import shutil
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run


@pytest.fixture(scope="module")
def weaker(run: Run, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that hardly learned."""
    out = tmp_path_factory.mktemp("runs") / "weaker"
    settings = ["--epochs", "1", "--learning-rate", "1e-4", "--seed", "7", "--max-length", "32"]
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *settings)
    assert done.returncode == 0, done.stderr
    return out


def test_a_better_run_is_called_better_with_the_rows_that_flipped(
    run: Run, trained: Path, weaker: Path, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "comparison.html"
    done = run("compare", str(weaker), str(trained), "--html", str(page), "--rows", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{trained} is better than {weaker}: accuracy +")
    assert "validation.csv:" in done.stdout
    shown = page.read_text()
    assert "Difference shown" in shown
    assert "<script" not in shown
    values = json.loads(run("compare", str(weaker), str(trained), "--json", "--quiet").stdout)
    stored = [json.loads((path / "scores.json").read_text())["validation"] for path in (weaker, trained)]
    for scores, of_run in zip(values["scores"], stored, strict=True):
        assert scores == pytest.approx({name: metric["value"] for name, metric in of_run["metrics"].items()}, abs=1e-12)
    (pair,) = values["pairs"]
    assert pair["better"] == 1
    gained = pair["only_second"][0]
    assert gained["answers"][1] == gained["target"] != gained["answers"][0]


def test_a_run_and_itself_show_no_difference(run: Run, trained: Path) -> None:
    done = run("compare", str(trained), str(trained))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no difference shown between")


def test_models_answer_other_rows_when_they_are_named(run: Run, trained: Path, weaker: Path, tables: Path) -> None:
    data = ["--data", str(tables / "test.csv")]
    done = run("compare", str(weaker / "model"), str(trained), *data, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    for path, scores in zip((weaker, trained), values["scores"], strict=True):
        evaluated = json.loads(run("evaluate", str(path), *data, "--json", "--quiet").stdout)["scores"]["metrics"]
        assert scores == pytest.approx({name: metric["value"] for name, metric in evaluated.items()}, abs=1e-12)
    assert values["rows"] == 80


def test_other_rows_are_refused_by_the_first_that_differs(run: Run, trained: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    lines = (other / "validation.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[3])
    lines[3] = json.dumps(row | {"text_a": "<script>alert(1)</script>"}) + "\n"
    (other / "validation.jsonl").write_text("".join(lines))
    done = run("compare", str(trained), str(other))
    assert done.returncode == 3
    assert "answered other rows" in done.stderr
    assert "validation.csv:5 text_a is" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "needs two runs or more"),
        (["{trained}"], 2, "needs two runs or more"),
        (["{trained}", "{trained}", "--split", "test"], 2, "--split has no effect"),
        (["{trained}", "{trained}/model"], 2, "is not the folder of a run"),
        (["{trained}", "{tables}"], 2, "is not the folder of a run"),
        (["{trained}", "{trained}", "--rows", "-1"], 2, "--rows must be 0 or more"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    run: Run, trained: Path, tables: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run("compare", *(each.format(trained=trained, tables=tables) for each in arguments))
    assert done.returncode == code
    assert message in done.stderr
