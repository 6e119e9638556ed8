"""What training reads: labels that look like something else, and sets of labels that teach nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertune.errors import ConfigError, DataError
from bertune.training.reading import positive_line, read_training_data
from bertune.training.run_settings import RunSettings


def settings(path: Path, **changed: Any) -> RunSettings:
    return RunSettings(
        **(
            {"data": str(path), "out": path.parent / "run", "text_a": "text", "label": "label", "validation": "none"}
            | changed
        )
    )


def write(folder: Path, labels: Sequence[Any]) -> Path:
    lines = [json.dumps({"text": f"text {row}", "label": label}) + "\n" for row, label in enumerate(labels)]
    (folder / "train.jsonl").write_text("".join(lines))
    return folder / "train.jsonl"


def warnings_of(folder: Path, labels: Sequence[Any]) -> list[str]:
    _, splits, _ = read_training_data(settings(write(folder, labels)))
    return splits["train"].report.warnings


def test_values_under_classification_are_told_with_file_and_line(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, [1, 2, 3.5, 4])
    assert "train.jsonl:3: the label is 3.5, one of 4 different numbers; if they are values" in warning
    (warning,) = warnings_of(tmp_path, [row**2 for row in range(30)])
    assert "train.jsonl:1: the label is 0, one of 30 different numbers" in warning


@pytest.mark.parametrize("labels", [list(range(77)), [1, 0, 1], [-1, 1], [10, 20, 30], ["up", "3.5", "down"]])
def test_ids_and_words_are_classes_without_a_warning(tmp_path: Path, labels: list[Any]) -> None:
    assert warnings_of(tmp_path, labels) == []


def test_values_that_leave_no_row_to_hold_back_lead_to_regression(tmp_path: Path) -> None:
    path = write(tmp_path, [row / 10 for row in range(120)])
    with pytest.raises(DataError, match="each label has too few rows") as caught:
        read_training_data(settings(path, validation=None))
    assert "the labels are 120 different numbers" in (caught.value.hint or "")
    assert "--kind regression" in (caught.value.hint or "")


def test_words_under_regression_are_refused_with_file_and_line(tmp_path: Path) -> None:
    _, splits, _ = read_training_data(settings(write(tmp_path, ["1.5", "good"]), kind="regression"))
    with pytest.raises(DataError, match=r"train.jsonl:2: the target must be a finite number, got 'good'") as caught:
        splits["train"].targets()
    assert caught.value.hint == "a task with words as labels is a classification: --kind classification"


def test_columns_of_0_and_1_keep_their_order_and_found_labels_are_sorted(tmp_path: Path) -> None:
    task, *_ = read_training_data(settings(write(tmp_path, [["b"], ["c", "a"]]), kind="multi-label"))
    assert task.labels is not None
    assert task.labels.names == ("a", "b", "c")
    (tmp_path / "flags.csv").write_text("text,z,a\nt,1,0\nu,0,1\n")
    task, *_ = read_training_data(settings(tmp_path / "flags.csv", kind="multi-label", label="z,a"))
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
        ({"kind": "multi-label", "positive": "a"}, "--positive is for two labels, one a row"),
        ({"positive": " "}, "--positive is empty"),
        ({"task": "sst2", "positive": "positive", "text_a": None, "label": None}, "knows its columns and labels"),
        ({"kind": "multi-label", "task": "sst2"}, "task 'sst2' knows its columns"),
    ],
)
def test_settings_of_another_kind_of_task_are_refused(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settings(tmp_path / "t.csv", **changed)


@pytest.mark.parametrize(
    ("labels", "positive", "order", "line"),
    [
        (["fraud", "ok", "ok"], None, ("ok", "fraud"), "F1 is that of 'fraud', the rarer label; --positive ok for the"),
        (["a", "not so", "not so"], None, ("not so", "a"), "F1 is that of 'a', the rarer label; --positive 'not so'"),
        (["ok", "spam", "ok"], None, ("ok", "spam"), None),
        (["a"] * 4 + ["b"] * 6, None, ("a", "b"), None),
        (["fraud", "ok", "ok"], "ok", ("fraud", "ok"), None),
        (["ham", "ham", "spam"], "ham", ("spam", "ham"), None),
        ([0, 1, 1], None, ("0", "1"), None),
        ([True, True, True, False], None, ("False", "True"), None),
        (["a", "b", "b", "c"], None, ("a", "b", "c"), None),
    ],
)
def test_the_positive_label_is_the_named_or_the_rarer_one(
    tmp_path: Path, labels: list[Any], positive: str | None, order: tuple[str, ...], line: str | None
) -> None:
    made = settings(write(tmp_path, labels), positive=positive)
    task, *_ = read_training_data(made)
    assert task.labels is not None
    assert tuple(word.casefold() for word in task.labels) == tuple(map(str.casefold, order))
    said = positive_line(made, task)
    assert said is None if line is None else said is not None and said.startswith(line)


@pytest.mark.parametrize(
    ("labels", "says"),
    [(["a", "b"], "'c' is no label; there are a and b"), (["a", "b", "d"], "one is the positive one; there are 3")],
)
def test_a_positive_label_that_cannot_be_is_refused(tmp_path: Path, labels: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_training_data(settings(write(tmp_path, labels), positive="c"))


def test_a_misspelt_positive_label_is_led_to_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'frud' is no label") as caught:
        read_training_data(settings(write(tmp_path, ["fraud", "ok"]), positive="frud"))
    assert caught.value.hint == "did you mean 'fraud'?"


def test_columns_by_number_are_kept_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nx,a\ny,b\n")
    numbers = settings(tmp_path / "train.csv", text_a="0", label="1")
    task, *_ = read_training_data(numbers)
    assert (task.columns.text_a, task.columns.label) == ("text", "label")
    task, *_ = read_training_data(settings(tmp_path / "train.csv", text_a="0", label="1", no_header=True))
    assert (task.columns.text_a, task.columns.label) == ("0", "1")
    (tmp_path / "new.csv").write_text("ticket,label,text\n1,a,x\n2,b,y\n")
    with pytest.raises(ConfigError, match=r"column 0 is called 'ticket' in .*new\.csv, 'text' in .*train\.csv"):
        read_training_data(
            settings(tmp_path / "train.csv", text_a="0", label="1", validation=str(tmp_path / "new.csv"))
        )


def folder_of(folder: Path, *splits: str) -> Path:
    """A folder with tables of these names, whose texts are their names."""
    folder.mkdir()
    for name in splits:
        (folder / f"{name}.csv").write_text(f"text,label\n{name} 1,a\n{name} 2,b\n")
    return folder


@pytest.mark.parametrize("name", ["messages", "dev", "test", "train"])
def test_one_table_is_trained_on_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "data", name)
    _, splits, held_out = read_training_data(settings(folder / f"{name}.csv"))
    assert {split: examples.texts_a for split, examples in splits.items()} == {"train": [f"{name} 1", f"{name} 2"]}
    assert held_out is None


def test_a_folder_without_training_data_is_refused(tmp_path: Path) -> None:
    for number, splits in enumerate([("dev",), ("dev", "test")]):
        with pytest.raises(DataError, match="no training data, only validation"):
            read_training_data(settings(folder_of(tmp_path / str(number), *splits)))


def test_of_a_folder_that_is_named_for_it_the_split_that_is_wanted_is_read(tmp_path: Path) -> None:
    train = folder_of(tmp_path / "data", "train", "dev", "test")
    other = folder_of(tmp_path / "other", "train", "valid", "test")
    _, splits, _ = read_training_data(settings(train, validation=None))
    assert {name: split.texts_a[0] for name, split in splits.items()} == {"train": "train 1", "validation": "dev 1"}
    _, splits, _ = read_training_data(settings(train, validation=str(other), test=str(other)))
    assert {name: split.texts_a[0] for name, split in splits.items()} == {
        "train": "train 1",
        "validation": "valid 1",
        "test": "test 1",
    }
    _, splits, _ = read_training_data(settings(train, test=str(folder_of(tmp_path / "one", "dev"))))
    assert {name: split.texts_a[0] for name, split in splits.items()} == {"train": "train 1", "test": "dev 1"}
    with pytest.raises(DataError, match="which of train, test is the validation data is not known"):
        read_training_data(settings(train, validation=str(folder_of(tmp_path / "two", "train", "test"))))


def test_texts_and_labels_in_two_files_need_no_columns(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("x, y\nz\n")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    two = settings(tmp_path / "texts.txt", text_a=None, label=None, label_file=str(tmp_path / "labels.txt"))
    task, splits, _ = read_training_data(two)
    assert (splits["train"].texts_a, splits["train"].labels) == (["x, y", "z"], ["a", "b"])
    assert (task.columns.text_a, task.columns.label) == ("text", "label")
    (tmp_path / "dev.csv").write_text("text,label\nu,a\nv,b\n")
    _, splits, _ = read_training_data(replace(two, validation=str(tmp_path / "dev.csv")))
    assert splits["validation"].texts_a == ["u", "v"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("3,5", "a decimal comma: write numbers with a point, such as 3.5"),
        ("1.234,5", "a decimal comma: write numbers with a point, such as 1234.5"),
        ("40 %", "a per cent sign: write the number alone, such as 40"),
        ("inf", "an infinite target"),
        ("3,five", "--kind classification"),
    ],
)
def test_what_is_nearly_a_number_is_explained(tmp_path: Path, word: str, hint: str) -> None:
    _, splits, _ = read_training_data(settings(write(tmp_path, ["1.5", word]), kind="regression"))
    with pytest.raises(DataError) as caught:
        splits["train"].targets()
    assert hint in str(caught.value.hint)
