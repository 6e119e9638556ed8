"""Training from folders that `bertune encode` made, without reading the texts again."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from bertune.audit.audit import Audit
from bertune.audit.findings import Finding
from bertune.batches.dataset import Dataset
from bertune.data.examples import LabelSet, ReadReport, Task
from bertune.errors import ConfigError, DataError
from bertune.shards.manifest import NO_WINDOWS, Manifest, Recipe, check_tokenizer, find_reencoded
from bertune.shards.read_records import Records, read_reencoded
from bertune.tokenization.long_texts import LongTexts
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.training.reading import TEST, named_task
from bertune.training.run_rows import Describe, DescribeRecords
from bertune.training.run_settings import RunSettings
from bertune.wording.nearest import shorten

_CUSTOM = "custom"
# What the splits of one training must have in common; format, number of shards and rows may differ.
_SHARED = ("max_length", "long_text", "tokenizer_digest", "task", "kind", "labels", "is_pair")


@dataclass(frozen=True)
class ReencodedData:
    """Everything the folders say.

    Args:
        settings: those of the run, with task and columns from the folder.
        task: with its labels.
        folders: split to folder.
        manifests: split to manifest.
        records: split to examples.
    """

    settings: RunSettings
    task: Task
    folders: dict[str, Path]
    manifests: dict[str, Manifest]
    records: dict[str, Records]

    def known(self) -> tuple[RunSettings, Task, Audit, dict[str, ReadReport]]:
        """Gives settings, task, audit and the accounts of the rows, as reading the texts would."""
        message = "the data were encoded before: their texts were not looked at for duplicates and overlaps"
        reports = {name: manifest.report() for name, manifest in self.manifests.items()}
        return self.settings, self.task, Audit({}, [Finding("not_audited", message, 0)], reports=reports), reports

    def lines(self) -> list[str]:
        """Says what is in the folders."""
        lines = [f"{name}: {self.folders[name]}: {manifest.summary()}" for name, manifest in self.manifests.items()]
        lines += [note for manifest in self.manifests.values() for note in manifest.notes]
        lines += [f"warning: {warning}" for manifest in self.manifests.values() for warning in manifest.warnings]
        return [*lines, *(f"note: {finding.message}" for finding in self.known()[2].findings)]

    def long_texts(self) -> dict[str, LongTexts]:
        """Counts the examples of each split that were too long."""
        return {name: manifest.long_texts for name, manifest in self.manifests.items()}

    def describe(self) -> dict[str, Describe]:
        """Says where each example of each split is."""
        return {
            name: DescribeRecords(self.folders[name], records.example_ids) for name, records in self.records.items()
        }

    def datasets_for(self, tokenizer: Tokenizer) -> dict[str, Dataset]:
        """Gives the examples for a model.

        Raises:
            ConfigError: the model has another tokenizer than the one that encoded them.
        """
        for name, manifest in self.manifests.items():
            check_tokenizer(self.folders[name], manifest, tokenizer.digest, model=self.settings.model)
        return {name: Dataset(records.encoded, records.targets) for name, records in self.records.items()}


def read_reencoded_data(settings: RunSettings) -> ReencodedData | None:
    """Reads the folders that training may see.

    Args:
        settings: `data`, `validation` and `test` name folders of `bertune encode`: of one split, or of several in
            subfolders called train, validation and test; the test folder inside `data` is not opened.

    Returns:
        What they hold; None where `data` is no such folder.

    Raises:
        ConfigError: the settings or the folders contradict each other.
        DataError: a folder is not whole or not as it was written, or has no labels.
    """
    folders = _find(settings)
    if folders is None:
        return None
    for flag, is_set in (("--soft-labels", settings.soft_labels), ("a teacher", settings.teacher)):
        if is_set:
            raise ConfigError(
                f"{settings.data} was encoded before, and holds neither probabilities nor the texts that a teacher "
                f"answers, so {flag} cannot be used",
                hint="name the tables that were encoded with --data",
            )
    if settings.relabel is not None:
        raise ConfigError(
            f"{settings.data} was encoded before, and its rows are found by their numbers: --relabel has no effect",
            hint="name the tables that were encoded with --data",
        )
    read = {name: read_reencoded(folder) for name, folder in folders.items()}
    manifests = {name: manifest for name, (manifest, _) in read.items()}
    train = manifests["train"].recipe
    for name, manifest in manifests.items():
        _check(folders[name], manifest, folders["train"], train)
    settings = _filled_in(settings, folders["train"], manifests["train"])
    task = named_task(settings)
    if task.kind.has_one_label and task.labels is None:
        task = task.with_labels(LabelSet(train.labels))
        if settings.positive is not None and (len(train.labels) != 2 or train.labels[1] != settings.positive):
            raise ConfigError(
                f"{folders['train']} was encoded with the labels {', '.join(map(shorten, train.labels))}; of two the "
                "second is the positive one",
                hint="leave --positive out, or encode again with both --labels, the positive one last",
            )
    records = {name: records for name, (_, records) in read.items()}
    for name, split in records.items():
        _check_targets(folders[name], split, task, trains=name == "train")
    return ReencodedData(settings, task, folders, manifests, records)


def _find(settings: RunSettings) -> dict[str, Path] | None:
    train = find_reencoded(settings.data)
    named = {"validation": settings.validation_data, TEST: settings.test}
    found = {} if train is None else {"train": train}
    for name, data in named.items():
        folder = None if data is None else find_reencoded(data, name)
        if train is None and folder is not None:
            raise ConfigError(f"{data} was encoded before, {settings.data} was not", hint="give both in one form")
        if train is not None and data is not None and folder is None:
            raise ConfigError(
                f"{settings.data} was encoded before, {data} was not",
                hint=f"encode the {name} data as well, with the same --labels",
            )
        if folder is not None:
            found[name] = folder
    if train is None:
        return None
    for flag, is_set in (("--validation", settings.share is not None), ("--group", settings.group is not None)):
        if is_set:
            raise ConfigError(
                f"{settings.data} was encoded before, and its rows are not held back, so {flag} has no effect",
                hint="encode validation rows as well, and name them with --validation FOLDER",
            )
    if "validation" not in found and not settings.trains_on_all and train != Path(settings.data):
        validation = find_reencoded(settings.data, "validation")
        return found if validation is None else found | {"validation": validation}
    return found


def _check(folder: Path, manifest: Manifest, train_folder: Path, train: Recipe) -> None:
    if not manifest.labelled:
        raise DataError(f"{folder} has no labels", hint="encode rows with labels: --label")
    for entry in fields(Recipe):
        mine, theirs = getattr(manifest.recipe, entry.name), getattr(train, entry.name)
        if entry.name in _SHARED and mine != theirs:
            shown = "" if entry.name.endswith("digest") else f": {mine} and {theirs}"
            raise ConfigError(
                f"{folder} and {train_folder} differ in {entry.name}{shown}",
                hint="encode both with the same settings and --labels",
            )


def _filled_in(settings: RunSettings, folder: Path, manifest: Manifest) -> RunSettings:
    """Takes task and columns from the folder, and refuses others."""
    recipe = manifest.recipe
    if settings.max_length != recipe.max_length:
        raise ConfigError(
            f"{folder} was encoded with max_length {recipe.max_length}, the run has {settings.max_length}",
            hint=f"use --max-length {recipe.max_length}",
        )
    if settings.long_text != recipe.long_text:
        raise ConfigError(
            f"{folder} was encoded with long_text {recipe.long_text}, the run has {settings.long_text}",
            hint=NO_WINDOWS if settings.long_text == "windows" else f"use --long-text {recipe.long_text}",
        )
    known: dict[str, Any] = {"task": recipe.task}
    if recipe.task == _CUSTOM:
        known = {name: None if column is None else str(column) for name, column in manifest.columns.items()}
        known |= {"task": None, "kind": recipe.kind}
    for name, is_set in settings.changed().items():
        if is_set:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{folder} was encoded before, so {flag} has no effect", hint=f"leave {flag} out")
    for name, value in known.items():
        given = getattr(settings, name)
        if given not in (None, "classification", value):
            raise ConfigError(f"{folder} has the {name} {value!r}, the run {given!r}", hint="leave it out")
    return replace(settings, **known)


def _check_targets(folder: Path, records: Records, task: Task, *, trains: bool) -> None:
    targets = records.targets
    assert targets is not None
    if task.labels is None:
        records.values(folder, task.target_range)
    elif targets.dtype.kind == "f" or not 0 <= targets.min() <= targets.max() < len(task.labels):
        raise DataError(f"{folder}: the labels are not the ids 0 to {len(task.labels) - 1}")
    if trains and len(np.unique(targets)) < 2:
        raise DataError(f"{folder}: every example has the same label, so there is nothing to learn")
