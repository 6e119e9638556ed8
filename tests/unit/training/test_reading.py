"""What training reads: labels that look like something else, and sets of labels that teach nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import ConfigError, DataError
from bertune.training.reading import read_training_data
from bertune.training.run_settings import RunSettings


def settings(path: Path, **changed: Any) -> RunSettings:
    return RunSettings(
        **({"data": str(path), "out": path.parent / "run", "text_a": "text", "label": "label"} | changed)
    )


def write(folder: Path, labels: Sequence[Any]) -> Path:
    lines = [json.dumps({"text": f"text {row}", "label": label}) + "\n" for row, label in enumerate(labels)]
    (folder / "train.jsonl").write_text("".join(lines))
    return folder / "train.jsonl"


def warnings_of(folder: Path, labels: Sequence[Any]) -> list[str]:
    _, splits = read_training_data(settings(write(folder, labels)))
    return splits["train"].report.warnings


def test_values_under_classification_are_told_with_file_and_line(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, [1, 2, 3.5, 4])
    assert "train.jsonl:3: the label is 3.5, one of 4 different numbers; if they are values" in warning
    (warning,) = warnings_of(tmp_path, [row**2 for row in range(30)])
    assert "train.jsonl:1: the label is 0, one of 30 different numbers" in warning


@pytest.mark.parametrize("labels", [list(range(77)), [1, 0, 1], [-1, 1], [10, 20, 30], ["up", "3.5", "down"]])
def test_ids_and_words_are_classes_without_a_warning(tmp_path: Path, labels: list[Any]) -> None:
    assert warnings_of(tmp_path, labels) == []


def test_words_under_regression_are_refused_with_file_and_line(tmp_path: Path) -> None:
    _, splits = read_training_data(settings(write(tmp_path, ["1.5", "good"]), kind="regression"))
    with pytest.raises(DataError, match=r"train.jsonl:2: the target must be a finite number, got 'good'") as caught:
        splits["train"].targets()
    assert caught.value.hint == "a task with words as labels is a classification: --kind classification"


def test_columns_of_0_and_1_keep_their_order_and_found_labels_are_sorted(tmp_path: Path) -> None:
    task, _ = read_training_data(settings(write(tmp_path, [["b"], ["c", "a"]]), kind="multi-label"))
    assert task.labels is not None
    assert task.labels.names == ("a", "b", "c")
    (tmp_path / "flags.csv").write_text("text,z,a\nt,1,0\nu,0,1\n")
    task, _ = read_training_data(settings(tmp_path / "flags.csv", kind="multi-label", label="z,a"))
    assert task.labels is not None
    assert task.labels.names == ("z", "a")


def test_data_without_any_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row has a label"):
        read_training_data(settings(write(tmp_path, [[], []]), kind="multi-label", allow_no_label=True))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"label_separator": ";"}, "--label-separator and --allow-no-label are for several labels a row"),
        ({"target_range": (0.0, 5.0)}, "--target-range is the lowest and the highest target of --kind regression"),
        ({"kind": "regression", "target_range": (5.0, 0.0)}, "--target-range is the lowest and the highest"),
        ({"kind": "multi-label", "task": "sst2"}, "task 'sst2' knows its columns"),
    ],
)
def test_settings_of_another_kind_of_task_are_refused(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settings(tmp_path / "t.csv", **changed)
