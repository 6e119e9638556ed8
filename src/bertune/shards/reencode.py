"""A data set of any size, encoded once into shards of records or of the project's own store."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bertune.data.row_source import RowSource, stamp_of
from bertune.data.splits import Split
from bertune.errors import ConfigError
from bertune.shards.chunk_encoding import ChunkEncoder
from bertune.shards.encoding_job import EncodingJob, is_as_written
from bertune.shards.manifest import (
    NO_WINDOWS,
    SUFFIX_OF,
    Manifest,
    Recipe,
    Shard,
    ShardFormat,
    check_same_recipe,
    is_reencoded,
    read_manifest,
)
from bertune.shards.shared_manifest import publish
from bertune.shards.shared_parts import SharedReading, digest_of, only_process_in
from bertune.shards.survey import FileSurvey, Survey, survey_file
from bertune.system.atomic import remove_leftovers
from bertune.system.shard_number import ShardNumber
from bertune.system.shard_work import ShardEngine
from bertune.tokenization.long_texts import LongText, checked_stride
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.tokenization.truncation import check_max_length


@dataclass(frozen=True)
class ReencodeProgress:
    """How far a run is.

    Args:
        stage: `reading` counts rows and labels, `encoding` writes shards.
        rows: done in this stage.
        total: rows of this stage; None while they are still counted.
    """

    stage: Literal["reading", "encoding"]
    rows: int
    total: int | None


OnProgress = Callable[[ReencodeProgress], None]


def reencode(  # noqa: PLR0913 (a name of the lesson)
    source: RowSource | Split,
    tokenizer: Tokenizer,
    out: str | os.PathLike[str],
    *,
    format: ShardFormat = "tfrecord",
    max_length: int = 128,
    long_text: LongText = "first",
    shards: int = 1,
    shard: str | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Encodes a data set of any size at constant memory.

    The rows are read twice: once to count them and their labels, once to encode. Shards hold the rows one stretch after
    another, in the order of the source, with bytes that do not depend on the number of processes. Each is written under
    a temporary name; the manifest lists those that are finished. Run again, it keeps every finished shard whose content
    is what was written and makes the others.

    Several processes, on one machine or many, make one folder together where each is given its `shard`: the files are
    those of one process that makes all. What one of them has found in a file of the source the others need not read.

    Args:
        source: the rows; a split that knows its task will do.
        tokenizer: makes the ids.
        out: a folder, new or of an earlier run of the same data and settings.
        format: `tfrecord`, the lesson's records, or `store`, flat ids for memory mapping.
        max_length: at most so many tokens an example, special tokens counted.
        long_text: what becomes of longer ones, `first` or `head-tail`; see `encode_examples`.
        shards: how many files.
        shard: ``I/N``, I from 0: makes only the files of this process, the I-th of N; None makes all.
        processes: that encode; None takes one for each core, and this process alone for few rows.
        on_progress: told after every chunk.

    Returns:
        What the folder holds; `kept` names the shards that were finished before, of this process's own.

    Raises:
        ConfigError: a setting that cannot work, a folder with something else in it, or another process is at it.
        DataError: a row cannot be used; names file and line.
        ResourceError: the disk is full, or a process died.

    Example:
        >>> columns = bertune.Columns("question1", "question2", "label")
        >>> split = bertune.find_splits("examples/data")["test"]
        >>> source = bertune.RowSource(split, bertune.Task.for_columns(columns), columns)
        >>> manifest = bertune.reencode(source, bertune.BertTokenizer("bert/vocab.txt"), "encoded/test", max_length=64)
        >>> len(bertune.read_records("encoded/test"))
        150
    """
    settings = Encoding(format, max_length, long_text, shards)
    who = WhoEncodes(None if shard is None else ShardNumber.parse(shard), None, processes, on_progress)
    return encode_shards(source, tokenizer, Path(out), settings, who)


@dataclass(frozen=True)
class Encoding:
    """What a data set is encoded to; see `reencode`."""

    format: ShardFormat = "tfrecord"
    max_length: int = 128
    long_text: LongText = "first"
    shards: int = 1


@dataclass(frozen=True)
class WhoEncodes:
    """Who encodes a data set, and who is told.

    Args:
        shard: which process this is; None makes all files.
        engine: has other processes make them, such as those of a cluster; None makes them here.
        processes: see `reencode`.
        on_progress: told after every chunk.
    """

    shard: ShardNumber | None = None
    engine: ShardEngine | None = None
    processes: int | None = None
    on_progress: OnProgress | None = None


def encode_shards(
    source: RowSource | Split, tokenizer: Tokenizer, folder: Path, settings: Encoding, who: WhoEncodes
) -> Manifest:
    """Encodes a data set, or this process's share of it; see `reencode`."""
    rows = source if isinstance(source, RowSource) else RowSource.of(source)
    tell = who.on_progress or (lambda _: None)
    format, max_length, long_text, shards = settings.format, settings.max_length, settings.long_text, settings.shards
    shard, engine = who.shard, who.engine
    _check_settings(format, shards, who.processes, long_text)
    if shard is not None:
        shard.check(shards)
    _prepare_folder(folder)
    is_shared = shard is not None or engine is not None
    with only_process_in(folder, shard, is_shared=is_shared):
        if not is_shared:
            remove_leftovers(folder)
        stamps = tuple(stamp_of(file) for file in rows.files())
        survey = _survey(rows, folder if is_shared else None, engine, tell)
        template, is_pair = tokenizer.template, survey.is_pair
        check_max_length(max_length, template=template, pairs=is_pair)
        checked_stride(long_text, None, template=template, max_length=max_length, pairs=is_pair)
        if shards > survey.rows:
            raise ConfigError(f"{shards} shards for {survey.rows} rows", hint="use fewer --shards")
        encoder = ChunkEncoder(tokenizer, max_length, format, long_text)
        numbers = range(shards) if shard is None else shard.share_of(shards)
        plan = _keep_finished(folder, _plan(rows, survey, encoder, shards), numbers, is_shared=is_shared)
        missing = [number for number in numbers if plan.shard_name(number) not in plan.kept]
        if not missing:
            return plan
        job = EncodingJob(folder, rows, survey, stamps, plan, encoder, is_shared)
        if engine is not None:
            return _written_by(engine, job, missing, tell)
        return job.write(
            missing,
            processes=who.processes,
            on_rows=lambda done, todo: tell(ReencodeProgress("encoding", done, todo)),
        )


def _survey(rows: RowSource, folder: Path | None, engine: ShardEngine | None, tell: OnProgress) -> Survey:
    """Reads all files; with a folder that several processes make, only those that no other has read."""
    count = 0

    def count_rows(more: int) -> None:
        nonlocal count
        count += more
        tell(ReencodeProgress("reading", count, None))

    files = rows.files()
    if folder is None:
        return Survey(rows, [survey_file(file, count_rows) for file in files])
    reading: SharedReading[FileSurvey] = SharedReading(folder, FileSurvey, _about(rows))
    if engine is None or len(files) == 1:
        return Survey(rows, reading.all_of(files, lambda file: survey_file(file, count_rows)))
    found: dict[int, FileSurvey] = {}
    engine.run(reading.work(files, survey_file), range(len(files)), found.__setitem__)
    return Survey(rows, [found[place] for place in range(len(files))])


def _about(rows: RowSource) -> str:
    """A digest of what decides how a file is surveyed, beside the file."""
    task = rows.task
    labels = () if task.labels is None else task.labels.names
    columns = rows.columns or task.columns
    split = (rows.split.name, rows.split.header)
    return digest_of(
        [repr(part) for part in (*split, task.name, task.kind, labels, columns, rows.reading, rows.require_label)]
    )


def _written_by(engine: ShardEngine, job: EncodingJob, numbers: Sequence[int], tell: OnProgress) -> Manifest:
    todo = sum(len(job.plan.shard_rows(number)) for number in numbers)
    made: list[Shard] = []

    def on_done(_: int, shard: Shard) -> None:
        made.append(shard)
        tell(ReencodeProgress("encoding", sum(shard.rows for shard in made), todo))

    engine.run(job, numbers, on_done)
    others = (shard for shard in job.plan.shards if shard.name not in {shard.name for shard in made})
    return publish(job.plan.with_shards((*others, *made)), job.folder)


def _check_settings(format: str, shards: int, processes: int | None, long_text: LongText) -> None:
    if long_text == "windows":
        raise ConfigError("windows cannot be encoded beforehand", hint=NO_WINDOWS)
    if format not in SUFFIX_OF:
        raise ConfigError(f"format must be one of {', '.join(SUFFIX_OF)}, not {format!r}")
    for name, value in {"shards": shards, "processes": processes}.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")


def _prepare_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, expected a folder to write into")
    if folder.is_dir() and not is_reencoded(folder):
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if others:
            raise ConfigError(
                f"{folder} holds something else: {', '.join(sorted(others)[:3])}", hint="write into a new folder"
            )
    folder.mkdir(parents=True, exist_ok=True)


def _plan(rows: RowSource, survey: Survey, encoder: ChunkEncoder, shards: int) -> Manifest:
    columns = rows.columns or rows.task.columns
    if rows.task.kind.has_label_sets:
        raise ConfigError("rows with several labels cannot be re-encoded", hint="train on the table itself")
    recipe = Recipe(
        format=encoder.format,
        shard_count=shards,
        max_length=encoder.max_length,
        tokenizer_digest=encoder.tokenizer.digest,
        rows_digest=survey.rows_digest,
        task=rows.task.name,
        kind="classification" if rows.task.kind.has_labels else "regression",
        labels=() if survey.labels is None else survey.labels.names,
        is_pair=survey.is_pair,
        long_text=encoder.long_text,
    )
    return Manifest(
        recipe=recipe,
        source=str(rows),
        columns={"text_a": columns.text_a, "text_b": columns.text_b, "label": columns.label},
        rows=survey.rows,
        rows_in=survey.rows_in,
        rows_other_split=survey.rows_other_split,
        blank_texts=survey.blank_texts,
        labelled=survey.labelled,
        label_counts=survey.label_counts,
        refused=tuple(survey.refused),
        warnings=survey.warnings,
        notes=survey.notes,
    )


def _keep_finished(folder: Path, plan: Manifest, numbers: Sequence[int], *, is_shared: bool) -> Manifest:
    """Takes over the shards of earlier runs: this process's own if their content is still what was written."""
    if not is_reencoded(folder):
        if is_shared:
            return publish(plan, folder)
        plan.write(folder)
        return plan
    earlier = read_manifest(folder)
    check_same_recipe(folder, earlier.recipe, plan.recipe)
    own = {plan.shard_name(number) for number in numbers}
    others = [shard for shard in earlier.shards if shard.name not in own]
    kept = [shard for shard in earlier.shards if shard.name in own and is_as_written(folder, shard)]
    manifest = replace(plan.with_shards((*others, *kept)), kept=tuple(shard.name for shard in kept))
    if is_shared:
        return publish(manifest, folder)
    manifest.write(folder)
    return manifest
