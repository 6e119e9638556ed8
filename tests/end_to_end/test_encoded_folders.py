"""evaluate, predict and inspect of folders that `bertune encode` wrote, and inspect of other tools' records."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run

GOLDEN = Path(__file__).parents[1] / "golden" / "tfrecords"


def encode(
    run: Run, tables: Path, model: Path, out: Path, *more: str, max_length: int = 32, columns: Sequence[str] = COLUMNS
) -> Path:
    command = ["encode", "--data", str(tables), *columns, "--model", str(model), "--out", str(out), "--quiet"]
    done = run(*command, "--max-length", str(max_length), *more)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module", params=["tfrecord", "store"])
def encoded(
    run: Run, tables: Path, model: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    return encode(run, tables, model, tmp_path_factory.mktemp("x") / "all", "--format", request.param, "--shards", "2")


def test_evaluate_gives_the_scores_of_the_texts(run: Run, trained: Path, tables: Path, encoded: Path) -> None:
    for split in ([], ["--split", "test"]):
        texts = run("evaluate", str(trained), "--data", str(tables), *split, "--json")
        folder = run("evaluate", str(trained), "--data", str(encoded), *split, "--json")
        assert folder.returncode == 0, folder.stderr
        theirs, ours = json.loads(texts.stdout), json.loads(folder.stdout)
        assert ours["scores"] == theirs["scores"]
        assert (ours["split"], ours["long_texts"]) == (theirs["split"], theirs["long_texts"])
        assert ours["data"]["rows_used"] == theirs["data"]["rows_used"] == 80
        assert ("biased upward" in folder.stderr) == ("biased upward" in texts.stderr) == (not split)


def test_labels_are_compared_by_name_not_by_number(
    run: Run, trained: Path, tables: Path, model: Path, tmp_path: Path
) -> None:
    order = ["--split", "test", "--labels", "up", "--labels", "down"]
    out = encode(run, tables, model, tmp_path / "turned", *order)
    theirs = json.loads(run("evaluate", str(trained), "--data", str(tables / "test.csv"), "--json").stdout)
    assert json.loads(run("evaluate", str(trained), "--data", str(out), "--json").stdout)["scores"] == theirs["scores"]
    assert theirs["scores"]["metrics"]["accuracy"]["value"] > 0.8


def test_predict_answers_rows_in_order_with_their_ids(run: Run, trained: Path, tables: Path, encoded: Path) -> None:
    texts = run("predict", str(trained), "--data", str(tables / "test.csv"), "--json")
    folder = run("predict", str(trained), "--data", str(encoded), "--json")
    assert folder.returncode == 0, folder.stderr
    ours = [json.loads(line) for line in folder.stdout.splitlines()]
    theirs = [json.loads(line) for line in texts.stdout.splitlines()]
    assert [answer.pop("example_id") for answer in ours] == list(range(80))
    place = ("row", "line", "first")
    assert ours == [{name: value for name, value in answer.items() if name not in place} for answer in theirs]
    header, *rows = run("predict", str(trained), "--data", str(encoded / "test")).stdout.splitlines()
    assert header.split("\t")[:3] == ["example_id", "predicted_label", "probability"]
    with (tables / "test.csv").open(newline="") as stream:
        truth = [row["mood"] for row in csv.DictReader(stream)]
    assert sum(row.split("\t")[1] == label for row, label in zip(rows, truth, strict=True)) > 70


def test_predict_needs_no_labels_and_evaluate_says_that_it_does(
    run: Run, trained: Path, tables: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "unlabelled"
    settings = ["--text-a", "first", "--model", str(model), "--max-length", "32"]
    assert run("encode", "--data", str(tables / "test.csv"), *settings, "--out", str(out)).returncode == 0
    assert len(run("predict", str(trained), "--data", str(out)).stdout.splitlines()) == 81
    done = run("evaluate", str(trained), "--data", str(out))
    assert done.returncode == 3
    assert f"{out} has no labels" in done.stderr


def test_folders_encoded_for_another_model_are_refused(
    run: Run, trained: Path, tables: Path, model: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(model, tmp_path / "model"))
    (other / "vocab.txt").write_text((model / "vocab.txt").read_text().replace("good", "gold"))
    encode(run, tables, other, tmp_path / "other", "--split", "test")
    encode(run, tables, model, tmp_path / "short", "--split", "test", max_length=16)
    pairs = ["--text-a", "first", "--text-b", "second", "--label", "mood"]
    encode(run, tables / "pairs", model, tmp_path / "pairs", "--split", "train", columns=pairs)
    for name, reason in [
        ("other", "was encoded with another tokenizer than that of"),
        ("short", "was encoded with max_length 16, the model has 32"),
        ("pairs", "holds two texts a row; this model was trained on one text a row"),
    ]:
        for verb in ("predict", "evaluate"):
            done = run(verb, str(trained), "--data", str(tmp_path / name))
            assert done.returncode == 2, done.stderr
            assert f"error: {tmp_path / name} {reason}" in done.stderr
            assert len(done.stderr.splitlines()) == 2


def test_a_label_that_the_model_does_not_have_is_named(run: Run, trained: Path, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "test.csv"
    table.write_text("id,first,mood\n1,the film was good,up\n2,the plot,sideways\n")
    out = encode(run, table, model, tmp_path / "out")
    done = run("evaluate", str(trained), "--data", str(out))
    assert done.returncode == 3
    assert "row 1: label 'sideways' is none of 'down', 'up'" in done.stderr


def test_flags_about_texts_are_refused_for_folders_without_texts(run: Run, trained: Path, encoded: Path) -> None:
    for flags in (["--text-a", "first"], ["--label", "mood"], ["--quoting", "none"], ["--on-bad-row", "skip"]):
        done = run("evaluate", str(trained), "--data", str(encoded), *flags)
        assert done.returncode == 2
        assert f"{encoded} was encoded before, so {flags[0]} has no effect" in done.stderr
    done = run("evaluate", str(trained), "--data", str(encoded / "test"), "--split", "test")
    assert done.returncode == 2
    assert "is one split, so --split test has no meaning" in done.stderr


def test_inspect_shows_what_the_folders_hold(run: Run, encoded: Path) -> None:
    done = run("inspect", str(encoded))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        f"{split}: {encoded / split}" for split in ("train", "validation", "test")
    ]
    assert "own table, classification, single texts" in done.stdout
    assert "text_a first, label mood" in done.stdout
    assert done.stdout.count("all 2 finished shards match their SHA-256") == 3
    values = json.loads(run("inspect", str(encoded), "--json").stdout)["splits"]["train"]
    assert values["rows"] == 320
    assert sum(values["label_counts"].values()) == 320
    # Each sentence of this world has five words.
    assert values["token_lengths"] == {
        "minimum": 7, "median": 7, "95 %": 7, "99 %": 7, "maximum": 7, "mean": 7.0
    }  # fmt: skip
    assert values["tokens"] == 320 * 7
    assert values["shards_verified"] == 2
    single = json.loads(run("inspect", str(encoded / "test"), "--json").stdout)
    assert (single["rows"], single["recipe"]["max_length"]) == (80, 32)


def test_inspect_finds_damage_and_tells_of_unfinished_folders(run: Run, encoded: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(encoded / "test", tmp_path / "copy"))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]  # an older one has none
    last = folder / manifest["shards"].pop()["name"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    last.unlink()
    done = run("inspect", str(folder))
    assert done.returncode == 0, done.stderr
    assert "1 of 2 shards" in done.stdout
    assert "warning: 1 of 2 shards is not finished: 1; run `bertune encode`" in done.stdout
    shard = folder / manifest["shards"][0]["name"]
    content = bytearray(shard.read_bytes())
    content[-20] ^= 4
    shard.write_bytes(content)
    done = run("inspect", str(folder))
    assert done.returncode == 3
    assert str(shard) in done.stderr


def test_inspect_shows_the_features_of_records_that_another_tool_wrote(run: Run, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "mrpc-train.tfrecord", tmp_path / "train.tf_record")
    shutil.copy(GOLDEN / "stsb-validation.tfrecord", tmp_path / "eval.tf_record")
    done = run("inspect", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines.count("input_ids int64 (128,)") == 2
    assert "label_ids float32 (1,)" in lines
    assert "label_ids int64 (1,)" in lines
    assert any(line.startswith("targets minimum") for line in lines)
    assert any(line.startswith("labels 0 ") for line in lines)
    assert "no manifest" in lines[-1]
    values = json.loads(run("inspect", str(tmp_path / "train.tf_record"), "--json").stdout)
    (summary,) = values["files"].values()
    assert summary["dialect"] == ["input_ids", "input_mask", "segment_ids"]
    assert summary["features"]["input_mask"] == {"types": ["int64"], "records": summary["records"], "shape": [128, 128]}
    assert sum(summary["label_counts"].values()) == summary["records"] > 0
    assert summary["token_lengths"]["maximum"] == 128
    content = (tmp_path / "eval.tf_record").read_bytes()
    (tmp_path / "eval.tf_record").write_bytes(content[:-3])
    done = run("inspect", str(tmp_path))
    assert done.returncode == 3
    assert "eval.tf_record: truncated record at" in done.stderr
