"""What a run's model says of itself: labels, columns, the baseline of later scores."""

from pathlib import Path
from typing import Any

import numpy as np

from bertune.data.labels import LabelSet
from bertune.data.several_labels import SeveralLabels
from bertune.data.task import Columns, Task
from bertune.training.run_settings import RunSettings
from bertune.training.run_signature import signature_of_run

THREE = LabelSet(("no", "perhaps", "yes"))
CLASSES = Task.for_columns(Columns("first", "second", "answer")).with_labels(THREE)


def settings(**others: Any) -> RunSettings:
    return RunSettings(**({"data": "x.csv", "out": Path("run"), "text_a": "first", "label": "answer"} | others))


def test_classes_have_their_names_their_counts_and_the_metrics_of_the_task() -> None:
    signature = signature_of_run(settings(), CLASSES, np.array([0, 0, 1, 0]))
    assert (signature.kind, signature.labels, signature.is_pair) == ("classification", ("no", "perhaps", "yes"), True)
    assert (signature.label_counts, signature.train_rows, signature.target_mean) == ((3, 1, 0), 4, None)
    assert (signature.text_a, signature.text_b, signature.label) == ("first", "second", "answer")
    assert (signature.metrics, signature.task, signature.no_header) == (("accuracy", "f1_macro"), "", False)
    assert (signature.label_columns, signature.label_separator, signature.target_range) == ((), None, None)


def test_the_metric_that_was_asked_for_comes_first_and_once() -> None:
    for metric, expected in {
        "f1_macro": ("f1_macro", "accuracy"),
        "accuracy": ("accuracy", "f1_macro"),
        "matthews": ("matthews", "accuracy", "f1_macro"),
    }.items():
        assert signature_of_run(settings(metric=metric), CLASSES, np.array([0, 1])).metrics == expected


def test_several_labels_a_row_are_each_counted() -> None:
    columns = Columns("first", None, None, SeveralLabels(("no", "perhaps", "yes")))
    task = Task.for_columns(columns, kind="multi-label").with_labels(THREE)
    signature = signature_of_run(settings(), task, np.array([[1, 0, 1], [1, 0, 0]]))
    assert (signature.label_counts, signature.train_rows, signature.is_pair) == ((2, 0, 1), 2, False)
    assert signature.label_columns == ("no", "perhaps", "yes")
    separated = Task.for_columns(Columns("first", None, "answer", SeveralLabels((), ";")), kind="multi-label")
    assert signature_of_run(settings(), separated.with_labels(THREE), np.eye(3)).label_separator == ";"


def test_values_have_a_mean_and_their_range_and_no_counts() -> None:
    task = Task.for_columns(Columns("first", None, "answer"), kind="regression", target_range=(0.0, 5.0))
    signature = signature_of_run(settings(kind="regression"), task, np.array([1.0, 2.0, 4.5]))
    assert (signature.labels, signature.label_counts, signature.train_rows) == ((), (), 3)
    assert (signature.target_mean, signature.target_range) == (2.5, (0.0, 5.0))


def test_how_the_run_read_its_texts_is_how_the_model_will() -> None:
    how = {
        "max_length": 64,
        "pooling": "mean",
        "long_text": "windows",
        "window_stride": 20,
        "delimiter": ";",
        "encoding": "cp1252",
        "no_header": True,
        "quoting": "none",
    }
    address = "https://host/encoder.zip?signature=secret"
    signature = signature_of_run(settings(**how, model=address), CLASSES, np.array([0, 1]))
    assert {name: getattr(signature, name) for name in how} == how
    assert signature.base_model == "https://host/encoder.zip"
    named = RunSettings(data="x", out=Path("run"), task="mrpc")
    assert signature_of_run(named, CLASSES, np.array([0, 1])).task == "mrpc"
