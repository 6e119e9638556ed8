"""`bertune encode`: each split in turn, the training split first."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bertune.cli.options import SpreadOptions, refuse_flags
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.data.read_options import ReadOptions
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.system.shard_number import ShardNumber

if TYPE_CHECKING:
    from bertune.data.examples import Task
    from bertune.data.row_source import RowSource
    from bertune.data.splits import Split
    from bertune.shards.manifest import Manifest
    from bertune.system.shard_work import ShardEngine
    from bertune.tokenization.tokenizer_protocol import Tokenizer


@dataclass(frozen=True, kw_only=True)
class EncodeSettings(ReadOptions):
    """What is encoded, by which tokenizer, and where to.

    Args:
        data: a table (CSV, TSV, JSONL, Parquet, Arrow), a folder with train and validation files, a folder prepared by
            tensorflow-datasets, or hf://datasets/…. Several tables are named by 'part-*.csv', or with --data before
            each.
        out: a new folder, or that of an earlier run of the same data and settings, which is then completed. Of data
            with several splits each goes into a folder of its own in it.
        model: whose tokenizer is used: a folder, a name of the hub such as bert-base-uncased, gs://… or https://….
        split: encodes this split alone, into the folder itself.
        task: a GLUE task by name (mrpc, sst2, stsb, …), which knows its columns and labels.
        text_a: column of the text, or of the first text of a pair; name or number from 0.
        text_b: column of the second text of a pair.
        label: column of the label; without it the examples have none.
        kind: classification, or regression for a number as target.
        labels: label words in the order of their ids; by default those of the training data, sorted.
        format: tfrecord, the records of the TensorFlow lesson, or store, flat ids for memory mapping.
        max_length: tokens of an example at most, special tokens included; longer ones are cut and counted.
        long_text: which tokens of longer ones stay: first keeps their beginning, head-tail beginning and end.
        shards: files of each split; by default one, with --shard I/N one for each of the N processes.
        processes: that encode; by default one a core, and this process alone for few rows.
    """

    data: str
    out: Path
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    split: str | None = None
    task: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    kind: Literal["classification", "regression"] = "classification"
    labels: tuple[str, ...] = ()
    format: Literal["tfrecord", "store"] = "tfrecord"
    max_length: int = 128
    long_text: Literal["first", "head-tail", "windows"] = "first"
    shards: int | None = None
    processes: int | None = None


def encode(
    settings: Annotated[EncodeSettings, Parameter(name="*")],
    *,
    spread: Annotated[SpreadOptions, Parameter(name="*")] = SpreadOptions(),  # noqa: B008 (frozen)
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Encode a data set of any size once, into shards that training reads at once.

    Memory does not grow with the data. Finished shards are kept when the command is run again. Several processes make
    one folder together: with --shard 0/4 to --shard 3/4 each of four makes its share of the files, in any order and on
    any machine, and the folder is that of a single process.

    Args:
        settings: what to read and write.
        spread: over processes and machines.
        json: print one JSON document with the manifest of each split.
        quiet: print nothing but the result and errors.
    """
    number = spread.number()
    if spread.engine == "ray":
        if settings.shards is None:
            raise ConfigError("--engine ray spreads files over processes", hint="say how many: --shards 64")
        refuse_flags("a cluster's processes encode", {"processes": settings.processes is not None})
    with spread.open_engine() as engine:
        how = _Encoding(number, engine, keep_quiet if quiet else say, quiet)
        done = _encode_splits(settings, how)
    if json:
        show_json({name: {"folder": str(folder), **manifest.to_dict()} for name, (folder, manifest) in done.items()})
    else:
        show(f"{name}: {manifest.summary()} in {folder}" for name, (folder, manifest) in done.items())


@dataclass(frozen=True)
class _Encoding:
    """Who encodes, and what is told.

    Args:
        number: which process this is; None makes all shards.
        engine: has the shards made; None makes them here.
        tell: told each fact as a line.
        quiet: shows no progress.
    """

    number: ShardNumber | None
    engine: "ShardEngine | None"
    tell: Callable[[str], None]
    quiet: bool

    def shards_of(self, settings: EncodeSettings) -> int:
        """Gives how many files a split gets."""
        if settings.shards is not None:
            return settings.shards
        return 1 if self.number is None else self.number.count


def _encode_splits(settings: EncodeSettings, how: _Encoding) -> "dict[str, tuple[Path, Manifest]]":
    """Encodes what the settings name.

    Args:
        settings: of the command.
        how: see there.

    Returns:
        Split to its folder and manifest.

    Raises:
        BertuneError: any part that cannot work; finished shards stay.
    """
    from bertune.checkpoints.model_files import tokenizer_folder
    from bertune.cli.progress import FetchingProgress
    from bertune.data.examples import LabelSet
    from bertune.data.row_source import RowSource
    from bertune.fetch.resolve import resolve_model
    from bertune.tokenization.read_tokenizer import read_tokenizer

    task = _task(settings)
    splits = _chosen(settings, task)
    with FetchingProgress(enabled=not how.quiet) as progress:
        model = resolve_model(settings.model, on_progress=progress.show)
    tokenizer = read_tokenizer(tokenizer_folder(model))
    done: dict[str, tuple[Path, Manifest]] = {}
    for name, split in splits.items():
        folder = settings.out if len(splits) == 1 else settings.out / name
        source = RowSource(
            split,
            task,
            None if settings.task else task.columns,
            settings.read_options(),
            require_label=None if task.columns.label is not None else False,
        )
        manifest = _encode_one(name, source, tokenizer, folder, settings, how)
        done[name] = folder, manifest
        if task.kind.has_one_label and task.labels is None and manifest.recipe.labels:
            # The labels of the training data are those of all: the ids must mean the same everywhere.
            task = task.with_labels(LabelSet(manifest.recipe.labels))
    return done


def _encode_one(
    name: str,
    source: "RowSource",
    tokenizer: "Tokenizer",
    folder: Path,
    settings: EncodeSettings,
    how: _Encoding,
) -> "Manifest":
    from bertune.cli.progress import EncodingProgress
    from bertune.shards.reencode import Encoding, WhoEncodes, encode_shards
    from bertune.shards.shared_manifest import told_missing

    started = time.perf_counter()
    tell, shards = how.tell, how.shards_of(settings)
    with EncodingProgress(name, enabled=not how.quiet) as progress:
        manifest = encode_shards(
            source,
            tokenizer,
            folder,
            Encoding(settings.format, settings.max_length, settings.long_text, shards),
            WhoEncodes(how.number, how.engine, settings.processes, progress.show),
        )
    for note in manifest.notes:
        tell(note)
    for warning in manifest.warnings:
        tell(f"warning: {warning}")
    if settings.label is not None and not manifest.labelled:
        tell(f"warning: {name}: no column '{settings.label}' in {manifest.source}: encoded without labels")
    if manifest.refused:
        tell(f"warning: {len(manifest.refused):,} rows refused, the first: {manifest.refused[0]}")
    own = range(shards) if how.number is None else how.number.share_of(shards)
    if manifest.kept:
        tell(f"{name}: {len(manifest.kept)} of {len(own)} shards were finished before and are kept")
    kept = {shard.name: shard.rows for shard in manifest.shards if shard.name in manifest.kept}
    written = sum(len(manifest.shard_rows(number)) for number in own) - sum(kept.values())
    seconds = time.perf_counter() - started
    tell(f"{name}: {written:,} rows written in {seconds:.1f} s, {written / seconds:,.0f} rows/s")
    if not manifest.complete:
        tell(f"{name}: {told_missing(manifest)}")
    return manifest


def _task(settings: EncodeSettings) -> "Task":
    from bertune.data.examples import Columns, LabelSet, Task
    from bertune.data.formats.text_files import LABEL_COLUMN, TEXT_COLUMN, holds_texts_at
    from bertune.data.splits import glue_task

    if settings.task is not None:
        if (
            settings.text_a
            or settings.text_b
            or settings.label
            or settings.labels
            or not TaskKind(settings.kind).has_labels
        ):
            raise ConfigError(
                f"task {settings.task!r} knows its columns and labels",
                hint="leave --text-a, --text-b, --label, --labels and --kind out",
            )
        return glue_task(settings.task)
    text_a, label = settings.text_a, settings.label
    if settings.label_file is not None or holds_texts_at(settings.data):
        text_a, label = text_a or TEXT_COLUMN, label or LABEL_COLUMN
    if text_a is None:
        raise ConfigError(
            "the columns are not named: --text-a and --label (and --text-b for pairs) are needed",
            hint="see the columns with `bertune inspect DATA`, or name a GLUE task with --task",
        )
    if settings.labels and label is None:
        raise ConfigError("--labels names the labels of a column that is not named", hint="name it with --label")
    labels = LabelSet(settings.labels) if settings.labels else None
    columns = Columns(text_a, settings.text_b, label)
    return Task.for_columns(columns, kind=settings.kind, labels=labels)


def _chosen(settings: EncodeSettings, task: "Task") -> "dict[str, Split]":
    from bertune.data.splits import find_splits

    found = find_splits(settings.data, task)
    if settings.split is None:
        return found
    if settings.split not in found:
        raise ConfigError(f"{settings.data}: no split {settings.split!r}; there are {', '.join(found)}")
    return {settings.split: found[settings.split]}
