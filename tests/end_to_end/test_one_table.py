"""One table is enough: rows held back for validation, test rows scored once at the end, and scores that stay."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run, write_table

BRIEF = ["--epochs", "1", "--batch-size", "16", "--max-length", "32"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("one") / "reviews.csv", 320, 1)


@pytest.fixture(scope="module")
def trained_on_one(
    run: Run, model: Path, table: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A run on one table, with test rows, and what it told."""
    out = tmp_path_factory.mktemp("runs") / "one"
    flags = ["--data", str(table), "--test", str(tables / "test.csv"), *COLUMNS, "--model", str(model), *TRAINING]
    done = run("train", *flags, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out, done.stderr + done.stdout


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_rows_are_held_back_told_and_named(trained_on_one: tuple[Path, str], table: Path) -> None:
    out, told = trained_on_one
    line = (
        "validation: 50 of 320 rows held back (15.6 %, stratified; --validation FILE names others, none trains on all)"
    )
    assert line in told.splitlines()
    held = read(out / "data.json")["held_out"]
    assert {name: held[name] for name in ("rows", "of", "asked_for", "method", "seed")} == {
        "rows": 50, "of": 320, "asked_for": None, "method": "stratified", "seed": 0
    }  # fmt: skip
    rows = [json.loads(row) for row in (out / "validation.jsonl").read_text().splitlines()]
    assert [row["where"] for row in rows] == [f"{table}:{number}" for number in held["places"][0]["lines"]]
    labels = [row["mood"] for row in csv.DictReader(table.read_text().splitlines())]
    share = sum(label == "up" for label in labels) / 320
    assert abs(sum(row["target"] == "up" for row in rows) - 50 * share) <= 1
    reports = read(out / "data.json")["reports"]
    assert (reports["train"]["rows_used"], reports["validation"]["rows_used"]) == (270, 50)
    assert "50 of 320 rows of the training data were held back" in (out / "report.html").read_text()


def test_the_audit_finds_no_overlap_where_texts_repeat(
    run: Run, model: Path, table: Path, tables: Path, tmp_path: Path
) -> None:
    header, *rows = table.read_text().splitlines()
    repeated = [*rows, *(row.upper().replace("UP", "up").replace("DOWN", "down") for row in rows[:120])]
    (tmp_path / "repeated.csv").write_text("\n".join([header, *repeated]) + "\n")
    flags = [*COLUMNS, "--model", str(model), *BRIEF, "--out", str(tmp_path / "run")]
    done = run("train", "--data", str(tmp_path / "repeated.csv"), *flags)
    assert done.returncode == 0, done.stderr
    data = read(tmp_path / "run" / "data.json")
    assert data["splits"]["train"]["near_duplicates"] > 50
    assert data["overlaps"] == []


def test_the_file_of_settings_repeats_the_run_bit_for_bit(
    run: Run, trained_on_one: tuple[Path, str], tmp_path: Path
) -> None:
    out, _ = trained_on_one
    again = tmp_path / "again"
    done = run("train", "--config", str(out / "run.toml"), "--out", str(again))
    assert done.returncode == 0, done.stderr
    for name in ("scores.json", "model/model.safetensors"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name
    assert (
        read(again / "data.json")["held_out"]["places"][0]["lines"]
        == (read(out / "data.json")["held_out"]["places"][0]["lines"])
    )


def test_a_share_can_be_given_by_flag_environment_and_file(run: Run, model: Path, table: Path, tmp_path: Path) -> None:
    flags = ["--data", str(table), *COLUMNS, "--model", str(model), *BRIEF, "--overwrite"]
    for number, (more, environment) in enumerate(
        [
            (["--validation", "0.25"], {}),
            ([], {"BERTUNE_TRAIN_VALIDATION": "0.25"}),
            (["--config", str(tmp_path / "quarter.toml")], {}),
            (["--config", str(tmp_path / "run-0" / "run.toml"), "--seed", "7"], {}),
        ]
    ):
        (tmp_path / "quarter.toml").write_text("[train]\nvalidation = 0.25\n")
        done = run("train", *flags, *more, "--out", str(tmp_path / f"run-{number}"), **environment)
        assert "validation: 80 of 320 rows held back (25 %, stratified" in done.stderr, done.stderr
    held = [read(tmp_path / f"run-{number}" / "data.json")["held_out"] for number in range(4)]
    assert all(each == held[0] for each in held)  # the seed of training has no part in it


def test_none_trains_on_all_rows_and_test_rows_are_still_scored(
    run: Run, model: Path, table: Path, tables: Path, tmp_path: Path
) -> None:
    flags = ["--data", str(table), "--validation", "none", *COLUMNS, "--model", str(model), *TRAINING]
    done = run("train", *flags, "--test", str(tables / "test.csv"), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "no validation data" in done.stderr
    assert read(tmp_path / "run" / "data.json")["reports"]["train"]["rows_used"] == 320
    assert read(tmp_path / "run" / "scores.json").keys() == {"epoch", "model", "weights", "test", "advice"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Measured on 80 test rows after epoch 4, by which nothing was chosen." in page
    assert run("inspect", str(tmp_path / "run")).stdout.count("test, epoch 4: accuracy") == 1
    done = run("train", "--config", str(tmp_path / "run" / "run.toml"), "--out", str(tmp_path / "again"))
    assert read(tmp_path / "again" / "scores.json") == read(tmp_path / "run" / "scores.json")


def test_rows_of_one_group_are_held_back_together(run: Run, model: Path, table: Path, tmp_path: Path) -> None:
    with table.open() as stream, (tmp_path / "grouped.csv").open("w", newline="") as written:
        rows = list(csv.DictReader(stream))
        writer = csv.DictWriter(written, ["id", "first", "mood", "author"])
        writer.writeheader()
        writer.writerows(row | {"author": f"author {number // 5}"} for number, row in enumerate(rows))
    flags = ["--data", str(tmp_path / "grouped.csv"), "--group", "author", *COLUMNS, "--model", str(model), *BRIEF]
    done = run("train", *flags, "--out", str(tmp_path / "run"))
    assert "50 of 320 rows held back (15.6 %, stratified, rows of one author together;" in done.stderr, done.stderr
    (held,) = read(tmp_path / "run" / "data.json")["held_out"]["places"]
    authors = [(line - 2) // 5 for line in held["lines"]]
    assert all(authors.count(author) == 5 for author in authors)


def test_test_rows_are_scored_once_at_the_end_as_evaluate_scores_them(
    run: Run, trained_on_one: tuple[Path, str], tables: Path
) -> None:
    out, told = trained_on_one
    assert told.index("(chosen on these rows):") < told.index("test (nothing was chosen by these rows):")
    scores = read(out / "scores.json")
    assert scores.keys() == {"epoch", "model", "weights", "validation", "test", "frozen_features", "tf_idf", "advice"}
    done = run("evaluate", str(out / "model"), "--data", str(tables / "test.csv"), "--json")
    assert json.loads(done.stdout)["scores"] == scores["test"]
    assert not (out / "model" / "evaluations.json").exists()
    assert "on 80 test rows, by which nothing was chosen, it is" in (out / "report.html").read_text()


def test_a_study_of_seeds_scores_test_rows_with_the_model_it_keeps(
    run: Run, model: Path, table: Path, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    flags = ["--data", str(table), "--test", str(tables / "test.csv"), *COLUMNS, "--model", str(model), *TRAINING]
    done = run("train", *flags, "--seeds", "2", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "test was scored once, at the end" in done.stdout
    scores = read(out / "scores.json")
    done = run("evaluate", str(out), "--data", str(tables / "test.csv"), "--json")
    assert json.loads(done.stdout)["scores"] == scores["test"]
    held = [read(out / f"seed-{seed}" / "data.json")["held_out"] for seed in (42, 43)]
    assert held[0] == held[1]
    assert "test" not in read(out / "seed-42" / "scores.json")


def test_a_sweep_scores_test_rows_with_the_model_it_keeps(
    run: Run, model: Path, table: Path, tables: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "sweep"
    flags = ["--data", str(table), "--test", str(tables / "test.csv"), *COLUMNS, "--model", str(model), *BRIEF]
    done = run("sweep", *flags, "--trials", "1", "--search-learning-rate", "1e-3", "3e-3", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "test was scored once, at the end" in done.stdout
    done = run("evaluate", str(out / "model"), "--data", str(tables / "test.csv"), "--json")
    assert json.loads(done.stdout)["scores"] == read(out / "scores.json")["test"]
    assert "test" not in read(out / "trial-1" / "scores.json")


def test_scores_of_evaluate_stay_in_the_run_and_its_report(
    run: Run, trained_on_one: tuple[Path, str], table: Path, tables: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(trained_on_one[0], tmp_path / "run"))
    for data in (tables / "test.csv", tables / "validation.csv", table):
        assert run("evaluate", str(out), "--data", str(data)).returncode == 0
    first = (out / "evaluations.json").read_bytes()
    entries = read(out / "evaluations.json")["evaluations"]
    assert [(entry["data"], entry["rows"], entry["seen_as"]) for entry in entries] == [
        (str(tables / "test.csv"), 80, ""),
        (str(tables / "validation.csv"), 80, ""),
        (str(table), 320, "train"),
    ]
    page = (out / "report.html").read_text()
    assert "Side by side" in page
    assert page.count("nothing was chosen by these rows") == 3  # test, and two that were evaluated
    assert "the model was trained on these rows" in page
    # The same rows again, by another name: one entry, and for the last one nothing changes at all.
    assert run("evaluate", str(out), "--data", str(table)).returncode == 0
    assert (out / "evaluations.json").read_bytes() == first
    shutil.copyfile(tables / "test.csv", tmp_path / "other.csv")
    assert run("evaluate", str(out), "--data", str(tmp_path / "other.csv")).returncode == 0
    names = [entry["data"] for entry in read(out / "evaluations.json")["evaluations"]]
    assert names == [str(tables / "validation.csv"), str(table), str(tmp_path / "other.csv")]


def test_scores_of_an_earlier_model_are_stale_then_gone(
    run: Run, trained_on_one: tuple[Path, str], tables: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(trained_on_one[0], tmp_path / "run"))
    run("evaluate", str(out), "--data", str(tables / "test.csv"))
    done = run("calibrate", str(out), "--data", str(tables / "validation.csv"), "--threshold", "auto")
    assert done.returncode in (0, 3), done.stderr
    (entry,) = read(out / "evaluations.json")["evaluations"]
    content = (out / "evaluations.json").read_text().replace(entry["model_digest"], "0" * 64)
    (out / "evaluations.json").write_text(content)
    assert run("report", str(out)).returncode == 0
    assert "1 earlier evaluation is of another model" in (out / "report.html").read_text()
    run("evaluate", str(out), "--data", str(tables / "validation.csv"))
    (entry,) = read(out / "evaluations.json")["evaluations"]
    assert entry["data"] == str(tables / "validation.csv")


def test_a_run_folder_that_takes_no_file_still_has_its_model_scored(
    run: Run, trained_on_one: tuple[Path, str], tables: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(trained_on_one[0], tmp_path / "run"))
    (out / "evaluations.json").mkdir()
    done = run("evaluate", str(out), "--data", str(tables / "test.csv"))
    assert (done.returncode, "accuracy" in done.stdout) == (0, True)
    assert f"not kept in {out}/evaluations.json: Is a directory" in done.stderr


def _rows(table: Path, path: Path, count: int) -> Path:
    path.write_text("\n".join(table.read_text().splitlines()[: count + 1]) + "\n")
    return path


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--validation", "1.5"], 2, "--validation 1.5: the share of the rows to hold back lies between 0 and 1"),
        (["--validation", "0"], 2, "--validation 0: the share of the rows to hold back lies between 0 and 1"),
        (["--validation", ""], 2, "--validation is empty"),
        (["--test", ""], 2, "--test is empty"),
        (["--group", ""], 2, "--group is empty"),
        (["--test", "{folder}/nosuch.csv"], 2, "nosuch.csv does not exist"),
        (["--test", "{folder}/unseen.csv"], 3, "unseen.csv:2: label 'sideways' is not one of the known labels"),
        (["--test", "{folder}"], 3, "which of train, validation is the test data is not known"),
        (["--group", "auther"], 2, "has no column 'auther'"),
        (["--group", "source"], 3, "every row has the 'source' 'web', so none can be held back without the others"),
        (["--group", "mood"], 3, "no row can be held back for validation: each group of 'mood' is too large"),
        (["--group", "id", "--validation", "none"], 2, "no rows are held back with --validation none, so --group has"),
        (["--group", "id", "--validation", "{folder}/unseen.csv"], 2, "so --group has no effect"),
        (["--group", "id", "--data", "{folder}"], 2, "validation.csv is the validation data, so --group has no effect"),
        (["--group", "id", "--task", "sst2"], 2, "task 'sst2' knows its columns"),
        (["--data", "{folder}/nine.csv"], 3, "nine.csv: 9 rows are too few to hold some back for validation"),
        (["--validation", "none", "--patience", "1"], 2, "--metric and --patience need validation data"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(
    run: Run, model: Path, table: Path, tmp_path: Path, flags: list[str], code: int, says: str
) -> None:
    header, *rows = _rows(table, tmp_path / "table.csv", 30).read_text().splitlines()
    (tmp_path / "table.csv").write_text("\n".join([f"{header},source", *(f"{row},web" for row in rows)]) + "\n")
    _rows(tmp_path / "table.csv", tmp_path / "nine.csv", 9)
    (tmp_path / "unseen.csv").write_text("id,first,mood\n1,the film,sideways\n")
    for name in ("train", "validation"):
        shutil.copyfile(tmp_path / "table.csv", tmp_path / f"{name}.csv")
    given = [flag.format(folder=tmp_path) for flag in flags]
    data = [] if "--data" in given else ["--data", str(tmp_path / "table.csv")]
    columns = [] if "--task" in given else COLUMNS
    done = run("train", *data, *columns, "--model", str(model), *given, "--out", str(tmp_path / "run"))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (code, 1), done.stderr
    assert says in errors[0]
    assert not (tmp_path / "run").exists()
