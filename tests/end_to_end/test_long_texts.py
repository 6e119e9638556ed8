"""Long texts from the command line: the same in training, evaluation and prediction, and always counted."""

import csv
import json
import random
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, Run

MODES = {
    "first": [],
    "head-tail": ["--long-text", "head-tail"],
    "windows": ["--long-text", "windows", "--window-stride", "8"],
}
TRAINING = ["--epochs", "2", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "16"]
SAID = {"first": "cut", "head-tail": "head and tail kept", "windows": "read in 3.5 windows on average"}


def write(path: Path, rows: int, seed: int, *, pairs: bool = False) -> None:
    """Half of the texts are longer than the 16 tokens of the tests; their mood is at the end."""
    source = random.Random(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["first", "second", "mood"] if pairs else ["first", "mood"])
        for row in range(rows):
            label, mood = source.choice([("up", GOOD), ("down", BAD)])
            words = source.choices(OTHER, k=source.randrange(20, 40) if row % 2 else 6)
            text = " ".join([*words, source.choice(mood)])
            writer.writerow(["the film", text, label] if pairs else [text, label])


@pytest.fixture(scope="module")
def long_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    (folder / "pairs").mkdir()
    for name, rows, seed in (("train", 96, 1), ("validation", 40, 2), ("test", 30, 3)):
        write(folder / f"{name}.csv", rows, seed)
        write(folder / "pairs" / f"{name}.csv", rows, seed, pairs=True)
    return folder


@pytest.fixture(scope="module")
def runs(run: Run, model: Path, long_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each mode."""
    out = tmp_path_factory.mktemp("runs")
    for mode, flags in MODES.items():
        place = ["--model", str(model), "--out", str(out / mode)]
        done = run("train", "--data", str(long_tables), *COLUMNS, *place, *TRAINING, *flags)
        assert done.returncode == 0, done.stderr
        (out / f"{mode}.txt").write_text(done.stderr)
    return out


@pytest.mark.parametrize("mode", MODES)
def test_a_fresh_process_gives_the_scores_of_the_run(run: Run, runs: Path, long_tables: Path, mode: str) -> None:
    done = run("evaluate", str(runs / mode), "--data", str(long_tables), "--json")
    assert done.returncode == 0, done.stderr
    evaluated = json.loads(done.stdout)
    assert evaluated["scores"] == json.loads((runs / mode / "scores.json").read_text())["validation"]
    predicted = run("predict", str(runs / mode), "--data", str(long_tables / "validation.csv"), "--json")
    with (long_tables / "validation.csv").open(newline="") as stream:
        right = [
            json.loads(line)["predicted_label"] == row["mood"]
            for line, row in zip(predicted.stdout.splitlines(), csv.DictReader(stream), strict=True)
        ]
    assert sum(right) / len(right) == pytest.approx(evaluated["scores"]["metrics"]["accuracy"]["value"])


@pytest.mark.parametrize("mode", MODES)
def test_how_many_texts_are_too_long_is_said_everywhere(run: Run, runs: Path, long_tables: Path, mode: str) -> None:
    line = f"20 of 40 (50.0 %) over 16 tokens: {SAID[mode]}"
    said_in_training = (runs / f"{mode}.txt").read_text()
    assert f"validation: {line}" in said_in_training
    assert "48 of 96 (50.0 %) over 16 tokens" in said_in_training
    evaluated = run("evaluate", str(runs / mode), "--data", str(long_tables), "--json")
    assert line in evaluated.stderr
    assert line in run("predict", str(runs / mode), "--data", str(long_tables / "validation.csv")).stderr
    counts = json.loads((runs / mode / "data.json").read_text())["long_texts"]
    assert counts["validation"] == json.loads(evaluated.stdout)["long_texts"]
    assert (counts["validation"]["long_text"], counts["validation"]["over_length"]) == (mode, 20)
    assert (counts["validation"]["windows"] > 20) == (mode == "windows")


def test_rows_of_a_run_are_examples_not_windows(runs: Path, long_tables: Path) -> None:
    rows = [json.loads(line) for line in (runs / "windows" / "validation.jsonl").read_text().splitlines()]
    with (long_tables / "validation.csv").open(newline="") as stream:
        given = list(csv.DictReader(stream))
    assert [row["target"] for row in rows] == [row["mood"] for row in given]
    for row, asked in zip(rows, given, strict=True):
        words = len(asked["first"].split())
        windows = max(1, 1 - (14 - words) // 8)
        assert row["tokens"] == (words + 2 if windows == 1 else 16 * windows)


def test_run_and_model_say_how_long_texts_are_read(runs: Path) -> None:
    settings = tomllib.loads((runs / "windows" / "run.toml").read_text())["train"]
    assert (settings["long-text"], settings["window-stride"]) == ("windows", 8)
    card = (runs / "windows" / "model" / "README.md").read_text()
    assert "read in windows of 16 tokens that begin 8 tokens after one another, whose logits are averaged" in card
    assert "transformers cuts off their end and so answers otherwise" in card
    assert "- longer texts: cut after 16 tokens" in (runs / "first" / "model" / "README.md").read_text()


def test_pairs_slide_and_the_stride_is_chosen(run: Run, model: Path, long_tables: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "run", str(long_tables / "pairs")
    columns = ["--text-a", "first", "--text-b", "second", "--label", "mood", "--long-text", "windows"]
    done = run("train", "--data", data, *columns, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "model" / "bertune.json").read_text())["window_stride"] == 3  # (16 - 3) // 2 // 2
    evaluated = json.loads(run("evaluate", str(out), "--data", data, "--json").stdout)
    assert evaluated["scores"] == json.loads((out / "scores.json").read_text())["validation"]


def test_folders_encoded_with_head_and_tail_are_for_models_of_that_kind(
    run: Run, runs: Path, model: Path, long_tables: Path, tmp_path: Path
) -> None:
    place = ["--data", str(long_tables), *COLUMNS, "--model", str(model), "--max-length", "16"]
    done = run("encode", *place, "--out", str(tmp_path / "encoded"), "--long-text", "head-tail")
    assert done.returncode == 0, done.stderr
    assert "20 of 40 (50.0 %) over 16 tokens: head and tail kept" in done.stdout
    texts = run("evaluate", str(runs / "head-tail"), "--data", str(long_tables), "--json")
    folder = run("evaluate", str(runs / "head-tail"), "--data", str(tmp_path / "encoded"), "--json")
    assert json.loads(folder.stdout)["scores"] == json.loads(texts.stdout)["scores"]
    assert json.loads(folder.stdout)["long_texts"] == json.loads(texts.stdout)["long_texts"]
    for mode in ("first", "windows"):
        refused = run("evaluate", str(runs / mode), "--data", str(tmp_path / "encoded"))
        assert refused.returncode == 2
        assert f"was encoded with long_text head-tail, the model has {mode}" in refused.stderr
    train = ["train", "--data", str(tmp_path / "encoded"), "--model", str(model), *TRAINING]
    refused = run(*train, "--out", str(tmp_path / "run"))
    assert refused.returncode == 2
    assert "hint: use --long-text head-tail" in refused.stderr
    trained = run(*train, "--out", str(tmp_path / "run"), "--long-text", "head-tail", "--json")
    assert trained.returncode == 0, trained.stderr
    scores = json.loads((runs / "head-tail" / "scores.json").read_text())["validation"]
    assert json.loads(trained.stdout)["validation"] == scores


@pytest.mark.parametrize(
    ("verb", "flags", "message"),
    [
        ("train", ["--window-stride", "8"], "--window-stride is for windows, and --long-text is first"),
        ("train", ["--long-text", "windows", "--window-stride", "0"], "window_stride must lie between 1 and 126"),
        ("train", ["--long-text", "windows", "--window-stride", "127"], "window_stride must lie between 1 and 126"),
        ("train", ["--long-text", "windows", "--max-length", "3"], "max_length 3 is too small for windows"),
        ("train", ["--long-text", "middle"], "middle"),
        ("encode", ["--long-text", "windows"], "windows cannot be encoded beforehand"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    run: Run, model: Path, long_tables: Path, tmp_path: Path, verb: str, flags: list[str], message: str
) -> None:
    out = tmp_path / "out"
    done = run(verb, "--data", str(long_tables), *COLUMNS, "--model", str(model), "--out", str(out), *flags)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert message in error
    assert not out.exists()
