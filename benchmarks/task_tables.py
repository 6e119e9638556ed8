"""The tables of the small-data benchmarks: training, validation and test rows of each task, as CSV files.

A task is named `NAME` or `NAME:ROWS`, of which the latter takes so many training rows. Rows are drawn by one fixed
permutation, so that `sst2:300` is the beginning of `sst2:1000`.

| task | training | validation | test |
|---|---|---|---|
| mrpc | GLUE's 3,668 in the file's order; fewer: the first of the permutation | GLUE's 408 | 1,725 |
| sst2:ROWS | the first of the permutation of train.tsv's 67,349 | its last 500 | the 872 of dev.tsv |
| stsb | all of the permutation of train.tsv's 5,749 but | its first 500 | the 1,500 of dev.tsv |
| demo | the files of examples/data | | |
| messages | the files of benchmarks/data/messages | | |
"""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import labels_of
from bertune.data.examples import Examples
from bertune.data.splits import find_splits, glue_task, read_split

ROOT: Final = Path(__file__).parents[1]
SEED: Final = 7
HELD_OUT: Final = 500
SPLITS: Final = ("train", "validation", "test")
TASKS: Final = ("mrpc", "mrpc:1000", "sst2:300", "sst2:1000", "sst2:10000", "stsb", "demo", "messages")


@dataclass(frozen=True)
class TaskTable:
    """A task as `train.csv`, `validation.csv` and `test.csv` in a folder.

    Args:
        name: of the task.
        folder: of the files.
        text_columns: one, or two for pairs.
        target_column: of the label or value.
        is_regression: whether the targets are values, from 0 to 5.
    """

    name: str
    folder: Path
    text_columns: tuple[str, ...]
    target_column: str
    is_regression: bool = False

    @property
    def metric(self) -> str:
        return "spearman" if self.is_regression else "accuracy"

    def file(self, split: str) -> Path:
        return self.folder / f"{split}.csv"

    def labels(self) -> list[str] | None:
        """The labels of the training rows; None for values."""
        return None if self.is_regression else labels_of(self.file("train"), self.target_column)

    def flags(self) -> list[str]:
        """What `bertune train` must be told of the table: where texts and targets are, and nothing about training."""
        columns = zip(("--text-a", "--text-b"), self.text_columns, strict=False)
        flags = [part for pair in columns for part in pair] + ["--label", self.target_column]
        return [*flags, "--kind", "regression", "--target-range", "0", "5"] if self.is_regression else flags


def parsed(name: str) -> tuple[str, int | None]:
    """Splits a task's name from its number of training rows.

    Raises:
        ValueError: a task that is none of these, or a number that is no number of rows.
    """
    task, _, rows = name.partition(":")
    if task not in ("mrpc", "sst2", "stsb", "demo", "messages"):
        raise ValueError(f"no such task: {name}; for instance {', '.join(TASKS)}")
    if rows and (task not in ("mrpc", "sst2") or not rows.isdigit() or int(rows) < 1):
        raise ValueError(f"not a task with a number of rows: {name}; for instance mrpc:1000 or sst2:300")
    if task == "sst2" and not rows:
        raise ValueError("sst2 needs a number of training rows, for instance sst2:1000")
    return task, int(rows) if rows else None


def permutation(count: int) -> NDArray[np.int64]:
    """Returns the one order in which rows are drawn."""
    return np.random.default_rng(SEED).permutation(count)


def drawn_rows(count: int, wanted: int | None) -> NDArray[np.int64]:
    """Returns the indices of `wanted` of `count` rows; of all, in their own order, for None or as many as there are.

    Raises:
        ValueError: more than there are.
    """
    if wanted is None or wanted == count:
        return np.arange(count)
    if wanted > count:
        raise ValueError(f"{wanted} training rows are wanted, and there are {count}")
    return permutation(count)[:wanted]


def sst2_rows(count: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the indices of SST-2's training and validation rows among train.tsv's.

    Raises:
        ValueError: more training rows than there are beside the validation rows.
    """
    order = permutation(count)
    if wanted > count - HELD_OUT:
        raise ValueError(f"{wanted} training rows are wanted, and there are {max(0, count - HELD_OUT)}")
    return order[:wanted], order[-HELD_OUT:]


def stsb_rows(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the indices of STS-B's training and validation rows among train.tsv's."""
    order = permutation(count)
    return order[HELD_OUT:], order[:HELD_OUT]


def make_table(name: str, data: Path, cache: Path) -> TaskTable:
    """Returns a task's table; those of GLUE are written once, into a folder of the cache.

    Args:
        name: of the task.
        data: a folder with GLUE's original files.
        cache: where tables are kept.

    Raises:
        ValueError: the task's name.
        FileNotFoundError: its files are not there.
    """
    task, rows = parsed(name)
    if task == "demo":
        return _checked(TaskTable(name, ROOT / "examples" / "data", ("question1", "question2"), "label"))
    if task == "messages":
        return _checked(TaskTable(name, ROOT / "benchmarks" / "data" / "messages", ("text",), "label"))
    columns = ("text_a",) if task == "sst2" else ("text_a", "text_b")
    table = TaskTable(name, cache / name.replace(":", "-"), columns, "label", is_regression=task == "stsb")
    if not table.folder.is_dir():
        unfinished = table.folder.with_name(f".{table.folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for split, examples in _glue_splits(task, rows, data).items():
            write_table(unfinished / f"{split}.csv", examples)
        unfinished.rename(table.folder)
    return _checked(table)


def write_table(path: Path, examples: Examples) -> None:
    """Writes examples as CSV, with the columns text_a, for pairs text_b, and label."""
    texts: list[Iterable[str]] = [examples.texts_a]
    if examples.texts_b is not None:
        texts.append(examples.texts_b)
    assert examples.labels is not None
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*("text_a", "text_b")[: len(texts)], "label"])
        writer.writerows(zip(*texts, examples.labels, strict=True))


def _glue_splits(task: str, rows: int | None, data: Path) -> dict[str, Examples]:
    found = find_splits(data, glue_task(task))
    examples = {name: read_split(found[name], require_label=True) for name in ("train", "validation")}
    train, validation = examples["train"], examples["validation"]
    if task == "mrpc":
        kept = train.select(drawn_rows(len(train), rows).tolist())
        return {"train": kept, "validation": validation, "test": read_split(found["test"], require_label=True)}
    to_train, to_validate = stsb_rows(len(train)) if rows is None else sst2_rows(len(train), rows)
    parts = {"train": train.select(to_train.tolist()), "validation": train.select(to_validate.tolist())}
    return parts | {"test": validation}


def _checked(table: TaskTable) -> TaskTable:
    for split in SPLITS:
        if not table.file(split).is_file():
            raise FileNotFoundError(f"task {table.name}: {table.file(split)} does not exist")
    return table
