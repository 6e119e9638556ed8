"""Training that starts from a model that was fine-tuned before: its head stays where the labels do."""

import csv
import json
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run

BRIEF = ["--epochs", "1", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32", "--skip-probe"]


def with_labels(tables: Path, folder: Path, names: dict[str, str]) -> Path:
    """The same texts, with other names for their labels; every seventh row gets a third one, where there is one."""
    folder.mkdir()
    for split in ("train", "validation"):
        with (tables / f"{split}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        with (folder / f"{split}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["id", "first", "mood"])
            writer.writeheader()
            for number, row in enumerate(rows):
                third = names.get("third") if number % 7 == 0 else None
                writer.writerow({**row, "mood": third or names[row["mood"]]})
    return folder


def first_loss(out: Path) -> float:
    records = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    loss: float = next(record["loss"] for record in records if record["event"] == "step")
    return loss


def head_line(stderr: str) -> str:
    return next(line for line in stderr.splitlines() if line.startswith("restored ")).partition("parameters; ")[2]


@pytest.fixture(scope="module")
def third_labels(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"up": "up", "down": "down", "third": "none"}
    return with_labels(tables, tmp_path_factory.mktemp("labels") / "three", names)


def test_the_same_labels_keep_the_head(run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path) -> None:
    data = ["--data", str(tables), *COLUMNS]
    done = run("train", *data, "--model", str(trained), "--out", str(tmp_path / "again"), *BRIEF)
    assert done.returncode == 0, done.stderr
    assert head_line(done.stderr) == "kept: classifier head"
    assert first_loss(tmp_path / "again") < 0.3 < first_loss(trained)
    receipt = json.loads((tmp_path / "again" / "receipt.json").read_text())
    head = {tensor["name"]: tensor["status"] for tensor in receipt["tensors"] if "classifier" in tensor["name"]}
    assert head == {"classifier.weight": "loaded", "classifier.bias": "loaded"}
    assert "The classifier head is kept." in (tmp_path / "again" / "report.html").read_text()
    done = run("train", *data, "--model", str(trained), "--out", str(tmp_path / "told"), *BRIEF, "--verbose")
    assert "; kept: the classifier head\n" in done.stderr
    again, told = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("again", "told"))
    assert again == told


def test_seeds_start_from_the_same_head(run: Run, trained: Path, tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "seeds"
    data = ["--data", str(tables), *COLUMNS, "--model", str(trained)]
    done = run("train", *data, "--out", str(out), *BRIEF, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    journals = list(out.glob("**/metrics.jsonl"))
    assert len(journals) == 2
    assert all(first_loss(journal.parent) < 0.3 for journal in journals)


def test_other_labels_get_a_new_head_and_are_told_why(
    run: Run, trained: Path, tables: Path, third_labels: Path, tmp_path: Path
) -> None:
    renamed = with_labels(tables, tmp_path / "renamed", {"up": "good", "down": "bad"})
    for data, words in ((renamed, "; --keep-head keeps it"), (third_labels, "")):
        out = tmp_path / f"run-{data.name}"
        done = run("train", "--data", str(data), *COLUMNS, "--model", str(trained), "--out", str(out), *BRIEF)
        assert done.returncode == 0, done.stderr
        assert head_line(done.stderr) == f"new: classifier head (the model's is for labels down, up{words})"
        assert first_loss(out) > 0.4
        assert "The classifier head is new." in (out / "report.html").read_text()


def test_a_head_is_kept_by_force_under_other_names(run: Run, trained: Path, tables: Path, tmp_path: Path) -> None:
    renamed = with_labels(tables, tmp_path / "renamed", {"up": "good", "down": "bad"})
    out = tmp_path / "run"
    data = ["--data", str(renamed), *COLUMNS, "--model", str(trained)]
    done = run("train", *data, "--out", str(out), *BRIEF, "--keep-head")
    assert done.returncode == 0, done.stderr
    assert head_line(done.stderr) == (
        "kept: classifier head (the model's is for labels down, up, now labels bad, good)"
    )
    assert first_loss(out) < 0.3
    assert "keep-head = true" in (out / "run.toml").read_text()


def test_what_cannot_be_kept_by_force_is_refused_by_a_sentence(
    run: Run, trained: Path, model: Path, tables: Path, third_labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for data, start, more, words in (
        (third_labels, trained, [], "the model's is for labels down, up, these data have labels down, none, up"),
        (tables, model, [], f"--keep-head: {model} has no classifier head"),
        (tables, trained, ["--pooling", "mean"], "the model's is for pooling cls, this run has pooling mean"),
    ):
        base = ["train", "--data", str(data), *COLUMNS, "--model", str(start), "--out", str(out)]
        done = run(*base, *more, *BRIEF, "--keep-head")
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "hint: leave " in done.stderr
        assert not out.exists()


def test_a_folder_of_transformers_keeps_its_head_whatever_the_order_of_its_labels(
    run: Run, trained: Path, tables: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path in (trained / "model").iterdir():
        if path.name not in ("bertune.json", "SHA256SUMS", "README.md"):
            (folder / path.name).write_bytes(path.read_bytes())
    values = json.loads((folder / "config.json").read_text())
    del values["bertune_version"]
    values["transformers_version"] = "5.23.0"
    swapped = {"0": "up", "1": "down"}
    for names, is_right in ((values["id2label"], True), (swapped, False)):
        ids = {name: int(number) for number, name in names.items()}
        (folder / "config.json").write_text(json.dumps({**values, "id2label": names, "label2id": ids}))
        out = tmp_path / f"run-{is_right}"
        done = run("train", "--data", str(tables), *COLUMNS, "--model", str(folder), "--out", str(out), *TRAINING)
        assert done.returncode == 0, done.stderr
        assert head_line(done.stderr) == "kept: classifier head"
        # Outputs that stand for the other label answer wrongly, until they have learned.
        assert (first_loss(out) < 0.3) == is_right
