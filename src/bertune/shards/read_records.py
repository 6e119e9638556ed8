"""Encoded examples back from records or shards."""

import os
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertune.data.formats.record_file import is_record_file, read_records_of
from bertune.data.formats.tf_example import parse_example
from bertune.errors import ConfigError, DataError
from bertune.shards.manifest import Manifest, is_reencoded, read_manifest
from bertune.shards.shard_file import sha256_of
from bertune.shards.shared_manifest import told_missing
from bertune.shards.store import load_store
from bertune.shards.tfrecord import RecordColumns, read_padded_example
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

_AGAIN = "run `bertune encode` again: it makes what is missing or changed"
_Sized = TypeVar("_Sized", bound=Sized)


@dataclass(frozen=True, eq=False)
class Records:
    """Examples that were encoded before.

    Args:
        encoded: the examples, in the order of files and records. From records, none is marked as truncated: they do
            not say it.
        targets: (examples,) class ids (int64) or values (float32); None without labels.
        example_ids: (examples,) the positions that records give; None where they do not.
        padding_rows: records that only fill up a batch (`is_real_example` 0), which are left out.
    """

    encoded: EncodedExamples
    targets: NDArray[Any] | None
    example_ids: NDArray[np.int64] | None = None
    padding_rows: int = 0

    def __len__(self) -> int:
        return len(self.encoded)

    def values(self, where: Path, target_range: tuple[float, float] | None = None) -> NDArray[np.float32]:
        """Returns the targets of a regression.

        Args:
            where: the examples were read from, for messages.
            target_range: lowest and highest target there may be.

        Returns:
            (examples,) finite numbers.

        Raises:
            DataError: there are no targets, they are class ids, or one is no finite number or out of range; names the
                example.
        """
        targets = self.targets
        if targets is None:
            raise DataError(f"{where} has no labels", hint="encode rows with labels: --label")
        if targets.dtype.kind != "f":
            raise DataError(f"{where}: the labels are integers, a regression needs floats")
        # Bounds as targets are kept: 5.1 is a little more, or less, in float32.
        low, high = np.array(target_range or (-np.inf, np.inf), np.float32)
        refused = np.flatnonzero(~(np.isfinite(targets) & (targets >= low) & (targets <= high)))
        if len(refused):
            row = int(refused[0])
            example = row if self.example_ids is None else int(self.example_ids[row])
            within = "are finite numbers" if target_range is None else f"lie between {low:g} and {high:g}"
            raise DataError(
                f"{where}: example {example}: the target is {targets[row]:g}, but targets {within}",
                hint="mend the row in the table, and run `bertune encode` again",
            )
        return targets.astype(np.float32, copy=False)


def read_records(path: str | os.PathLike[str]) -> Records:
    """Reads TFRecord files of either dialect, or a folder made by `reencode`.

    The features may be called `input_ids`, `input_mask`, `segment_ids` (the lesson's tool) or `input_word_ids`,
    `input_mask`, `input_type_ids` (the later Model Garden), with `label_ids` or `label_id`.

    Args:
        path: a folder, a file, or a pattern such as `data/train-*.tfrecord`. Files are read in the order of their
            names; a folder with a manifest is checked against it.

    Raises:
        ConfigError: nothing is at the path.
        DataError: a record is cut off, damaged, or no encoded example; names file and offset. Or a folder is not as
            its manifest says.

    Example:
        >>> split = bertune.find_splits("glue/MRPC", bertune.glue_task("mrpc"))["train"]
        >>> manifest = bertune.reencode(split, bertune.BertTokenizer("bert/vocab.txt"), "mrpc/train", max_length=64)
        >>> records = bertune.read_records("mrpc/train")
        >>> len(records), records.targets[:3]
        (9, array([0, 0, 0]))
    """
    if is_reencoded(path):
        return read_reencoded(path)[1]
    files = _files_at(str(path))
    columns = RecordColumns()
    for file in files:
        _read_file(file, columns)
    if not len(columns):
        raise DataError(f"{path} holds no records")
    return Records(columns.encoded(), columns.targets(), columns.example_ids(), columns.padding_rows)


def read_reencoded(folder: str | os.PathLike[str]) -> tuple[Manifest, Records]:
    """Reads a folder made by `reencode` and makes sure that it is whole and unchanged.

    Raises:
        DataError: a shard is missing or not what was written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not manifest.complete:
        done, count = len(manifest.shards), manifest.recipe.shard_count
        missing = told_missing(manifest).partition(": ")[2]
        raise DataError(f"{folder}: {done} of {count} shards are finished, missing are {missing}", hint=_AGAIN)

    def read(path: Path) -> Records:
        return _shard_records(path, manifest)

    parts = [read_verified(folder, manifest, number, read) for number in range(manifest.recipe.shard_count)]
    return manifest, _join(parts, manifest.recipe.max_length)


def _files_at(path: str) -> list[Path]:
    if Path(path).is_dir():
        files = sorted(entry for entry in Path(path).iterdir() if entry.is_file() and is_record_file(entry))
    elif Path(path).is_file():
        files = [Path(path)]
    else:
        files = sorted(Path(found) for found in glob(path) if Path(found).is_file())  # noqa: PTH207 (may be absolute)
    if not files:
        raise ConfigError(f"{path}: no record files there", hint="expected a file, a folder or a pattern like x-*")
    return files


def _read_file(file: Path, columns: RecordColumns) -> None:
    for offset, content in read_records_of(file):
        try:
            columns.add(read_padded_example(parse_example(content)))
        except DataError as error:
            raise DataError(f"{file}: record at {offset}: {error.message}", hint=error.hint) from error


def read_verified(folder: Path, manifest: Manifest, number: int, read: Callable[[Path], _Sized]) -> _Sized:
    """Reads one shard and makes sure that it is what was written.

    Args:
        folder: of the shards.
        manifest: of the folder.
        number: of the shard.
        read: gives what is wanted of the file; as long as it has examples.

    Raises:
        DataError: the shard is missing or not what was written; names file and, for records, offset.
    """
    name = manifest.shard_name(number)
    shard = next((shard for shard in manifest.shards if shard.name == name), None)
    path = folder / name
    if shard is None or not path.is_file():
        raise DataError(f"{path} is missing", hint=_AGAIN)
    size = path.stat().st_size
    if size != shard.bytes:
        _explain_size(path, manifest)
        raise DataError(f"{path} has {size:,} bytes, the manifest says {shard.bytes:,}", hint=_AGAIN)
    found = read(path)
    if len(found) != shard.rows or sha256_of(path) != shard.sha256:
        raise DataError(f"{path} is not what was written: its digest differs from the manifest's", hint=_AGAIN)
    return found


def _explain_size(path: Path, manifest: Manifest) -> None:
    """Reads a file of the wrong size, so that a record that is cut off is named by its offset."""
    if manifest.recipe.format == "tfrecord":
        for _ in read_records_of(path):
            pass


def _shard_records(path: Path, manifest: Manifest) -> Records:
    if manifest.recipe.format == "store":
        store = load_store(path)
        return Records(store.encoded, store.labels)
    columns = RecordColumns()
    _read_file(path, columns)
    return Records(columns.encoded(), columns.targets(), columns.example_ids(), columns.padding_rows)


def _join(parts: Sequence[Records], max_length: int) -> Records:
    if len(parts) == 1:
        return parts[0]
    targets = [part.targets for part in parts if part.targets is not None]
    ids = [part.example_ids for part in parts if part.example_ids is not None]
    lengths = np.concatenate([part.encoded.lengths for part in parts])
    encoded = EncodedExamples(
        token_ids=np.concatenate([part.encoded.token_ids for part in parts]),
        offsets=offsets_of(lengths),
        first_lengths=np.concatenate([part.encoded.first_lengths for part in parts]),
        truncated=np.concatenate([part.encoded.truncated for part in parts]),
        max_length=max_length,
    )
    return Records(
        encoded,
        np.concatenate(targets) if len(targets) == len(parts) else None,
        np.concatenate(ids) if len(ids) == len(parts) else None,
        sum(part.padding_rows for part in parts),
    )
