"""`bertune predict` through the real command line: answers as files, as they come, and of texts that are typed."""

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.end_to_end.world import Run

from bertune.checkpoints.model_folder import load, save

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """A table as customers have it; one row cannot be read."""
    rows = [["T-7", "A-1", "the good film"], ["T-9", "B-2", "a bad\r\nplot\t"], ["T-9"], ["T-11", "A-1", '"fine']]
    with (tmp_path / "new.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["ticket", "customer", "body"], *rows])
    return tmp_path / "new.csv"


def test_answers_in_a_file_stand_beside_the_columns_of_their_rows(run: Run, trained: Path, tickets: Path) -> None:
    out = tickets.parent / "answers.csv"
    what = ["predict", str(trained), "--data", str(tickets), "--text-a", "body", "--on-bad-row", "skip"]
    done = run(*what, "--keep", "ticket,body", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["line"], row["ticket"]) for row in rows] == [
        ("1", "2", "T-7"),
        ("2", "3", "T-9"),
        ("3", "5", ""),
        ("4", "6", "T-11"),
    ]
    assert [row["body"] for row in rows] == ["the good film", "a bad\r\nplot\t", "", '"fine']
    assert [row["predicted_label"] for row in rows] == ["up", "down", "", "up"]
    assert rows[2]["not_read"] == "1 cell, expected 3 (ticket, customer, body)"
    before = out.read_bytes()
    again = run(*what, "--out", str(out))
    assert (again.returncode, out.read_bytes()) == (2, before)
    assert f"error: {out} exists\nhint: name another file, or replace it with --overwrite" in again.stderr
    piped = run(*what, "--keep", "ticket,body").stdout
    assert piped == "".join(_as_tsv(out))


def _as_tsv(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    lines = []
    for row in rows:
        cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & set('\t\r\n"') else cell for cell in row]
        lines.append("\t".join(cells) + "\n")
    return [line.replace("\r\n", "\n") for line in lines]  # as a stream of text gives them


def test_a_pipe_that_stays_open_gets_each_answer_at_once(trained: Path) -> None:
    command = [sys.executable, "-m", "bertune", "predict", str(trained), "--json", "--quiet"]
    environment = os.environ | ENVIRONMENT
    environment.pop("PYTHONUNBUFFERED", None)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, (text, label) in enumerate((("a good film", "up"), ("a bad plot", "down")), start=1):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert (answer["row"], answer["first"], answer["predicted_label"]) == (number, text, label)
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_text_can_be_given_on_the_command_line(run: Run, trained: Path, tables: Path) -> None:
    done = run("predict", str(trained), "the good film", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["row"], answer["first"], answer["predicted_label"]) == (1, "the good film", "up")
    table = tables / "test.csv"
    done = run("predict", str(trained), str(table))
    assert done.returncode == 2
    assert f"error: {table} is a file, not a text\nhint: to predict its rows: --data {table}" in done.stderr


def test_a_terminal_is_asked_for_texts_and_answered_one_by_one(trained: Path) -> None:
    controller, worker = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | ENVIRONMENT
    command = [sys.executable, "-m", "bertune", "predict", str(trained)]
    with subprocess.Popen(
        command, stdin=worker, stdout=worker, stderr=worker, env=environment, start_new_session=True
    ) as process:
        os.close(worker)
        said = b""
        for typed in (b"a good film\n", b"a bad plot\n", b"\x04"):
            while not said.endswith(b"first> "):
                said += os.read(controller, 4096)
            os.write(controller, typed)
            said += b"|"
        while True:
            try:
                said += os.read(controller, 4096)
            except OSError:  # Linux says so that nobody holds the other end any more
                break
        assert process.wait(timeout=60) == 0
    os.close(controller)
    lines = [line.rpartition("|")[2] for line in said.decode().replace("\r\n", "\n").split("\n")]
    assert lines[0] == "type a text and Enter; Ctrl-D ends"
    assert [line.split("  ")[0] for line in lines[2:5:2]] == ["up", "down"]


def test_a_model_whose_answers_are_no_numbers_is_refused(run: Run, trained: Path, tables: Path, tmp_path: Path) -> None:
    poisoned = Path(shutil.copytree(trained, tmp_path / "run"))
    model = load(poisoned / "model")
    with torch.no_grad():
        model.classifier.classifier.weight.fill_(3e38)
    save(model.classifier, poisoned / "model", tokenizer=model.tokenizer, signature=model.signature)
    table, out = str(tables / "test.csv"), tmp_path / "answers.csv"
    calibration = (poisoned / "calibration.json").read_bytes()
    for arguments in (
        ("predict", str(poisoned), "--data", table, "--out", str(out)),
        ("predict", str(poisoned), "--data", table, "--explain", "--limit", "1"),
        ("calibrate", str(poisoned), "--data", table),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "rows are not finite numbers, the first in" in done.stderr
    assert not out.exists()
    assert (poisoned / "calibration.json").read_bytes() == calibration
