"""What a run prints: how many lines, how wide, on a terminal and off it."""

import csv
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run

from bertune.wording.aligned import cells

# Moves of the cursor and colours; what is drawn over is not what stands there in the end.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(columns: int, *arguments: str, folder: Path | None = None) -> list[str]:
    """Runs the command line with both streams on a pseudo-terminal, and gives the lines that are left on it."""
    controller, worker = pty.openpty()
    fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TERM": "xterm"}
    command = [sys.executable, "-m", "bertune", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=worker, stderr=worker, env=environment, cwd=folder
    ) as process:
        os.close(worker)
        written = b""
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # Linux says so that nobody holds the other end any more
                break
            if not part:
                break
            written += part
    os.close(controller)
    assert process.returncode == 0, written.decode()
    lines = written.decode().replace("\r\n", "\n").split("\n")
    return [_ESCAPES.sub("", line.rpartition("\r")[2]) for line in lines]


def training(tables: Path, model: Path, out: Path) -> list[str]:
    settings = [*COLUMNS, "--model", str(model), "--epochs", "5", *TRAINING[2:], "--overwrite"]
    return ["train", "--data", str(tables), "--out", str(out), *settings]


def test_a_normal_run_of_five_epochs_prints_35_lines_at_most_and_verbose_more(
    run: Run, model: Path, tables: Path, tmp_path: Path
) -> None:
    arguments = training(tables, model, tmp_path / "run")
    short, long = run(*arguments), run(*arguments, "--verbose")
    assert short.returncode == long.returncode == 0, short.stderr + long.stderr
    lines = (short.stderr + short.stdout).splitlines()
    assert len(lines) <= 35, "\n".join(lines)
    assert sum(line.startswith("epoch ") for line in lines) == 5
    assert lines[:3] == [
        "train: 320 rows: down 162 (50.6 %), up 158 (49.4 %)",
        "validation: 80 rows: down 38 (47.5 %), up 42 (52.5 %)",
        f"restored {model}: 23,168 parameters; new: classifier head",
    ]
    more = (long.stderr + long.stdout).splitlines()
    assert len(more) > len(lines) + 8
    for said in ("  characters", "  tokens", "39 tensors loaded", "intervals: ", "label  precision"):
        assert any(said in line for line in more)
        assert not any(said in line for line in lines)


def test_no_line_is_wider_than_a_terminal_of_80_columns(model: Path, tables: Path, tmp_path: Path) -> None:
    (tmp_path / "t").symlink_to(tables)
    (tmp_path / "m").symlink_to(model)
    lines = on_a_terminal(80, *training(Path("t"), Path("m"), Path("r")), folder=tmp_path)
    assert [line for line in lines if cells(line) > 80] == []
    assert sum(line.startswith("epoch ") for line in lines) == 5
    assert "".join(lines).count("…") == 0


def test_a_pipe_gets_sentences_on_one_line(run: Run, tables: Path, model: Path, tmp_path: Path) -> None:
    done = run(*training(tables, model, tmp_path / "run"), COLUMNS="30")
    verdict = next(line for line in done.stdout.splitlines() if "majority baseline" in line)
    assert verdict.endswith("than the baseline")
    assert len(verdict) > 30


def test_predict_shows_columns_on_a_terminal_and_keeps_tabs_in_a_pipe(run: Run, trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "new.csv"
    with data.open("w", newline="") as stream:
        csv.writer(stream).writerows([["first"], ["a good film"], ["bad plot " * 60]])
    shown = on_a_terminal(60, "predict", str(trained), "--data", str(data), "--quiet")
    assert shown[0] == "label  probability  first"
    assert re.fullmatch(r"up {10}0\.\d{4}  a good film", shown[1])
    assert max(map(cells, shown)) <= 60
    assert shown[4].endswith("…")
    piped = run("predict", str(trained), "--data", str(data)).stdout.splitlines()
    assert piped[0].startswith("row\tline\tfirst\tpredicted_label\t")
    assert piped[2].split("\t")[2] == "bad plot " * 60


def test_a_label_with_a_blank_at_its_end_is_not_the_label_without(run: Run, model: Path, tmp_path: Path) -> None:
    for name, times in (("train", 20), ("validation", 6)):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            rows = [["good film", "Lieferung"], ["bad plot", "Lieferung "], ["very nice", "Rechnung"]]
            csv.writer(stream).writerows(
                [["first", "mood"], *([f"{text} {n}", label] for n in range(times) for text, label in rows)]
            )
    out = tmp_path / "run"
    done = run("train", "--data", str(tmp_path), *COLUMNS, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    assert "'Lieferung ' 20 (33.3 %)" in done.stderr
    for table in ("confusion matrix", "label "):
        lines = done.stdout.splitlines()
        start = next(place for place, line in enumerate(lines) if line.startswith(table))
        assert any(line.startswith("'Lieferung '  ") for line in lines[start:])
    answers = {
        line.split("\t")[3]
        for line in run("predict", str(out), "--data", str(tmp_path / "validation.csv")).stdout.splitlines()[1:]
    }
    assert answers <= {"Lieferung", "Lieferung ", "Rechnung"}
    assert "Lieferung " in answers
    assert any(
        line.startswith("'Lieferung ' ")
        for line in on_a_terminal(80, "predict", str(out), "--data", str(tmp_path / "validation.csv"))
    )


@pytest.mark.parametrize("columns", ["0", "00"])
def test_a_width_of_no_columns_is_no_width(run: Run, columns: str) -> None:
    done = run("train", "--help", COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert 70 < max(map(cells, done.stdout.splitlines())) <= 80


def test_quiet_and_verbose_contradict_each_other(run: Run, tables: Path, model: Path, tmp_path: Path) -> None:
    done = run(*training(tables, model, tmp_path / "run"), "--quiet", "--verbose")
    assert done.returncode == 2
    assert "--quiet and --verbose contradict each other" in done.stderr
    assert not (tmp_path / "run").exists()
