"""The work of `bertune encode`: each split in turn, the training split first."""

import time
from collections.abc import Callable
from pathlib import Path

from bertune.checkpoints.model_files import tokenizer_folder
from bertune.cli.encode_settings import EncodeSettings
from bertune.cli.progress import EncodingProgress, FetchingProgress
from bertune.data.examples import Columns, LabelSet, Task
from bertune.data.formats.text_files import LABEL_COLUMN, TEXT_COLUMN, holds_texts_at
from bertune.data.row_source import RowSource
from bertune.data.splits import Split, find_splits, glue_task
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.fetch.resolve import resolve_model
from bertune.shards.manifest import Manifest
from bertune.shards.reencode import reencode
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer


def encode_splits(
    settings: EncodeSettings, *, say: Callable[[str], None], quiet: bool
) -> dict[str, tuple[Path, Manifest]]:
    """Encodes what the settings name.

    Args:
        settings: of the command.
        say: told each fact as a line.
        quiet: shows no progress.

    Returns:
        Split to its folder and manifest.

    Raises:
        BertuneError: any part that cannot work; finished shards stay.
    """
    task = _task(settings)
    splits = _chosen(settings, task)
    with FetchingProgress(enabled=not quiet) as progress:
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
        manifest = _encode_one(name, source, tokenizer, folder, settings, say=say, quiet=quiet)
        done[name] = folder, manifest
        if task.kind.has_one_label and task.labels is None and manifest.recipe.labels:
            # The labels of the training data are those of all: the ids must mean the same everywhere.
            task = task.with_labels(LabelSet(manifest.recipe.labels))
    return done


def _encode_one(
    name: str,
    source: RowSource,
    tokenizer: Tokenizer,
    folder: Path,
    settings: EncodeSettings,
    *,
    say: Callable[[str], None],
    quiet: bool,
) -> Manifest:
    started = time.perf_counter()
    with EncodingProgress(name, enabled=not quiet) as progress:
        manifest = reencode(
            source,
            tokenizer,
            folder,
            format=settings.format,
            max_length=settings.max_length,
            long_text=settings.long_text,
            shards=settings.shards,
            processes=settings.processes,
            on_progress=progress.show,
        )
    for note in manifest.notes:
        say(note)
    for warning in manifest.warnings:
        say(f"warning: {warning}")
    if settings.label is not None and not manifest.labelled:
        say(f"warning: {name}: no column '{settings.label}' in {manifest.source}: encoded without labels")
    if manifest.refused:
        say(f"warning: {len(manifest.refused):,} rows refused, the first: {manifest.refused[0]}")
    if manifest.kept:
        say(f"{name}: {len(manifest.kept)} of {settings.shards} shards were finished before and are kept")
    written = manifest.rows - sum(shard.rows for shard in manifest.shards if shard.name in manifest.kept)
    seconds = time.perf_counter() - started
    say(f"{name}: {written:,} rows written in {seconds:.1f} s, {written / seconds:,.0f} rows/s")
    return manifest


def _task(settings: EncodeSettings) -> Task:
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


def _chosen(settings: EncodeSettings, task: Task) -> dict[str, Split]:
    found = find_splits(settings.data, task)
    if settings.split is None:
        return found
    if settings.split not in found:
        raise ConfigError(f"{settings.data}: no split {settings.split!r}; there are {', '.join(found)}")
    return {settings.split: found[settings.split]}
