"""Soft labels and teachers through the real command line."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, SPECIAL, TRAINING, Run, write_encoder, write_table

import bertune

ANSWERS = "teacher.safetensors"


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts without labels."""
    path = write_table(tmp_path_factory.mktemp("more") / "with.csv", 60, 9)
    with path.open() as source, (path.parent / "more.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([row["first"]] for row in [{"first": "first"}, *csv.DictReader(source)])
    return path.parent / "more.csv"


def weights_of(folder: Path) -> dict[str, object]:
    with safe_open(folder / "model" / "model.safetensors", framework="numpy") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 (no mapping)


@pytest.fixture(scope="module")
def student(run: Run, trained: Path, unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student cut from its teacher, on the rows of the teacher's run and on others."""
    out = tmp_path_factory.mktemp("student") / "run"
    flags = ["--keep-layers", "1", "--unlabelled", str(unlabelled), *TRAINING, "--seed", "3"]
    done = run("distill", str(trained), *flags, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert f"taught by {trained}: 320 rows with labels and 60 without" in done.stderr
    assert "380 rows answered" in done.stderr
    assert re.search(
        r"student and teacher on 80 validation rows: accuracy [\d.]+ % and [\d.]+ %, the same", done.stdout
    )
    assert re.search(r"predicting: [\d,]+ and [\d,]+ rows/s, [\d.]+ times as fast", done.stdout)
    return out


def test_a_student_takes_the_data_of_its_teacher_and_has_the_layers_that_were_kept(
    run: Run, student: Path, trained: Path, tables: Path
) -> None:
    config = json.loads((student / "model" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1
    scores = json.loads((student / "scores.json").read_text())
    beside = scores["teacher"]
    assert beside["rows"] == 80
    assert beside["student"]["accuracy"] == scores["validation"]["metrics"]["accuracy"]["value"] > 0.9
    assert beside["teacher_rows_per_second"] > 0
    page = (student / "report.html").read_text()
    assert "Beside its teacher" in page
    with safe_open(student / ANSWERS, framework="numpy") as file:
        assert file.get_tensor("logits").shape == (380, 2)
    receipt = json.loads((student / "receipt.json").read_text())
    assert "a layer that --keep-layers leaves out" in receipt["summary"]
    done = run("evaluate", str(student), "--data", str(tables / "test.csv"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["metrics"]["accuracy"]["value"] > 0.9
    assert trained.is_dir()


def test_the_settings_of_a_student_repeat_it(run: Run, student: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    done = run("train", "--config", str(student / "run.toml"), "--out", str(again), "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    assert weights_of(again) == weights_of(student)
    told = json.loads(done.stdout)["teacher"]
    assert told["agreement"] == json.loads((student / "scores.json").read_text())["teacher"]["agreement"]


def test_a_student_of_another_tokenizer(run: Run, trained: Path, tables: Path, tmp_path: Path) -> None:
    words = [*SPECIAL, *sorted([*GOOD, *BAD, *OTHER], reverse=True), "unused"]
    small = write_encoder(tmp_path / "small", words, heads=2)
    flags = ["--model", str(small), "--data", str(tables), *COLUMNS, *TRAINING, "--temperature", "3", "--mix", "0.5"]
    done = run("distill", str(trained), *flags, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "the teacher has 50 % of the loss, temperature 3" in done.stderr
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["teacher"]["student"]["accuracy"] > 0.9


def test_several_seeds_ask_the_teacher_once(run: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    flags = ["--keep-layers", "0", *SHORT, "--seeds", "2", "--parallel-seeds", "1"]
    done = run("distill", str(trained), *flags, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rows answered in") == 1
    assert [str(path.relative_to(out)) for path in out.rglob(ANSWERS)] == [ANSWERS]


def test_layers_can_be_kept_without_a_teacher(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    data = ["--data", str(tables), *COLUMNS, "--model", str(model), *SHORT]
    done = run("train", *data, "--keep-layers", "0", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "model" / "config.json").read_text())["num_hidden_layers"] == 1
    assert not (out / ANSWERS).exists()
    refused = run("train", *data, "--keep-layers", "0,2", "--out", str(tmp_path / "none"))
    assert refused.returncode == 2
    assert "the model has no layer 2" in refused.stderr


def write_votes(path: Path, table: Path, change: dict[int, str] | None = None) -> Path:
    """Writes a table with the votes on each row, as if of nine annotators, and no label."""
    with table.open() as source, path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["first", "up", "down"])
        for number, row in enumerate(csv.DictReader(source), start=2):
            up = (8 if row["mood"] == "up" else 1) / 9
            given = (change or {}).get(number)
            writer.writerow([row["first"], *(given.split(",") if given else (f"{up:.4f}", f"{1 - up:.4f}"))])
    return path


SHORT = ["--epochs", "1", "--max-length", "32"]
SOFT = ["--text-a", "first", "--soft-labels", "up=positive", "down=negative", *TRAINING]


def test_votes_alone_teach_a_model(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    votes, out = write_votes(tmp_path / "votes.csv", tables / "train.csv"), tmp_path / "run"
    done = run("train", "--data", str(votes), *SOFT, "--model", str(model), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "rows held back" in done.stderr
    scores = json.loads((out / "scores.json").read_text())["validation"]
    assert scores["metrics"]["accuracy"]["value"] > 0.9
    # It has learned how sure they were: its log loss would be near 0 had it learned their majority.
    answers = [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]
    assert {answer["target"] for answer in answers} == {"positive", "negative"}
    losses = [
        json.loads(line)["loss"]
        for line in (out / "metrics.jsonl").read_text().splitlines()
        if '"step"' in line and '"loss"' in line
    ]
    assert min(losses) > 0.25  # the entropy of 8 to 1 is 0.35 nats


@pytest.mark.parametrize(
    ("change", "flags", "code", "reason"),
    [
        ({5: "0.9,0.2"}, [], 3, "votes.csv:5: the probabilities of its labels sum to 1.1, not to 1"),
        ({7: "1.5,-0.5"}, [], 3, "votes.csv:7: the probability 'down' is -0.5, which is negative"),
        ({3: "inf,0"}, [], 3, "votes.csv:3: the probability 'up' is inf, which is not finite"),
        ({}, ["--soft-labels", "other=neutral"], 2, "no column 'other'"),
        ({}, ["--kind", "regression"], 2, "--soft-labels is for one label a row"),
        ({}, ["--teacher", "runs/none"], 2, "exclude each other"),
    ],
)
def test_bad_votes_are_one_sentence_and_leave_nothing(
    change: dict[int, str],
    flags: list[str],
    code: int,
    reason: str,
    run: Run,
    model: Path,
    tables: Path,
    tmp_path: Path,
) -> None:
    votes, out = write_votes(tmp_path / "votes.csv", tables / "train.csv", change), tmp_path / "run"
    done = run("train", "--data", str(votes), *SOFT, *flags, "--model", str(model), "--out", str(out))
    assert done.returncode == code, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert reason in error
    assert not out.exists()


def test_a_teacher_with_other_labels_is_one_sentence(run: Run, trained: Path, tables: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text((tables / "train.csv").read_text().replace(",down", ",low"))
    flags = ["--data", str(other), *COLUMNS, "--keep-layers", "0", "--out", str(tmp_path / "run")]
    done = run("distill", str(trained), *flags)
    assert done.returncode == 2
    assert "has other labels than these data: 'down', 'up' against 'low', 'up'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_shards_hold_neither_probabilities_nor_texts(
    run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    done = run("encode", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(tmp_path / "shards"))
    assert done.returncode == 0, done.stderr
    for flags in (["--teacher", str(trained)], ["--soft-labels", "up=up", "down=down"]):
        done = run(
            "train", "--data", str(tmp_path / "shards"), "--model", str(model), *flags, "--out", str(tmp_path / "run")
        )
        assert done.returncode == 2
        assert "holds neither probabilities nor the texts that a teacher answers" in done.stderr


def test_a_student_has_to_be_named(run: Run, trained: Path, tmp_path: Path) -> None:
    done = run("distill", str(trained), "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "no student is named" in done.stderr


def test_a_teacher_that_is_not_there_is_told_before_what_would_come_from_it(run: Run, tmp_path: Path) -> None:
    done = run("distill", str(tmp_path / "gone"), "--keep-layers", "0", "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == f"error: {tmp_path / 'gone'}: no such folder"
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_cannot_answer_is_told_before_the_run_has_a_folder(
    run: Run, trained: Path, tables: Path, model: Path, tmp_path: Path
) -> None:
    teacher = bertune.load(trained)
    with torch.no_grad():
        teacher.classifier.classifier.bias.fill_(torch.nan)
    bertune.save(teacher.classifier, tmp_path / "teacher", tokenizer=teacher.tokenizer, signature=teacher.signature)
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(tmp_path / "out")]
    done = run("distill", str(tmp_path / "teacher"), *arguments)
    assert done.returncode == 3
    assert "tensor classifier.bias holds NaN or infinite numbers" in done.stderr
    assert not (tmp_path / "out").exists()
