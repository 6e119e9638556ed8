"""Locations of split files: original GLUE names, hub shards, or plain train, validation and test files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertune.data.examples import Task
from bertune.data.file_kind import name_parts
from bertune.data.formats.hub_datasets import HubFiles
from bertune.data.formats.text_files import holds_texts
from bertune.data.formats.tfds_folder import TfdsFolder
from bertune.data.glue_tasks import GlueTask
from bertune.data.mrpc import DEV_IDS_NAME, TEST_NAME, TRAIN_NAME, MrpcFilter
from bertune.errors import ConfigError, DataError

# The names under which people keep a split; the validation set of an MNLI-like task is the matched one.
SPLIT_OF_STEM = {
    "train": "train",
    "validation": "validation",
    "dev": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "validation_matched": "validation",
    "dev_matched": "validation",
    "validation_mismatched": "validation_mismatched",
    "dev_mismatched": "validation_mismatched",
    "test_matched": "test",
    "test_mismatched": "test_mismatched",
}
SPLIT_NAMES = tuple(dict.fromkeys(SPLIT_OF_STEM.values()))
_SHARD = re.compile(r"(?P<stem>[A-Za-z0-9_.]+)-(?P<number>\d{5})-of-(?P<total>\d{5})(-[0-9a-f]+)?")


@dataclass(frozen=True)
class Split:
    """The files of one split, found and not yet read.

    Args:
        name: train, validation, test; for MNLI also validation_mismatched and test_mismatched.
        paths: its files in order; empty where they are still on the hub.
        task: the task they were looked for, if any.
        header: whether the files name their columns.
        mrpc: the rule by which MRPC's one file is two splits.
        hub: the files on the hub.
        tfds: the description of a folder prepared by tensorflow-datasets, whose records the files are.
        frame: a table in memory, which needs no files; see `frames.is_frame`.
    """

    name: str
    paths: tuple[Path, ...]
    task: Task | None = None
    header: bool = True
    mrpc: MrpcFilter | None = None
    hub: HubFiles | None = None
    tfds: TfdsFolder | None = None
    frame: Any = field(default=None, compare=False)

    @property
    def is_for_testing(self) -> bool:
        """Tells whether the split may come without labels."""
        return self.name.startswith("test")

    def __str__(self) -> str:
        if self.hub is not None:
            return str(self.hub)
        if self.frame is not None:
            return f"{self.name} ({type(self.frame).__name__})"
        return str(self.paths[0]) + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")


def split_name_of(path: Path) -> str:
    """Names the split that a single file is by its stem; ``train`` for a stem that says nothing."""
    stem = name_parts(path)[0]
    shard = _SHARD.fullmatch(stem)
    return SPLIT_OF_STEM.get((shard["stem"] if shard else stem).lower(), "train")


def splits_in_folder(folder: Path, task: Task | None) -> dict[str, Split]:
    """Looks for splits directly in one folder; gives an empty dict where there are none.

    Raises:
        ConfigError: two files could be the same split.
        DataError: a shard is missing, or MRPC's training file comes without its dev ids.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    found = {
        split: Split(split, tuple(folder / name for name in files), task)
        for split, files in group_by_split(names, str(folder)).items()
    }
    if isinstance(task, GlueTask):
        found |= _original_glue(folder, set(names), task)
    return {split: found[split] for split in SPLIT_NAMES if split in found}


def splits_of_texts(folder: Path, task: Task | None) -> dict[str, Split]:
    """Looks for splits that are folders of texts, one for each label (``train/pos/0_9.txt``), or for one such split.

    Args:
        folder: with folders called train, validation and test; or with the folders of the labels themselves.
        task: the task they are looked for, if any.
    """
    found: dict[str, Split] = {}
    for entry in sorted(folder.iterdir()):
        split = SPLIT_OF_STEM.get(entry.name.lower())
        if split is not None and holds_texts(entry):
            if split in found:
                raise ConfigError(
                    f"{folder}: more than one folder could be {split}: {found[split].paths[0].name}, {entry.name}",
                    hint="keep or name one of them",
                )
            found[split] = Split(split, (entry,), task)
    if not found and holds_texts(folder):
        name = SPLIT_OF_STEM.get(folder.name.lower(), "train")
        found[name] = Split(name, (folder,), task)
    return {split: found[split] for split in SPLIT_NAMES if split in found}


def group_by_split(names: Iterable[str], where: str) -> dict[str, list[str]]:
    """Sorts file names into splits, shards in order.

    Args:
        names: names or relative paths of files in one folder; those of no split are passed over.
        where: the folder, for messages.

    Raises:
        ConfigError: two files could be the same split.
        DataError: a shard is missing.
    """
    whole: dict[str, list[str]] = {}
    shards: dict[str, dict[int, str]] = {}
    totals: dict[str, int] = {}
    for name in names:
        stem, kind = name_parts(name)
        shard = _SHARD.fullmatch(stem)
        split = SPLIT_OF_STEM.get((shard["stem"] if shard else stem).lower())
        if split is None or kind is None:
            continue
        if shard is None:
            whole.setdefault(split, []).append(name)
            continue
        number, total = int(shard["number"]), int(shard["total"])
        if totals.setdefault(split, total) != total or number in shards.get(split, {}):
            raise ConfigError(
                f"{where}: shards of two different sets for {split}: {name} does not belong to the others"
            )
        shards.setdefault(split, {})[number] = name
    for split, found in shards.items():
        missing = next((number for number in range(totals[split]) if number not in found), None)
        if missing is not None:
            raise DataError(f"{where}: shard {missing} of the {totals[split]} shards of {split} is missing")
        whole.setdefault(split, []).append("")
    for split, files in whole.items():
        if len(files) > 1:
            shown = ", ".join(name or f"{totals[split]} shards" for name in files)
            raise ConfigError(f"{where}: more than one file could be {split}: {shown}", hint="keep or name one of them")
    return {
        split: [shards[split][number] for number in sorted(shards[split])] if split in shards else files
        for split, files in sorted(whole.items(), key=lambda item: SPLIT_NAMES.index(item[0]))
    }


def _original_glue(folder: Path, names: set[str], task: GlueTask) -> dict[str, Split]:
    if task.name == "mrpc" and (TRAIN_NAME in names or TEST_NAME in names):
        found = _original_mrpc(folder, names, task)
        if found:
            return found
    return {
        split: Split(split, (folder / f"{stem}.tsv",), task, header=f"{stem}.tsv" not in task.headless)
        for split, stem in task.splits.items()
        if f"{stem}.tsv" in names
    }


def _original_mrpc(folder: Path, names: set[str], task: GlueTask) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    if TRAIN_NAME in names:
        if DEV_IDS_NAME not in names:
            if "train.tsv" in names:
                return {}
            raise DataError(
                f"{folder}: {TRAIN_NAME} needs {DEV_IDS_NAME} beside it, which says which rows are validation",
                hint="GLUE's download script fetches it; or give a folder with train.tsv and dev.tsv",
            )
        for split, keeps in (("train", False), ("validation", True)):
            rule = MrpcFilter(folder / DEV_IDS_NAME, keeps_dev=keeps)
            splits[split] = Split(split, (folder / TRAIN_NAME,), task, mrpc=rule)
    if TEST_NAME in names:
        splits["test"] = Split("test", (folder / TEST_NAME,), task)
    return splits
