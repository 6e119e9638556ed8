"""A data set of any size, encoded once into shards of records or of the project's own store."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from bertune.data.row_source import RowSource
from bertune.data.splits import Split
from bertune.errors import ConfigError, DataError
from bertune.shards.chunk_encoding import Chunk, ChunkEncoder, EncodedChunk
from bertune.shards.encode_worker import EncoderProcesses
from bertune.shards.manifest import (
    MANIFEST_NAME,
    NO_WINDOWS,
    SUFFIX_OF,
    Manifest,
    Recipe,
    Shard,
    ShardFormat,
    check_same_recipe,
    is_reencoded,
    read_manifest,
    write_manifest,
)
from bertune.shards.shard_file import ShardFile, sha256_of
from bertune.shards.survey import RowsDigest, Survey, pieces_of, targets_of
from bertune.system.atomic import remove_leftovers
from bertune.system.folder_lock import only_run_in
from bertune.system.processors import usable_processors
from bertune.tokenization.long_texts import LongText, checked_stride
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.tokenization.truncation import check_max_length

_ROWS_PER_CHUNK: Final = 1024
_ROWS_WORTH_A_PROCESS: Final = 10_000


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
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Encodes a data set of any size at constant memory.

    The rows are read twice: once to count them and their labels, once to encode. Shards hold the rows one stretch after
    another, in the order of the source, with bytes that do not depend on the number of processes. Each is written under
    a temporary name; the manifest lists those that are finished. Run again, it keeps every finished shard whose content
    is what was written and makes the others.

    Args:
        source: the rows; a split that knows its task will do.
        tokenizer: makes the ids.
        out: a folder, new or of an earlier run of the same data and settings.
        format: `tfrecord`, the lesson's records, or `store`, flat ids for memory mapping.
        max_length: at most so many tokens an example, special tokens counted.
        long_text: what becomes of longer ones, `first` or `head-tail`; see `encode_examples`.
        shards: how many files.
        processes: that encode; None takes one for each core, and this process alone for few rows.
        on_progress: told after every chunk.

    Returns:
        What the folder holds; `kept` names the shards that were finished before.

    Raises:
        ConfigError: a setting that cannot work, or a folder with something else in it.
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
    rows = source if isinstance(source, RowSource) else RowSource.of(source)
    tell = on_progress or (lambda _: None)
    _check_settings(format, shards, processes, long_text)
    folder = _prepare_folder(Path(out))
    with only_run_in(folder):
        remove_leftovers(folder)
        survey = Survey(rows, _ROWS_PER_CHUNK, lambda count: tell(ReencodeProgress("reading", count, None)))
        template, is_pair = tokenizer.template, survey.is_pair
        check_max_length(max_length, template=template, pairs=is_pair)
        checked_stride(long_text, None, template=template, max_length=max_length, pairs=is_pair)
        if shards > survey.rows:
            raise ConfigError(f"{shards} shards for {survey.rows} rows", hint="use fewer --shards")
        manifest = _plan(rows, survey, tokenizer, format, max_length, shards, long_text)
        manifest = _keep_finished(folder, manifest)
        missing = [number for number in range(shards) if manifest.shard_name(number) not in manifest.kept]
        if missing:
            encoder = ChunkEncoder(tokenizer, max_length, format, long_text)
            todo = sum(len(manifest.shard_rows(number)) for number in missing)
            chunks = _Chunks(folder, rows, survey, manifest, missing)
            with _encoded(chunks, encoder, _process_count(processes, todo)) as results:
                manifest = _write_missing(chunks, results, todo, tell)
    return manifest


def _check_settings(format: str, shards: int, processes: int | None, long_text: LongText) -> None:
    if long_text == "windows":
        raise ConfigError("windows cannot be encoded beforehand", hint=NO_WINDOWS)
    if format not in SUFFIX_OF:
        raise ConfigError(f"format must be one of {', '.join(SUFFIX_OF)}, not {format!r}")
    for name, value in {"shards": shards, "processes": processes}.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")


def _prepare_folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, expected a folder to write into")
    if folder.is_dir() and not is_reencoded(folder):
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if others:
            raise ConfigError(
                f"{folder} holds something else: {', '.join(sorted(others)[:3])}", hint="write into a new folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _plan(
    rows: RowSource,
    survey: Survey,
    tokenizer: Tokenizer,
    format: ShardFormat,
    max_length: int,
    shards: int,
    long_text: LongText,
) -> Manifest:
    columns = rows.columns or rows.task.columns
    if rows.task.kind.has_label_sets:
        raise ConfigError("rows with several labels cannot be re-encoded", hint="train on the table itself")
    recipe = Recipe(
        format=format,
        shard_count=shards,
        max_length=max_length,
        tokenizer_digest=tokenizer.digest,
        rows_digest=survey.rows_digest,
        task=rows.task.name,
        kind="classification" if rows.task.kind.has_labels else "regression",
        labels=() if survey.labels is None else survey.labels.names,
        is_pair=survey.is_pair,
        long_text=long_text,
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


def _keep_finished(folder: Path, manifest: Manifest) -> Manifest:
    """Takes over the shards of an earlier run whose content is still what was written, in their order."""
    if not is_reencoded(folder):
        write_manifest(manifest, folder)
        return manifest
    earlier = read_manifest(folder)
    check_same_recipe(folder, earlier.recipe, manifest.recipe)
    known = {shard.name: shard for shard in earlier.shards}
    for number in range(manifest.recipe.shard_count):
        shard = known.get(manifest.shard_name(number))
        if shard is not None and _is_as_written(folder, shard):
            manifest = manifest.with_shard(shard)
    manifest = replace(manifest, kept=tuple(shard.name for shard in manifest.shards))
    write_manifest(manifest, folder)
    return manifest


def _is_as_written(folder: Path, shard: Shard) -> bool:
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.bytes and sha256_of(path) == shard.sha256


def _process_count(processes: int | None, rows: int) -> int:
    if processes is not None:
        return processes
    return max(1, min(usable_processors(), rows // _ROWS_WORTH_A_PROCESS))


@dataclass(frozen=True)
class _Chunks:
    """The rows of the missing shards, read a second time."""

    folder: Path
    rows: RowSource
    survey: Survey
    manifest: Manifest
    missing: list[int]
    digest: RowsDigest = field(default_factory=RowsDigest)

    def __iter__(self) -> Iterator[Chunk]:
        """Gives them in order, no chunk across the end of a shard."""
        manifest, survey = self.manifest, self.survey
        wanted = [manifest.shard_rows(number) for number in self.missing]
        boundaries = [manifest.shard_rows(number).start for number in range(manifest.recipe.shard_count)]
        row = 0
        for examples in self.rows.chunks(_ROWS_PER_CHUNK):
            if not len(examples):
                continue
            self.digest.add(examples)
            for start, piece in pieces_of(examples, row, boundaries):
                if any(start in stretch for stretch in wanted):
                    targets = targets_of(piece, survey.labels, labelled=survey.labelled)
                    yield Chunk(piece.texts_a, piece.texts_b, targets, start)
            row += len(examples)

    def changed(self) -> DataError:
        # Shards may hold rows of both states; without the manifest none of them is taken for finished.
        (self.folder / MANIFEST_NAME).unlink(missing_ok=True)
        hint = "delete the folder, and encode again when it is still"
        return DataError(f"{self.rows} changed while it was read", hint=hint)


@contextlib.contextmanager
def _encoded(chunks: _Chunks, encoder: ChunkEncoder, processes: int) -> Iterator[Iterator[EncodedChunk]]:
    if processes == 1:
        yield map(encoder, chunks)
        return
    with EncoderProcesses(encoder, processes) as workers:
        yield workers.map(iter(chunks))


def _write_missing(chunks: _Chunks, results: Iterator[EncodedChunk], todo: int, tell: OnProgress) -> Manifest:
    manifest, folder = chunks.manifest, chunks.folder
    done = 0
    for number in chunks.missing:
        with ShardFile(folder, manifest.shard_name(number), manifest) as file:
            while file.rows < len(manifest.shard_rows(number)):
                result = next(results, None)
                if result is None:
                    raise chunks.changed()
                file.add(result)
                done += result.rows
                tell(ReencodeProgress("encoding", done, todo))
            shard = file.finish()
        manifest = _in_order(manifest.with_shard(shard))
        write_manifest(manifest, folder)
    for _ in results:
        raise chunks.changed()
    if chunks.digest.hexdigest() != manifest.recipe.rows_digest:
        raise chunks.changed()
    return manifest


def _in_order(manifest: Manifest) -> Manifest:
    return replace(manifest, shards=tuple(sorted(manifest.shards, key=lambda shard: shard.name)))
