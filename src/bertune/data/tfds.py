"""Data sets prepared by tensorflow-datasets, read without it: records of tf.Example as rows of a table."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bertune.data.formats.record_file import read_records_of
from bertune.data.formats.tf_example import FeatureValue, parse_example
from bertune.data.formats.tfds_folder import FeatureKind, TfdsFolder, find_tfds_folder, read_tfds_folder
from bertune.data.label_words import label_word
from bertune.data.read_report import RefusedRow
from bertune.data.split_files import SPLIT_NAMES, SPLIT_OF_STEM, Split
from bertune.data.table import Pick, Row
from bertune.data.task import Task
from bertune.errors import ConfigError, DataError


def tfds_splits(folder: Path, task: Task | None) -> dict[str, Split]:
    """Finds the splits of a prepared folder, or of the highest version in a folder of versions.

    Args:
        folder: for instance `glue/mrpc/2.0.0` or `glue/mrpc`.
        task: the task they are looked for, if any.

    Returns:
        Split to its shards; empty where the folder is no prepared one.

    Raises:
        DataError: the description is broken, or a shard is missing.
    """
    prepared = find_tfds_folder(folder)
    if prepared is None:
        return {}
    described = read_tfds_folder(prepared)
    found = {
        SPLIT_OF_STEM[name]: Split(SPLIT_OF_STEM[name], paths, task, tfds=described)
        for name, paths in described.shards.items()
        if name in SPLIT_OF_STEM and paths
    }
    return {name: found[name] for name in SPLIT_NAMES if name in found}


class TfdsTable:
    """One shard of a prepared data set.

    Rows are numbered from 1 in each shard. Class labels become their words where the folder names them; -1 stands for a
    missing label, as in the test sets of GLUE.

    Args:
        path: the shard.
        shown: how messages call it.
        folder: the description beside it.
    """

    row_hint: str | None = None
    column_hint: str | None = None

    def __init__(self, path: Path, shown: str, folder: TfdsFolder) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._file = path
        self._folder = folder
        self.names: tuple[str, ...] = tuple(folder.features)
        self.width = len(self.names)

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the records.

        Yields:
            Row number and picked values; a refusal for a label outside the labels that the folder names.

        Raises:
            ConfigError: a text column holds something else than text, a label column no single values.
            DataError: a record is damaged, or there are more or fewer than the folder says.
        """
        readers = [(self.names[pick.index], self._reader(pick)) for pick in picks]
        number = 0
        for offset, content in read_records_of(self._file, shown=self.path):
            number += 1
            try:
                features = parse_example(content)
                cells = [read(features.get(name), name) for name, read in readers]
            except _NotALabelError as problem:
                yield RefusedRow(self.path, number, str(problem))
                continue
            except DataError as error:
                raise DataError(f"{self.path}: record at {offset} (row {number}): {error.message}") from error
            yield number, cells
        expected = self._folder.rows[self._file]
        if number != expected:
            raise DataError(
                f"{self.path}: {number:,} records, but dataset_info.json says {expected:,}",
                hint="the file was cut off between two records, or belongs to another preparation",
            )

    def _reader(self, pick: Pick) -> Callable[[FeatureValue | None, str], str | None]:
        name = self.names[pick.index]
        kind: FeatureKind = self._folder.features[name]
        if kind == "text":
            return _text
        if kind == "other" or pick.role == "text":
            expected = "text" if pick.role == "text" else "one label or number a row"
            raise ConfigError(f"{self.path}: feature '{name}' holds no {expected}")
        words = self._folder.class_names.get(name)
        if kind == "class":
            return lambda value, name: _class_word(value, name, words)
        return _number


class _NotALabelError(Exception):
    """A label that the folder's own list of labels does not have."""


def _text(value: FeatureValue | None, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 1:
        raise DataError(f"feature '{name}' is not one text")
    try:
        return value[0].decode()
    except UnicodeDecodeError as error:
        raise DataError(f"feature '{name}' is not UTF-8") from error


def _number(value: FeatureValue | None, name: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) or len(value) != 1:
        raise DataError(f"feature '{name}' is not one number")
    # A 32-bit float is written with its own digits: 0.1, not 0.10000000149011612.
    return label_word(int(value[0]) if value.dtype == np.int64 else float(str(value[0])))


def _class_word(value: FeatureValue | None, name: str, words: tuple[str, ...] | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) or len(value) != 1 or value.dtype != np.int64:
        raise DataError(f"feature '{name}' is not one class")
    number = int(value[0])
    if number == -1:
        return None
    if words is None:
        return str(number)
    if not 0 <= number < len(words):
        raise _NotALabelError(f"'{name}' is {number}, but the folder names the labels 0 to {len(words) - 1}")
    return words[number]
