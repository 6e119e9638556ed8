"""The data audit through the real command line: inspect and train, as text and JSON, with --strict and without."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run, write_table

PAIRS = ["--text-a", "first", "--text-b", "second", "--label", "mood"]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_table(folder / "train.csv", 64, 1, pairs=True)
    write_table(folder / "validation.csv", 32, 2, pairs=True)
    return folder


@pytest.fixture
def leaking(clean: Path) -> Path:
    """Two rows of validation stand in the training data, one of them with another label."""
    train = (clean / "train.csv").read_text().splitlines()
    same, other = train[5].split(","), train[6].split(",")
    other[-1] = "other" if other[-1] == "same" else "same"
    with (clean / "validation.csv").open("a") as stream:
        stream.write("\n".join([",".join(same), ",".join(other), ""]))
    return clean


def test_inspect_says_nothing_of_clean_data_even_strictly(run: Run, clean: Path) -> None:
    done = run("inspect", str(clean), *PAIRS, "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning" not in done.stdout


def test_inspect_warns_and_with_strict_refuses(run: Run, leaking: Path) -> None:
    done = run("inspect", str(leaking), *PAIRS)
    assert done.returncode == 0
    places = f"{leaking}/validation.csv:34 ({leaking}/train.csv:6), 35 (7)"
    assert (
        "warning: overlap_exact: validation: 2 of 34 rows (5.9 %) have the texts of an example in train" in done.stdout
    )
    assert f"  at {places}\n" in done.stdout
    strict = run("inspect", str(leaking), *PAIRS, "--strict")
    assert strict.returncode == 3
    assert strict.stdout == done.stdout
    assert strict.stderr.startswith("error: the audit of the data has 2 findings:\n  overlap_exact: ")
    assert "conflicting_labels: " in strict.stderr
    assert strict.stderr.splitlines()[-1].startswith("hint: ")


def test_the_json_of_inspect_has_all_of_it(run: Run, leaking: Path, model: Path) -> None:
    done = run("inspect", str(leaking), *PAIRS, "--json", "--strict", "--model", str(model), "--max-length", "12")
    assert done.returncode == 3
    values = json.loads(done.stdout)
    assert set(values) == {"splits", "overlaps", "findings", "reports"}
    assert values["overlaps"] == [
        {"split": "validation", "earlier": "train", "exact": 2, "normalised": 0, "swapped": 0}
    ]
    assert [finding["code"] for finding in values["findings"]] == [
        "overlap_exact",
        "conflicting_labels",
        "truncation",
        "truncation",
    ]
    assert values["findings"][1]["places"] == [f"{leaking}/validation.csv:35"]
    assert values["findings"][1]["counterparts"] == [f"{leaking}/train.csv:7"]
    tokens = values["splits"]["train"]["tokens"]
    assert (tokens["max_length"], tokens["lengths"]["maximum"], tokens["over_length"], tokens["unknown"]) == (
        12,
        13,
        64,
        0,
    )


def test_training_warns_of_an_overlap_and_goes_on(run: Run, leaking: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(
        "train", "--data", str(leaking), *PAIRS, "--model", str(model), "--epochs", "1", "--out", str(out), "--verbose"
    )
    assert done.returncode == 0, done.stderr
    assert "warning: overlap_exact: validation: 2 of 34 rows" in done.stderr
    assert "  tokens      13 █ 13; " in done.stderr
    data = json.loads((out / "data.json").read_text())
    assert [finding["code"] for finding in data["findings"]] == ["overlap_exact", "conflicting_labels"]
    assert data["splits"]["train"]["tokens"]["rows"] == data["reports"]["train"]["rows_used"] == 64
    report = (out / "report.html").read_text()
    assert "<b>overlap_exact</b>: validation: 2 of 34 rows" in report
    assert f"{leaking}/validation.csv:34 ({leaking}/train.csv:6)" in report
    assert "13 █ 13; median 13" in report


def test_training_refuses_an_overlap_with_strict(run: Run, leaking: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--data", str(leaking), *PAIRS, "--model", str(model), "--out", str(out), "--strict", "--quiet"]
    done = run("train", *arguments)
    assert done.returncode == 3
    assert "overlap_exact: validation: 2 of 34 rows" in done.stderr
    assert f"{leaking}/validation.csv:34" in done.stderr
    assert not out.exists()


def test_strict_training_refuses_words_that_the_model_cannot_read(
    run: Run, clean: Path, model: Path, tmp_path: Path
) -> None:
    table = clean / "train.csv"
    table.write_text(table.read_text().replace("film", "фильм"))
    rows = sum("фильм" in line for line in table.read_text().splitlines())
    arguments = ["--data", str(clean), *PAIRS, "--model", str(model), "--out", str(tmp_path / "run"), "--strict"]
    done = run("train", *arguments)
    assert done.returncode == 3
    assert f"unknown_tokens: train: {rows} of 64 rows" in done.stderr
    assert "because of и " in done.stderr


def test_strict_training_on_clean_data_trains(run: Run, clean: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--data", str(clean), *PAIRS, "--model", str(model), "--out", str(out), "--strict", "--epochs", "1"]
    done = run("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "data.json").read_text())["findings"] == []
    assert "strict = true" in (out / "run.toml").read_text()


def test_what_was_encoded_before_is_not_audited_and_strict_says_so(
    run: Run, clean: Path, model: Path, tmp_path: Path
) -> None:
    encoded = tmp_path / "encoded"
    done = run(
        "encode", "--data", str(clean), *PAIRS, "--model", str(model), "--out", str(encoded), "--format", "store"
    )
    assert done.returncode == 0, done.stderr
    done = run("train", "--data", str(encoded), "--model", str(model), "--out", str(tmp_path / "run"), "--strict")
    assert done.returncode == 3
    assert "not_audited: " in done.stderr


def test_inspect_finds_a_wrong_delimiter_before_any_column_is_named(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "train.csv"
    table.write_text("text;label\n" + "a good film;1\na bad film;0\n" * 10 + "odd\n")
    done = run("inspect", str(table))
    assert done.returncode == 0
    assert "warning: wrong_delimiter: one column, and ';' as often in every row" in done.stdout
    assert run("inspect", str(table), "--strict").returncode == 3
    (finding,) = json.loads(run("inspect", str(table), "--json").stdout)["findings"]
    assert (finding["code"], finding["places"]) == ("wrong_delimiter", [f"{table}:1"])


def test_inspect_tells_of_labels_that_training_could_not_take(run: Run, tables: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text((tables / "train.csv").read_text())
    (tmp_path / "validation.csv").write_text("id,first,mood\n1,the film was good,upp\n2,the plot was nice,up\n")
    done = run("inspect", str(tmp_path), *COLUMNS)
    assert done.returncode == 0, done.stderr
    assert "unknown_label: validation: 1 row with labels that the task has not, 'upp'" in done.stdout
    assert f"  at {tmp_path}/validation.csv:2" in done.stdout


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        ("text,topics", ["--label", "topics", "--label-separator", "|"]),
        ("text,sport,music", ["--label", "sport,music"]),
    ],
    ids=["separator", "columns"],
)
def test_rows_with_several_labels_are_audited(header: str, flags: list[str], run: Run, tmp_path: Path) -> None:
    rows = [(f"match or song number {number}", number % 3 != 0, number % 3 != 1) for number in range(40)]
    rows[30] = (rows[3][0], True, False)

    def cells(sport: bool, music: bool) -> str:
        if "|" not in flags:
            return f"{int(sport)},{int(music)}"
        return "|".join(name for name, has in (("sport", sport), ("music", music)) if has)

    table = tmp_path / "train.csv"
    lines = [header, *(f"{text},{cells(sport, music)}" for text, sport, music in rows)]
    table.write_text("\n".join([*lines, ""]))
    done = run("inspect", str(table), "--text-a", "text", "--kind", "multi-label", *flags, "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["splits"]["train"]["label_counts"] == {"music": 26, "sport": 27}
    assert [finding["code"] for finding in values["findings"]] == ["duplicates", "conflicting_labels"]
    assert "'sport' against 'music'" in values["findings"][1]["message"]
    assert values["findings"][1]["places"] == [f"{table}:32"]
