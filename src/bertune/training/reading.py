"""From a run's settings to its training and validation examples."""

import math
from dataclasses import replace
from pathlib import Path

from bertune.errors import ConfigError, DataError
from bertune.text.examples import Columns, Examples, LabelSet, Task, number_in
from bertune.text.glue import Split, find_splits, glue_task, read_split
from bertune.text.nearest import shorten
from bertune.training.run_settings import RunSettings

# More different whole numbers than these are values, unless they are consecutive.
_MOST_NUMBERS = 20
# MNLI's second validation set: scored at the end, never chosen by.
ALSO_SCORED = "validation_mismatched"
# The test split is not even opened: nothing of it can be used to choose anything.
_SPLITS_OF_TRAINING = ("train", "validation", ALSO_SCORED)


def read_training_data(settings: RunSettings) -> tuple[Task, dict[str, Examples]]:
    """Reads the splits that training may see.

    Args:
        settings: where the data are.

    Returns:
        The task, with the labels of the training data, and the examples of `train` and, if there is one, `validation`.

    Raises:
        ConfigError: a file, column or task that does not exist.
        DataError: rows that cannot be used; names file and line.
    """
    task = named_task(settings)
    found = find_splits(settings.data, task)
    if "train" not in found:
        # One file under any name is the training data.
        if Path(settings.data).is_dir() or len(found) != 1:
            raise DataError(f"{settings.data}: no training data, only {', '.join(found)}")
        found = {"train": next(iter(found.values()))}
    if settings.validation is not None:
        found["validation"] = _single(settings.validation, task)
    examples = {
        name: read_split(
            found[name],
            columns=None if settings.task else task.columns,
            quoting=settings.quoting,
            on_bad_row=settings.on_bad_row,
            require_label=True,
        )
        for name in _SPLITS_OF_TRAINING
        if name in found
    }
    for name, split in examples.items():
        if not len(split):
            raise DataError(f"{split.report.path}: no row to {'train on' if name == 'train' else 'validate with'}")
    if task.kind == "multi-label":
        task = task.with_labels(_labels_of_sets(examples["train"], task.columns))
    elif task.kind == "classification" and task.labels is None:
        task = task.with_labels(_labels_of(examples["train"]))
        examples["train"] = _warned_of_numbers(examples["train"])
    return task, examples


def named_task(settings: RunSettings) -> Task:
    """Makes the task that the settings name; its labels are not known yet unless it is one of GLUE."""
    if settings.task is not None:
        return glue_task(settings.task)
    if settings.text_a is None:
        raise ConfigError("the column of the text is not named", hint="use --text-a")
    columns = Columns.of_kind(
        settings.kind,
        settings.text_a,
        settings.text_b,
        settings.label,
        separator=settings.label_separator,
        allow_none=settings.allow_no_label,
    )
    return Task.for_columns(columns, kind=settings.kind, target_range=settings.target_range)


def _single(path: str, task: Task) -> Split:
    splits = find_splits(path, task)
    if len(splits) == 1:
        return next(iter(splits.values()))
    if "validation" in splits:
        return splits["validation"]
    raise DataError(f"{path}: which of {', '.join(splits)} is the validation data is not known", hint="name the file")


def _labels_of(train: Examples) -> LabelSet:
    assert train.labels is not None
    labels = LabelSet.from_values(train.labels)
    if len(labels) < 2:
        raise DataError(
            f"{train.report.path}: every row has the label '{labels.names[0]}'; a classifier needs at least two labels",
            hint="is --label the right column?",
        )
    return labels


def _warned_of_numbers(train: Examples) -> Examples:
    """Adds a warning to the account of the read where the labels look like values rather than names of classes."""
    words = dict.fromkeys(train.labels or ())
    numbers = [number_in(word) for word in words]
    if not all(map(math.isfinite, numbers)) or len(numbers) < 3:
        return train
    is_whole = all(number.is_integer() for number in numbers)
    if is_whole and (len(numbers) <= _MOST_NUMBERS or max(numbers) - min(numbers) == len(numbers) - 1):
        return train  # few, or consecutive: ids of classes
    odd = next(row for row, word in enumerate(train.labels or ()) if is_whole or not number_in(word).is_integer())
    warning = (
        f"{train.where(odd)}: the label is {shorten((train.labels or ())[odd])}, one of {len(numbers):,} different "
        "numbers; if they are values and not names of classes, learn them with --kind regression"
    )
    return replace(train, report=replace(train.report, warnings=[*train.report.warnings, warning]))


def _labels_of_sets(train: Examples, columns: Columns) -> LabelSet:
    """Returns the labels of a multi-label task: the columns of 0 and 1, or all labels that some row has."""
    assert columns.several is not None
    if columns.several.columns:
        return LabelSet(tuple(str(column) for column in columns.several.columns))
    found = {label for labels in train.label_sets or () for label in labels}
    if not found:
        raise DataError(f"{train.report.path}: no row has a label", hint="is --label the right column?")
    return LabelSet.from_values(found)
