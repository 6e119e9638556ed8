"""From a run's settings to its training and validation examples."""

import math
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertune.data.examples import Columns, Examples, LabelSet, Task, number_in
from bertune.data.held_out import HeldOut, hold_out
from bertune.data.relabelled_examples import relabelled
from bertune.data.several_names import names_in
from bertune.data.splits import Split, find_splits, glue_task, read_split
from bertune.errors import ConfigError, DataError
from bertune.training.run_settings import RunSettings
from bertune.wording.nearest import shorten

# More different whole numbers than these are values, unless they are consecutive.
_MOST_NUMBERS = 20
# The share below which the rarer of two labels is taken to be what is looked for. Nearer to a half the next sample of
# the same data might turn them round.
_RARER = 0.4
# Pairs of labels whose names say which is the positive one.
_NEGATIVE_POSITIVE = {
    ("-1", "1"),
    ("0", "1"),
    ("false", "true"),
    ("n", "y"),
    ("neg", "pos"),
    ("negative", "positive"),
    ("no", "yes"),
}
# MNLI's second validation set: scored at the end, never chosen by.
ALSO_SCORED = "validation_mismatched"
# Test rows that --test names: read and checked at the start, scored once at the end. The test split of a folder is not
# even opened: nothing of it can be used to choose anything.
TEST = "test"
_SPLITS_OF_TRAINING = ("train", "validation", ALSO_SCORED, TEST)


def read_training_data(
    settings: RunSettings, frames: Mapping[str, Any] | None = None, *, in_folds: bool = False
) -> tuple[Task, dict[str, Examples], HeldOut | None]:
    """Reads the splits that training may see.

    Args:
        settings: where the data are.
        frames: tables in memory, by the names of the splits, in the place of what the settings name.
        in_folds: whether each training row is held back once, by cross-validation: then none are for good, and a
            validation split is not read.

    Returns:
        The task, with the labels of the training data; the examples of `train` and, if there are such, `validation` and
        `test`; and which training rows were held back as validation data, if any were.

    Raises:
        ConfigError: a file, column or task that does not exist.
        DataError: rows that cannot be used; names file and line.
    """
    task = named_task(settings)
    given = {name: Split(name, (), task, frame=frame) for name, frame in (frames or {}).items()}
    found = dict(given) if "train" in given else find_splits(settings.data, task)
    if "train" not in found:
        # One file under any name is the training data.
        if Path(settings.data).is_dir() or len(found) != 1:
            raise DataError(f"{settings.data}: no training data, only {', '.join(found)}")
        found = {"train": next(iter(found.values()))}
    by_name = found.pop(TEST, None)
    if by_name is not None and len(names_in(settings.data)) > 1:
        raise ConfigError(
            f"{by_name} is test data by its name, which training does not read",
            hint=f"score it at the end with --test {shlex.quote(str(by_name.paths[0]))}, or rename it",
        )
    if "validation" in given:
        found["validation"] = given["validation"]
    elif settings.validation_data is not None:
        found["validation"] = single_split(settings.validation_data, task, "validation")
    if settings.trains_on_all or settings.share is not None or in_folds:
        found.pop("validation", None)
    if settings.trains_on_all or in_folds:
        found.pop(ALSO_SCORED, None)
    if TEST in given:
        found[TEST] = given[TEST]
    elif settings.test is not None:
        found[TEST] = single_split(settings.test, task, TEST)
    holds_out = "validation" not in found and not settings.trains_on_all and not in_folds
    if settings.group is not None and not holds_out and not in_folds:
        raise ConfigError(
            f"{found['validation']} is the validation data, so --group has no effect",
            hint="leave --group out, or hold training rows back instead: --validation 0.1",
        )
    reading = settings.read_options()
    examples = {
        name: read_split(
            found[name],
            columns=_columns(settings, task, name),
            reading=reading if name == "train" else replace(reading, label_file=None),
            require_label=True,
        )
        for name in _SPLITS_OF_TRAINING
        if name in found
    }
    if settings.task is None:
        task = replace(task, columns=_named_columns(task.columns, examples))
    for name, split in examples.items():
        if not len(split):
            raise DataError(f"{split.report.path}: no row to {_PURPOSES.get(name, 'validate with')}")
    if task.kind.has_label_sets:
        task = task.with_labels(_labels_of_sets(examples["train"], task.columns))
    elif task.kind.has_labels and task.labels is None:
        task = task.with_labels(_labels_of(examples["train"], settings.positive))
        examples["train"] = _warned_of_numbers(examples["train"])
    if not holds_out:
        return task, _relabelled(examples, task, settings), None
    if not task.kind.has_labels:
        examples["train"].targets(task.target_range)  # names the first that is none
    try:
        train, validation, held_out = hold_out(examples["train"], task.kind, share=settings.share, group=settings.group)
    except DataError as error:
        if task.kind.has_one_label and len(found_numbers := _numbers_of(examples["train"])) > _MOST_NUMBERS:
            raise DataError(
                error.message,
                hint=f"the labels are {len(found_numbers):,} different numbers; if they are values and not names of "
                "classes, learn them with --kind regression",
            ) from error
        raise
    # By the labels that the table has: the same rows are held back with and without decisions, and can be compared.
    divided = {"train": train, "validation": validation}
    divided |= {name: split for name, split in examples.items() if name != "train"}
    return task, _relabelled(divided, task, settings), held_out


def _relabelled(examples: dict[str, Examples], task: Task, settings: RunSettings) -> dict[str, Examples]:
    """Applies decisions on labels to the training rows, those of one table after those of another."""
    train, others = examples["train"], {name: split for name, split in examples.items() if name != "train"}
    for path in () if settings.relabel is None else names_in(settings.relabel):
        train = relabelled(train, others, task, path)
    return {"train": train} | others


def _named_columns(columns: Columns, examples: dict[str, Examples]) -> Columns:
    """Gives columns that were asked for by number the names that they have: other tables may have them elsewhere.

    Raises:
        ConfigError: a number leads to columns of different names in the splits.
    """
    header = examples["train"].report.header
    wanted = [column for column in (columns.text_a, columns.text_b) if column is not None]
    if columns.label is not None:
        wanted.append(columns.label)
    # Columns of 0 and 1 are labels by their names, whatever they are called.
    if len(header) < len(wanted):
        return columns
    names = dict(zip(wanted, header, strict=False))
    for split in examples.values():
        for column, name in zip(wanted, split.report.header, strict=False):
            if name != names[column] and str(column) not in (name, names[column]):
                raise ConfigError(
                    f"column {column} is called '{shorten(name)}' in {split.report.path}, "
                    f"'{shorten(names[column])}' in {examples['train'].report.path}",
                    hint="name the columns, or add --no-header where the first line is a row",
                )
    named = {column: names[column] if _can_be_named(names[column]) else column for column in wanted}
    return replace(
        columns,
        text_a=named[columns.text_a],
        text_b=None if columns.text_b is None else named[columns.text_b],
        label=None if columns.label is None else named[columns.label],
    )


def _can_be_named(name: str) -> bool:
    return all(part.strip() for part in name.split(","))


_PURPOSES = {"train": "train on", TEST: "test with"}


def _columns(settings: RunSettings, task: Task, split: str) -> Columns | None:
    """Returns the columns to read; a GLUE task knows its own. Only training rows are divided by groups."""
    if settings.task is not None:
        return None
    if split == "train":
        return replace(task.columns, group=settings.group)
    # Scores go by the label where there is a column of it, so that only then other tables need no probabilities.
    return task.columns if task.columns.label is None else replace(task.columns, soft=())


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
    columns = replace(columns, soft=settings.soft_columns)
    return Task.for_columns(columns, kind=settings.kind, target_range=settings.target_range)


def single_split(path: str, task: Task, wanted: str) -> Split:
    """Finds the one split that a name is of, or of several the wanted one.

    Raises:
        DataError: there are several, and none is called so.
    """
    splits = find_splits(path, task)
    if len(splits) == 1:
        return next(iter(splits.values()))
    if wanted in splits:
        return splits[wanted]
    raise DataError(f"{path}: which of {', '.join(splits)} is the {wanted} data is not known", hint="name the file")


def _labels_of(train: Examples, positive: str | None) -> LabelSet:
    """Returns the labels in the order of their ids; of two, the positive one is last.

    Raises:
        ConfigError: `positive` is not one of two labels.
        DataError: all rows have the same label.
    """
    counts = Counter(train.labels)
    if train.soft is not None:
        first = {label: row for row, label in reversed(list(enumerate(train.labels or ())))}
        train.soft.check_labels(tuple(first), lambda label: f"'{shorten(label)}' ({train.where(first[label])})")
    # Soft labels have columns of their own, so that one which is nowhere the most probable is a label, too.
    labels = LabelSet.from_values(counts if train.soft is None else train.soft.names)
    if len(labels) < 2:
        raise DataError(
            f"{train.report.path}: every row has the label '{labels.names[0]}'; a classifier needs at least two labels",
            hint="is --label the right column?",
        )
    if positive is not None:
        return labels.with_positive(positive)
    rarer = min(labels.names, key=lambda name: counts[name])
    if len(labels) != 2 or _names_say(labels) or counts[rarer] >= _RARER * len(train):
        return labels
    return labels.with_positive(rarer)


def _names_say(labels: LabelSet) -> bool:
    return tuple(name.casefold() for name in labels) in _NEGATIVE_POSITIVE


def positive_line(settings: RunSettings, task: Task) -> str | None:
    """Says which label F1 is about, where it is neither named nor the one that sorts last; else None."""
    labels = task.labels
    if settings.task is not None or settings.positive is not None or not task.kind.has_one_label or labels is None:
        return None
    if labels == LabelSet.from_values(labels):
        return None
    other, rarer = map(shorten, labels)
    return f"F1 is that of '{rarer}', the rarer label; --positive {shlex.quote(other)} for the other"


def _warned_of_numbers(train: Examples) -> Examples:
    """Adds a warning to the account of the read where the labels look like values rather than names of classes."""
    numbers = _numbers_of(train)
    if len(numbers) < 3:
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


def _numbers_of(train: Examples) -> list[float]:
    """Returns the labels as different numbers; none where one of them is no number."""
    numbers = [number_in(word) for word in dict.fromkeys(train.labels or ())]
    return numbers if all(map(math.isfinite, numbers)) else []


def _labels_of_sets(train: Examples, columns: Columns) -> LabelSet:
    """Returns the labels of a multi-label task: the columns of 0 and 1, or all labels that some row has."""
    assert columns.several is not None
    if columns.several.columns:
        return LabelSet(tuple(str(column) for column in columns.several.columns))
    found = {label for labels in train.label_sets or () for label in labels}
    if not found:
        raise DataError(f"{train.report.path}: no row has a label", hint="is --label the right column?")
    return LabelSet.from_values(found)
