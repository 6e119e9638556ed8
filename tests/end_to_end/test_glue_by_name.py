"""GLUE tasks by name: MNLI's two validation sets, and the files of the leaderboard."""

import json
import random
from pathlib import Path

import pytest
from tests.end_to_end.world import Run

PARSES = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
HEADER = f"index\tpromptID\tpairID\tgenre\t{PARSES}\tsentence1\tsentence2"
WORDS = {"entailment": "good", "neutral": "story", "contradiction": "bad"}
TRAINING = ["--epochs", "2", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32"]


def write_mnli(folder: Path, name: str, rows: int, seed: int, *, labelled: bool = True) -> list[str]:
    """Writes a file of MNLI as the original has it; returns the labels."""
    source = random.Random(seed)
    labels = [source.choice(list(WORDS)) for _ in range(rows)]
    lines = [HEADER + ("\tlabel1\tgold_label" if labelled else "")]
    for number, label in enumerate(labels):
        answer = f"\t{label}\t{label}" if labelled else ""
        lines.append(f"{number}\t1\t1e\tfiction\t(\t(\t(\t(\tthe film was\tthe plot {WORDS[label]}{answer}")
    (folder / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines))
    return labels


@pytest.fixture(scope="module")
def mnli(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The data, a run folder, and what the run printed."""
    data = tmp_path_factory.mktemp("glue") / "MNLI"
    data.mkdir()
    write_mnli(data, "train", 96, 1)
    write_mnli(data, "dev_matched", 32, 2)
    write_mnli(data, "dev_mismatched", 24, 3)
    write_mnli(data, "test_matched", 10, 4, labelled=False)
    write_mnli(data, "test_mismatched", 12, 5, labelled=False)
    out = data.parent / "run"
    done = run(
        *("train", "--task", "mnli", "--data", str(data.parent), "--model", str(model), "--out", str(out)), *TRAINING
    )
    assert done.returncode == 0, done.stderr
    return data.parent, out, done.stdout


def test_training_reports_both_validation_sets_and_chooses_by_the_matched_one(mnli: tuple[Path, Path, str]) -> None:
    _, out, printed = mnli
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["validation"]["rows"], scores["validation_mismatched"]["rows"]) == (32, 24)
    assert "validation_mismatched (nothing was chosen by these rows):" in printed
    epochs = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if '"epoch"' in line]
    best = max(
        (event for event in epochs if event["event"] == "epoch"), key=lambda event: event["is_best"] * event["epoch"]
    )
    assert best["validation"] == scores["validation"]


def test_evaluating_scores_both_validation_sets_or_the_one_that_is_named(
    run: Run, mnli: tuple[Path, Path, str]
) -> None:
    data, out, _ = mnli
    written = json.loads((out / "scores.json").read_text())
    both = json.loads(run("evaluate", str(out), "--data", str(data), "--json").stdout)
    assert both["scores"]["metrics"] == written["validation"]["metrics"]
    assert both["validation_mismatched"]["scores"]["metrics"] == written["validation_mismatched"]["metrics"]
    one = json.loads(
        run("evaluate", str(out), "--data", str(data), "--split", "validation_mismatched", "--json").stdout
    )
    assert one["scores"] == both["validation_mismatched"]["scores"]
    assert "validation_mismatched" not in one


def test_both_test_sets_are_written_as_the_leaderboard_takes_them(
    run: Run, mnli: tuple[Path, Path, str], tmp_path: Path
) -> None:
    data, out, _ = mnli
    done = run("predict", str(out), "--data", str(data), "--glue-submission", str(tmp_path / "answers"))
    assert done.returncode == 0, done.stderr
    assert "MNLI-m.tsv: 10 rows, the test set of the leaderboard has 9,796" in done.stderr
    assert done.stdout.split() == [str(tmp_path / "answers" / name) for name in ("MNLI-m.tsv", "MNLI-mm.tsv")]
    for name, split in (("MNLI-m.tsv", "test"), ("MNLI-mm.tsv", "test_mismatched")):
        plain = run("predict", str(out), "--data", str(data), "--split", split, "--json").stdout
        expected = [json.loads(line)["predicted_label"] for line in plain.splitlines()]
        lines = (tmp_path / "answers" / name).read_text().split("\n")
        assert lines == ["index\tprediction", *(f"{index}\t{label}" for index, label in enumerate(expected)), ""]
    done = run("predict", str(out), "--data", str(data), "--glue-submission", str(tmp_path / "one.tsv"))
    assert (done.returncode, "one.tsv is one file, and there are 2 test sets" in done.stderr) == (2, True)


def test_a_row_that_cannot_be_used_spoils_the_submission(
    run: Run, mnli: tuple[Path, Path, str], tmp_path: Path
) -> None:
    _, out, _ = mnli
    write_mnli(tmp_path, "test_matched", 3, 4, labelled=False)
    with (tmp_path / "test_matched.tsv").open("a") as stream:
        stream.write("3\ttoo few cells\n")
    flags = ["--data", str(tmp_path), "--on-bad-row", "skip", "--glue-submission", str(tmp_path / "answers")]
    done = run("predict", str(out), *flags)
    assert done.returncode == 3
    assert "test_matched.tsv:5: " in done.stderr
    assert "without this row the leaderboard refuses the whole submission" in done.stderr
    assert not (tmp_path / "answers").exists()
