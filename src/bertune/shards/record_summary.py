"""What is in record files and re-encoded folders, read at constant memory."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from bertune.audit.length_counts import LengthCounts
from bertune.data.formats.record_file import read_records_of
from bertune.data.formats.tf_example import FeatureValue, parse_example
from bertune.errors import DataError
from bertune.shards.manifest import Manifest
from bertune.shards.read_records import read_verified
from bertune.shards.store import load_store
from bertune.shards.tfrecord import DIALECTS, LABELS

_MASK: Final = "input_mask"
_ROWS_BETWEEN_REPORTS: Final = 1000
OnRows = Callable[[int], None]


@dataclass
class FeatureSummary:
    """One feature over all records that have it.

    Args:
        kinds: int64, float32 or bytes; several where records disagree.
        records: that have it.
        shortest: fewest values.
        longest: most values.
    """

    kinds: set[str] = field(default_factory=set)
    records: int = 0
    shortest: int | None = None
    longest: int = 0

    def add(self, values: FeatureValue) -> None:
        """Counts the values of one record."""
        self.kinds.add("bytes" if isinstance(values, list) else str(values.dtype))
        self.records += 1
        self.shortest = len(values) if self.shortest is None else min(self.shortest, len(values))
        self.longest = max(self.longest, len(values))


@dataclass
class RecordSummary:
    """What is in record files.

    Args:
        records: how many.
        features: by name, in order.
        lengths: tokens of the records that are encoded examples.
        label_counts: class id to records.
        targets: minimum, sum and maximum of the values of a regression, and how many.
        padding_rows: records that only fill up a batch (`is_real_example` 0), counted nowhere else but in `records`.
    """

    records: int = 0
    features: dict[str, FeatureSummary] = field(default_factory=dict)
    lengths: LengthCounts = field(default_factory=LengthCounts)
    label_counts: Counter[int] = field(default_factory=Counter)
    targets: list[float] = field(default_factory=list)
    padding_rows: int = 0

    @property
    def dialect(self) -> tuple[str, str, str] | None:
        """The names of ids, mask and types, if all records have them."""
        names = {name for name, feature in self.features.items() if feature.records == self.records}
        return next((dialect for dialect in DIALECTS if names.issuperset(dialect)), None)

    def add(self, features: dict[str, FeatureValue]) -> None:
        """Counts one record."""
        self.records += 1
        for name, values in features.items():
            self.features.setdefault(name, FeatureSummary()).add(values)
        if _first_number(features.get("is_real_example")) == 0:
            self.padding_rows += 1
            return
        mask = features.get(_MASK)
        if mask is not None and not isinstance(mask, list):
            self.lengths.add(int(mask.sum()))
        label = _first_number(next((features[name] for name in LABELS if name in features), None))
        if isinstance(label, int):
            self.label_counts[label] += 1
        elif label is not None:
            low, total, high, count = self.targets or [label, 0.0, label, 0.0]
            self.targets = [min(low, label), total + label, max(high, label), count + 1]

    def target_summary(self) -> dict[str, float]:
        """Gives minimum, mean and maximum of the values of a regression; nothing where there are none."""
        if not self.targets:
            return {}
        low, total, high, count = self.targets
        return {"minimum": low, "mean": total / count, "maximum": high}


def summarise_records(files: Sequence[Path], on_rows: OnRows = lambda _: None) -> RecordSummary:
    """Reads record files of any tool, whatever their features are.

    Args:
        files: in order.
        on_rows: told how many more records were read.

    Raises:
        DataError: a record is cut off, damaged or no tf.Example; names file and offset.
    """
    summary = RecordSummary()
    for file in files:
        for offset, content in read_records_of(file):
            try:
                summary.add(parse_example(content))
            except DataError as error:
                raise DataError(f"{file}: record at {offset}: {error.message}", hint=error.hint) from error
            if summary.records % _ROWS_BETWEEN_REPORTS == 0:
                on_rows(_ROWS_BETWEEN_REPORTS)
    return summary


def token_lengths(folder: Path, manifest: Manifest, on_rows: OnRows = lambda _: None) -> LengthCounts:
    """Counts the tokens of every example of a re-encoded folder, and makes sure that its shards are what was written.

    Args:
        folder: with the shards.
        manifest: of the folder; shards that are not finished are left out.
        on_rows: told how many more examples were read.

    Raises:
        DataError: a finished shard is missing or not what was written; names file and, for records, offset.
    """

    def read(path: Path) -> LengthCounts:
        return _store_lengths(path, on_rows) if manifest.recipe.format == "store" else _record_lengths(path, on_rows)

    counts = LengthCounts()
    finished = {shard.name for shard in manifest.shards}
    for number in range(manifest.recipe.shard_count):
        if manifest.shard_name(number) in finished:
            counts.update(read_verified(folder, manifest, number, read))
    return counts


def _store_lengths(path: Path, on_rows: OnRows) -> LengthCounts:
    counts = LengthCounts()
    counts.add_all(load_store(path).encoded.lengths)
    on_rows(len(counts))
    return counts


def _record_lengths(path: Path, on_rows: OnRows) -> LengthCounts:
    counts = LengthCounts()
    for row, (offset, content) in enumerate(read_records_of(path), start=1):
        mask = parse_example(content, only=(_MASK,)).get(_MASK)
        if mask is None or isinstance(mask, list):
            raise DataError(f"{path}: record at {offset}: no {_MASK}")
        counts.add(int(mask.sum()))
        if row % _ROWS_BETWEEN_REPORTS == 0:
            on_rows(_ROWS_BETWEEN_REPORTS)
    return counts


def _first_number(values: FeatureValue | None) -> Any:
    """Gives the number of a feature that is one, as int or float; None for anything else."""
    if not isinstance(values, np.ndarray) or len(values) != 1:
        return None
    return values[0].item()
