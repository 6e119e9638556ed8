"""`bertune encode` and training from what it wrote, through the command line."""

import json
from pathlib import Path

from tests.end_to_end.world import COLUMNS, TRAINING, Run

ENCODING = ["--max-length", "32", "--shards", "2"]


def test_encode_says_what_it_did_and_keeps_it(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "encoded"
    command = ["encode", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *ENCODING]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["train", "validation", "test"]
    assert lines[0].startswith("train: 320 rows, 0 refused, ")
    assert lines[0].endswith(f"2 of 2 shards as tfrecord in {out / 'train'}")
    assert "train: 320 rows written in" in done.stderr
    again = run(*command, "--json")
    assert again.returncode == 0, again.stderr
    assert "train: 2 of 2 shards were finished before and are kept" in again.stderr
    assert "train: 0 rows written" in again.stderr
    manifest = json.loads(again.stdout)["train"]
    assert manifest["recipe"]["labels"] == ["down", "up"]
    assert sum(shard["rows"] for shard in manifest["shards"]) == 320
    other = run(*command, "--format", "store")
    assert other.returncode == 2
    assert "another format: tfrecord there, store now" in other.stderr


def test_training_from_records_gives_the_run_of_training_from_texts(
    run: Run, model: Path, tables: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "encoded"
    for split in ("train", "validation"):
        done = run(
            "encode", "--data", str(tables), "--split", split, *COLUMNS, "--labels", "down", "--labels", "up",
            "--model", str(model), "--out", str(out / split), "--format", "store", *ENCODING, "--quiet",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    done = run(
        "train", "--data", str(out / "train"), "--validation", str(out / "validation"),
        "--model", str(model), "--out", str(tmp_path / "run"), *TRAINING,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def losses(folder: Path) -> list[float]:
        steps = [json.loads(line) for line in next(folder.glob("*.jsonl")).read_text().splitlines()]
        return [step["loss"] for step in steps if "loss" in step]

    assert losses(tmp_path / "run") == losses(trained)
    assert len(losses(trained)) >= 80


def test_damaged_records_end_with_code_3(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "encoded"
    command = ["--data", str(tables), "--split", "train", *COLUMNS, "--model", str(model), "--out", str(out), "--quiet"]
    assert run("encode", *command, "--max-length", "32").returncode == 0
    path = out / "records-00000-of-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:-5])
    done = run("train", "--data", str(out), "--model", str(model), "--out", str(tmp_path / "run"), *TRAINING)
    assert done.returncode == 3
    assert f"{path}: truncated record at" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_label_column_that_a_test_file_does_not_have_is_said(
    run: Run, model: Path, tables: Path, tmp_path: Path
) -> None:
    command = ["encode", "--data", str(tables / "test.csv"), "--model", str(model), "--out", str(tmp_path / "out")]
    done = run(*command, "--text-a", "first", "--label", "moood")
    assert done.returncode == 0, done.stderr
    assert f"warning: test: no column 'moood' in {tables / 'test.csv'}: encoded without labels" in done.stderr
