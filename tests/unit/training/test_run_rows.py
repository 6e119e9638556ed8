"""The rows that a run folder keeps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import make_dataset

from bertune.batches.dataset import Dataset
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.training import run_rows
from bertune.training.dynamics import Dynamics
from bertune.training.run_rows import DescribeExamples, write_dynamics, write_validation_rows


def model_of(*labels: str, kind: TaskKindName = "classification") -> ModelSignature:
    return ModelSignature(labels, is_pair=None, max_length=16, kind=TaskKind(kind))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_validation_row_holds_place_texts_target_and_logits_to_the_bit(tmp_path: Path) -> None:
    data = make_dataset(3, 0)
    logits = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    texts = Examples.from_lists(["a", "x" * 5_000, "half \ud800 of a pair"], ["b", "c", "d"], name="dev.tsv")
    write_validation_rows(tmp_path / "v", DescribeExamples(texts), data, logits, model_of("no", "yes"))
    rows = lines(tmp_path / "v")
    assert [row["where"] for row in rows] == ["dev.tsv:1", "dev.tsv:2", "dev.tsv:3"]
    assert rows[0] | {"logits": 0} == {
        "where": "dev.tsv:1",
        "text_a": "a",
        "text_b": "b",
        "tokens": int(data.encoded.offsets[1]),
        "target": ("no", "yes")[data.targets[0]],
        "logits": 0,
    }
    assert rows[1]["text_a"] == "x" * 1_000 + " … (5,000 characters)"
    assert rows[2]["text_a"] == "half \ud800 of a pair"
    assert (np.array([row["logits"] for row in rows], dtype=np.float32) == logits).all()


def test_targets_of_several_labels_are_their_words_and_of_values_the_numbers(tmp_path: Path) -> None:
    encoded = make_dataset(2, 0).encoded
    texts = DescribeExamples(Examples.from_lists(["a", "b"]))
    several = Dataset(encoded, np.array([[1, 0, 1], [0, 0, 0]]))
    write_validation_rows(
        tmp_path / "m", texts, several, np.zeros((2, 3), np.float32), model_of("r", "s", "t", kind="multi-label")
    )
    assert [row["target"] for row in lines(tmp_path / "m")] == [["r", "t"], []]
    values = Dataset(encoded, np.array([0.5, 2.0], dtype=np.float32))
    write_validation_rows(tmp_path / "r", texts, values, np.zeros((2, 1), np.float32), model_of(kind="regression"))
    assert [row["target"] for row in lines(tmp_path / "r")] == [0.5, 2.0]


def test_of_too_many_rows_evenly_spaced_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_rows, "MOST_VALIDATION_ROWS", 11)
    texts = DescribeExamples(Examples.from_lists([str(row) for row in range(101)]))
    write_validation_rows(
        tmp_path / "v", texts, make_dataset(101, 0), np.zeros((101, 2), np.float32), model_of("a", "b")
    )
    assert [row["text_a"] for row in lines(tmp_path / "v")] == [str(row) for row in range(0, 101, 10)]


def test_dynamics_hold_every_row_and_the_least_believed_ones_with_their_texts(tmp_path: Path) -> None:
    data = make_dataset(200, 0)
    dynamics = Dynamics(200, TaskKind.CLASSIFICATION)
    source = np.random.default_rng(1)
    for _ in range(2):
        logits = torch.from_numpy(source.normal(size=(200, 2)))
        dynamics.record(np.arange(200), logits, torch.from_numpy(data.targets))
        dynamics.end_epoch()
    texts = DescribeExamples(Examples.from_lists([f"text {row}" for row in range(200)]))
    write_dynamics(tmp_path, texts, data, dynamics, model_of("a", "b"))
    with np.load(tmp_path / "dynamics.npz") as file:
        assert (file["probability"] == dynamics.values).all()
    rows = lines(tmp_path / "doubtful.jsonl")
    expected = np.argsort(dynamics.values.mean(axis=0), kind="stable")[:100]
    assert [row["text_a"] for row in rows] == [f"text {row}" for row in expected]
    assert rows[0]["probability"] == pytest.approx(dynamics.values[:, expected[0]].tolist(), rel=1e-5)
