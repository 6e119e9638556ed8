"""Files as people have them, through the real command line: Excel's CSV, folders of texts, names of other machines."""

import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.world import Run, write_table

BRIEF = ["--epochs", "1", "--batch-size", "16", "--max-length", "32", "--skip-probe"]


def rows_of(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as stream:
        return [(row["first"], row["mood"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    return rows_of(write_table(tmp_path_factory.mktemp("rows") / "train.csv", 120, 1))


def test_a_table_as_excel_writes_it_is_read_alike_by_every_verb(
    run: Run, model: Path, rows: list[tuple[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "my r\u00e9sum\u00e9s"
    folder.mkdir()
    table = folder / "train data.csv"
    table.write_bytes("".join(f"{label};{text}, d\u00e9j\u00e0\r\n" for text, label in rows).encode("cp1252"))
    out = folder / "run"
    flags = ["--delimiter", ";", "--encoding", "cp1252", "--no-header", "--text-a", "1", "--label", "0"]
    done = run("train", "--data", str(table), *flags, "--model", str(model), "--out", str(out), *BRIEF)
    assert done.returncode == 0, done.stderr
    kept = tomllib.loads((out / "run.toml").read_text("utf-8"))["train"]
    assert (kept["delimiter"], kept["encoding"], kept["no-header"]) == (";", "cp1252", True)
    # The verbs of a run read as it did, without a flag.
    done = run("evaluate", str(out), "--data", str(table), "--json")
    assert json.loads(done.stdout)["data"]["rows_used"] == 120, done.stderr
    new = folder / "new.csv"
    new.write_bytes("x;caf\u00e9 film, good\r\n".encode("cp1252"))
    done = run("predict", str(out), "--data", str(new), "--json")
    assert "caf\u00e9 film, good" in json.loads(done.stdout).values(), done.stderr
    # And flags say that a file is another one.
    new.write_text("text,other\ncaf\u00e9 film,y\n", "utf-8")
    done = run("predict", str(out), "--data", str(new))
    assert (done.returncode, "--encoding utf-8" in done.stderr) == (3, True)
    other = ["--encoding", "utf-8", "--delimiter", ",", "--no-header=false", "--text-a", "text"]
    done = run("predict", str(out), "--data", str(new), *other, "--json")
    assert json.loads(done.stdout)["text"] == "caf\u00e9 film", done.stderr


def test_a_folder_of_texts_trains_and_columns_by_number_are_kept_by_name(
    run: Run, model: Path, rows: list[tuple[str, str]], tmp_path: Path
) -> None:
    for split, part in (("train", rows[:80]), ("test", rows[80:])):
        for number, (text, label) in enumerate(part):
            path = tmp_path / "imdb" / split / label / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
    (tmp_path / "imdb/train/unsup").mkdir()
    (tmp_path / "imdb/train/unsup/0.txt").write_text("nobody knows")
    out = tmp_path / "run"
    done = run("train", "--data", str(tmp_path / "imdb"), "--model", str(model), "--out", str(out), *BRIEF)
    assert done.returncode == 0, done.stderr
    assert "unsup: 1 text without a label left out" in done.stderr
    done = run("evaluate", str(out), "--data", str(tmp_path / "imdb"), "--split", "test", "--json")
    assert json.loads(done.stdout)["data"]["rows_used"] == 40, done.stderr
    # The columns have names, so another order of columns is no danger.
    new = tmp_path / "new.csv"
    new.write_text("ticket,text\nT-1,the film was good\n")
    done = run("predict", str(out), "--data", str(new), "--json")
    assert json.loads(done.stdout)["text"] == "the film was good"


def test_inspect_lists_every_bad_row_and_names_unknown_formats(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\nx,1\ny,\nz\nu,0\n" + "v,1\n" * 10)
    done = run("inspect", str(tmp_path / "t.csv"), "--text-a", "text", "--label", "label")
    assert done.returncode == 3
    assert [line.split("t.csv:")[1] for line in done.stdout.splitlines() if line.startswith("  /")] == [
        "3: 'label' is blank, expected a label",
        "4: 1 cell, expected 2 (text, label)",
    ]
    assert "error: 2 rows cannot be used" in done.stderr
    done = run("inspect", str(tmp_path / "t.csv"), "--text-a", "text", "--label", "label", "--on-bad-row", "skip")
    assert (done.returncode, "12 of 14 rows used" in done.stdout) == (0, True)
    (tmp_path / "t.sav").write_text("x")
    done = run("inspect", str(tmp_path / "t.sav"))
    assert (done.returncode, "the suffix '.sav' is none of .csv, .tsv" in done.stderr) == (2, True)


def test_a_name_that_is_no_text_is_refused_before_anything_is_read(model: Path, tmp_path: Path) -> None:
    table = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    Path(os.fsdecode(table)).write_text("first,mood\nthe film was good,up\n")
    command = [sys.executable, "-m", "bertune", "train", "--data", table, "--text-a", "first", "--label", "mood"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run"), "--model", str(model)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "caf\\xe9.csv: the name is not UTF-8" in done.stderr
    assert not (tmp_path / "run").exists()


def test_several_tables_named_one_by_one_are_read_by_every_verb(
    run: Run, model: Path, rows: list[tuple[str, str]], tmp_path: Path
) -> None:
    parts = {"b.csv": rows[:70], "a.csv": rows[70:]}
    for name, part in parts.items():
        lines = [f'"{text}",{label}\n' for text, label in part]
        (tmp_path / name).write_text("".join(["text,label\n", *lines]), "utf-8")
    data = [word for name in parts for word in ("--data", str(tmp_path / name))]
    columns = ["--text-a", "text", "--label", "label"]
    out = tmp_path / "run"
    done = run("train", *data, *columns, "--model", str(model), "--out", str(out), *BRIEF)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'b.csv'}: 70 of 70 rows used\n{tmp_path / 'a.csv'}: 50 of 50 rows used" in done.stderr
    # run.toml names them as one, and can be given back.
    again = run("train", "--config", str(out / "run.toml"), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert (out / "model/model.safetensors").read_bytes() == (tmp_path / "again/model/model.safetensors").read_bytes()
    scored = run("evaluate", str(out), *data, "--json")
    assert json.loads(scored.stdout)["data"]["rows_used"] == 120, scored.stderr
    answered = run("predict", str(out), *data, "--json")
    places = [(Path(json.loads(line)["file"]).name, json.loads(line)["row"]) for line in answered.stdout.splitlines()]
    assert [name for name, _ in places] == ["b.csv"] * 70 + ["a.csv"] * 50, answered.stderr
    encoded = run("encode", *data, *columns, "--model", str(model), "--out", str(tmp_path / "encoded"))
    assert (encoded.returncode, "warning" in encoded.stderr) == (0, False), encoded.stderr
    # What was encoded cannot be read beside a table, nor is a test file trained on.
    refused = run("train", "--data", str(tmp_path / "encoded"), *data[:2], *columns, "--out", str(tmp_path / "none"))
    assert (refused.returncode, "was encoded before" in refused.stderr) == (2, True)
    (tmp_path / "a.csv").rename(tmp_path / "test.csv")
    both = ["--data", str(tmp_path / "b.csv"), "--data", str(tmp_path / "test.csv")]
    refused = run("train", *both, *columns, "--out", str(tmp_path / "none"))
    assert (refused.returncode, f"--test {tmp_path / 'test.csv'}" in refused.stderr) == (2, True)
