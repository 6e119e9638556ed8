"""Exports in int8: the rule by which one is kept, and the file."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bertune import export, load, predict
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import BertuneError, ConfigError, DataError
from bertune.runtime import int8_agreement
from bertune.runtime.int8_agreement import Int8File, compare_int8

TWO = ModelSignature(labels=("a", "b"), is_pair=True, max_length=48)
FILE = Int8File(False, "avx512_vnni", (1_000_000, 4_000_000))


def logits_of(choices: np.ndarray, labels: int = 2) -> np.ndarray:
    return np.eye(labels, dtype=np.float32)[choices]


def test_a_hundredth_of_the_labels_may_change_and_a_point_be_lost() -> None:
    targets = np.zeros(200, np.int64)
    expected = logits_of(targets)
    changed = targets.copy()
    changed[:2] = 1
    found = compare_int8(expected, logits_of(changed), targets, TWO, FILE)
    assert (found.rows, found.equal, found.metric, found.fp32, found.int8) == (200, 0.99, "accuracy", 1.0, 0.99)
    assert found.max_difference == 1
    assert found.summary() == (
        "int8: 99.0% of 200 labels as in fp32, accuracy 0.9900 and 1.0000; 1.0 MB instead of 4.0"
    )
    changed[:3] = 1
    with pytest.raises(BertuneError, match=r"only 197 of 200 rows \(98.5 %\) get the label of fp32"):
        compare_int8(expected, logits_of(changed), targets, TWO, FILE)


def test_a_metric_that_falls_is_refused_though_labels_are_equal_enough() -> None:
    # Of 1,000 rows ten are of the rare label, which the model finds: f1 hangs on them alone.
    targets = np.zeros(1000, np.int64)
    targets[:10] = 1
    changed = targets.copy()
    changed[0] = 0
    signature = replace(TWO, metrics=("f1",))
    with pytest.raises(BertuneError, match=r"f1 is 0\.9474 instead of 1\.0000, at most 0\.01 may be lost"):
        compare_int8(logits_of(targets), logits_of(changed), targets, signature, FILE)


def test_what_is_no_number_is_refused() -> None:
    targets = np.zeros(4, np.int64)
    broken = logits_of(targets)
    broken[2, 0] = np.nan
    with pytest.raises(BertuneError, match="logits are not finite"):
        compare_int8(logits_of(targets), broken, targets, TWO, FILE)


def test_a_regression_hangs_on_its_metric_alone() -> None:
    signature = ModelSignature(labels=(), is_pair=True, max_length=48, kind="regression", metrics=("pearson",))
    targets = np.linspace(0, 5, 50)
    expected = targets[:, None].astype(np.float32)
    found = compare_int8(expected, expected * 1.01, targets, signature, FILE)
    assert (found.equal, round(found.int8, 6)) == (1.0, 1.0)
    with pytest.raises(BertuneError, match="pearson is"):
        compare_int8(expected, np.abs(expected - 2), targets, signature, FILE)


def test_a_quantized_export_is_smaller_and_says_what_it_gives(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights have no margins; how much trained ones lose is measured in tests of the command line.
    monkeypatch.setattr(int8_agreement, "LEAST_EQUAL", 0.8)
    monkeypatch.setattr(int8_agreement, "MOST_LOST", 0.2)
    folder = make_model(temperature=0.5, hidden_size=64)
    pairs = [(f"one text number {number}", f"and another {number % 7}") for number in range(60)]
    labels = [one.label for one in predict(load(folder), pairs)]
    agreement = export(folder, tmp_path / "out", format="onnx", int8=(pairs, labels))
    made = agreement.int8
    assert made is not None
    assert (made.rows, made.metric, made.fp32) == (60, "accuracy", 1.0)
    assert 0 < made.max_difference < 0.5
    small, large = made.bytes
    assert (tmp_path / "out" / "model.onnx").stat().st_size == small < large / 2
    values = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert values["int8"]["rows"] == 60
    assert values["max_difference"] <= 1e-4
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    # Two layers of four products, with queries on their own in the last; pooler and classifier stay.
    assert kinds.count("QuantizeLinear") == 9
    exact = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    assert {"encoder.pooler.dense.weight", "classifier.weight"} <= exact


def test_what_loses_too_much_leaves_nothing(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    pairs = [("one text", "and another"), ("a", "b")]
    monkeypatch.setattr(int8_agreement, "MOST_LOST", -1.0)
    labels = [one.label for one in predict(load(folder), pairs)]
    with pytest.raises(BertuneError, match="int8 is not kept") as error:
        export(folder, tmp_path / "new" / "out", format="onnx", int8=(pairs, labels))
    assert error.value.hint == "export without --int8"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_only_onnx_has_int8_and_rows_need_labels(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model()
    with pytest.raises(ConfigError, match="tf_checkpoint has no int8"):
        export(folder, tmp_path / "out", format="tf_checkpoint", int8=([("a", "b")], ["same"]))
    with pytest.raises(DataError, match="unknown"):
        export(folder, tmp_path / "out", format="onnx", int8=([("a", "b")], ["unknown"]))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
