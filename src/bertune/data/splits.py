"""Finds the splits of a GLUE task, of a folder of the user's own or of a hub data set, and reads them.

The tasks (`TASKS`, `GlueTask`, `glue_task`) and `Split` can be imported from here.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertune.data.examples import Columns, Examples, Task, join_examples
from bertune.data.formats import hub_datasets as hub
from bertune.data.formats.text_files import TextFolderTable
from bertune.data.frames import column_names, read_frame
from bertune.data.glue_tasks import TASKS, GlueTask, glue_task
from bertune.data.kept_columns import KeptColumns
from bertune.data.missing_path import near_path
from bertune.data.mrpc import read_mrpc
from bertune.data.read_options import ReadOptions
from bertune.data.several_names import names_in
from bertune.data.sources import collect_chunks
from bertune.data.split_files import (
    SPLIT_NAMES,
    Split,
    group_by_split,
    split_name_of,
    splits_in_folder,
    splits_of_texts,
)
from bertune.data.table import Table, has_column, pick_columns
from bertune.data.table_opening import open_table
from bertune.data.tfds import TfdsTable, tfds_splits
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import shorten

__all__ = ["TASKS", "GlueTask", "Split", "find_splits", "glue_task", "read_split", "stream_split"]

_GLOB = frozenset("*?[")

_UNLABELLED = "-1"
"""Label that `nyu-mll/glue` writes into test rows, whose labels are secret."""


def find_splits(data: str | Path, task: Task | None = None) -> dict[str, Split]:
    """Finds the files of train, validation and test.

    A GLUE task is looked for under its original names and its hub names, in the folder itself and in its subfolders
    ``MRPC``, ``mrpc``, ``glue/MRPC`` and so on. Other data lie in ``train``, ``validation`` (or ``dev``, ``valid``,
    ``val``) and ``test`` files of any format, or in folders of these names with a folder of text files for each label.
    A folder prepared by tensorflow-datasets (``glue/mrpc/2.0.0``, or a folder of such versions, of which the highest is
    taken) is read as it stands. An address ``hf://datasets/OWNER/NAME[/CONFIG]`` names a data set on the hub. A single
    file is one split, named by its stem, or else ``train``. A name with ``*`` or ``?`` in it stands for all files that
    match, which are one split; ``{a.csv,b.csv}`` for all that is named in it, each looked for by itself: what is the
    same split is read as one, in this order.

    Args:
        data: a folder, a file, or an address.
        task: the task to look for.

    Returns:
        The splits found, train first: train, validation, test, for MNLI also validation_mismatched and test_mismatched.

    Raises:
        ConfigError: nothing is at the path, or two files could be the same split.
        DataError: no split is found, or a part of one is missing.

    Example:
        >>> list(bertune.find_splits("examples/data"))
        ['train', 'validation', 'test']
    """
    path = Path(data)
    several = names_in(str(data))
    if len(several) > 1 and not path.exists():
        return _joined(several, task)
    if str(data).startswith(hub.SCHEME):
        return _hub_splits(str(data), task)
    if not path.exists() and _GLOB.intersection(path.name):
        return _matching(path, task)
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist", hint=near_path(path) or f"expected a file or a folder, looked from {Path.cwd()}"
        )
    if not path.is_dir():
        name = split_name_of(path)
        return {name: Split(name, (path,), task)}
    folders = [path]
    if isinstance(task, GlueTask):
        names = (task.folder, task.name)
        folders += [parent / name for parent in (path, path / "glue", path / "glue_data") for name in names]
    for folder in folders:
        if folder.is_dir():
            found = tfds_splits(folder, task) or splits_in_folder(folder, task)
            if not found and not isinstance(task, GlueTask):  # whose own folders may hold files of any name
                found = splits_of_texts(folder, task)
            if found:
                return found
    wanted = f"the files of {task.name} (train.tsv, dev.tsv, …)" if isinstance(task, GlueTask) else "train.csv or alike"
    raise DataError(
        f"no data found in {', '.join(str(folder) for folder in folders if folder.is_dir())}: expected {wanted}",
        hint="files are called train, validation (or dev) and test, ending in .csv, .tsv, .jsonl, .parquet, .xlsx and "
        "so on; or folders with a folder of .txt files for each label",
    )


def _joined(names: list[str], task: Task | None) -> dict[str, Split]:
    """Finds the splits of each name, and joins those that are the same."""
    found: dict[str, Split] = {}
    for name in names:
        for split, files in find_splits(name, task).items():
            if files.hub is not None or files.mrpc is not None or files.tfds is not None:
                raise ConfigError(
                    f"{name} is no table, and cannot be read together with others", hint="give it as the only --data"
                )
            before = found.get(split)
            if before is not None and before.header != files.header:
                raise ConfigError(f"{name} has its columns named otherwise than {before}", hint="give only one of them")
            twice = next((path for path in files.paths if before is not None and path in before.paths), None)
            if twice is not None:
                raise ConfigError(f"{twice} is named twice", hint="name it once")
            found[split] = files if before is None else replace(before, paths=before.paths + files.paths)
    return {split: found[split] for split in SPLIT_NAMES if split in found}


def _matching(pattern: Path, task: Task | None) -> dict[str, Split]:
    """Takes all files whose names match a pattern as one split, in the order of their names."""
    paths = tuple(sorted(path for path in pattern.parent.glob(pattern.name) if path.is_file()))
    if not paths:
        raise ConfigError(f"no file matches {pattern}", hint=f"looked in {pattern.parent.absolute()}")
    return {"train": Split("train", paths, task)}


def read_split(
    split: Split,
    *,
    columns: Columns | None = None,
    reading: ReadOptions | None = None,
    require_label: bool | None = None,
    kept: KeptColumns | None = None,
) -> Examples:
    """Reads a split that `find_splits` found.

    For a GLUE task the labels become its label words, whether the files hold words or numbers.

    Args:
        split: the split.
        columns: where texts and label are; needed unless the split knows its task.
        reading: how the files are read.
        require_label: as for `read_examples`; by default labels may be missing in test splits alone.
        kept: takes further columns of each row along.

    Raises:
        ConfigError: the columns are not known or not there.
        DataError: the files cannot be used, or a label or target is none of the task's.

    Example:
        >>> splits = bertune.find_splits("examples/data")
        >>> examples = bertune.read_split(splits["test"], columns=bertune.Columns("question1", "question2", "label"))
        >>> examples
        Examples(150 pairs of examples/data/test.csv with labels)
    """
    if columns is None and split.task is None:
        raise ConfigError(
            f"{split}: which columns hold texts and label is not known", hint="name the columns or the task"
        )
    required = not split.is_for_testing if require_label is None else require_label
    parts = _parts(split, columns, reading or ReadOptions(), required, None, kept)
    examples = join_examples(list(parts), str(split))
    return _in_words(examples, split.task, required) if isinstance(split.task, GlueTask) else examples


def stream_split(
    split: Split,
    *,
    columns: Columns | None = None,
    reading: ReadOptions | None = None,
    require_label: bool | None = None,
    rows_per_chunk: int = 2048,
    kept: KeptColumns | None = None,
) -> Iterator[Examples]:
    """Reads a split as `read_split` does, a chunk at a time, so that memory does not grow with the files.

    Args:
        split: as for `read_split`, like all others but `rows_per_chunk`.
        columns: where texts and label are.
        reading: how the files are read.
        require_label: whether each row needs one.
        rows_per_chunk: examples in a chunk at most.
        kept: takes further columns along; who reads lets it forget them, chunk by chunk.

    Yields:
        Examples in order, each chunk with the account of its own rows. Chunks may be empty.

    Raises:
        ConfigError: as for `read_split`.
        DataError: as for `read_split`.
    """
    if columns is None and split.task is None:
        raise ConfigError(
            f"{split}: which columns hold texts and label is not known", hint="name the columns or the task"
        )
    required = not split.is_for_testing if require_label is None else require_label
    for part in _parts(split, columns, reading or ReadOptions(), required, rows_per_chunk, kept):
        yield _in_words(part, split.task, required) if isinstance(split.task, GlueTask) else part


def _parts(
    split: Split,
    columns: Columns | None,
    reading: ReadOptions,
    required: bool,
    rows_per_chunk: int | None,
    kept: KeptColumns | None = None,
) -> Iterator[Examples]:
    """Reads the files of a split in order; labels are still words or numbers as the files have them."""
    if split.frame is not None:
        if kept is not None:
            raise ConfigError(f"{split} is no file, so no columns can be kept")
        chosen = columns or _columns_for(column_names(split.frame), split)
        yield read_frame(split.frame, chosen, name=f"{split}", reading=reading, require_label=required)
        return
    paths = list(split.paths)
    shown = [str(path) for path in paths]
    if split.hub is not None:
        paths = hub.download(split.hub)
        shown = [split.hub.shown(file) for file in split.hub.files]
    if kept is not None and (split.mrpc is not None or split.tfds is not None):
        raise ConfigError(f"{split} is no plain table, so no columns can be kept", hint="leave --keep out")
    for path, name in zip(paths, shown, strict=True):
        if split.mrpc is not None and split.task is not None:
            yield from read_mrpc(
                path, columns or split.task.columns, split.mrpc, reading=reading, rows_per_chunk=rows_per_chunk
            )
            continue
        table: Table
        if split.tfds is not None:
            table = TfdsTable(path, name, split.tfds)
        else:
            wanted = columns or (None if isinstance(split.task, GlueTask) or split.task is None else split.task.columns)
            table = open_table(path, reading, header=split.header, columns=wanted, shown=name)
        chosen = columns or _columns_for(table, split)
        picks = pick_columns(table, chosen, require_label=required)
        chunks = collect_chunks(
            table if kept is None else kept.watch(table),
            picks,
            reading=reading,
            require_label=required,
            several=chosen.several,
            rows_per_chunk=rows_per_chunk,
        )
        if isinstance(table, TextFolderTable):
            chunks = map(table.in_files, chunks)
        yield from chunks if len(paths) == 1 else _counted(chunks)


def _counted(chunks: Iterator[Examples]) -> Iterator[Examples]:
    """Adds to the account of the last chunk of one of several files how many rows of the file were used."""
    used = rows = 0
    before: Examples | None = None
    for chunk in chunks:
        if before is not None:
            yield before
        before = chunk
        used, rows = used + chunk.report.rows_used, rows + chunk.report.rows_in
    if before is not None:
        report = before.report
        note = f"{report.path}: {used:,} of {rows:,} rows used"
        yield replace(before, report=replace(report, notes=[note, *report.notes]))


def _columns_for(table: Table | tuple[str, ...], split: Split) -> Columns:
    """Chooses between the columns of the original files and those of the hub by what the table has."""
    task = split.task
    assert task is not None
    if not isinstance(task, GlueTask):
        return task.columns
    if not isinstance(table, tuple) and table.names is None and task.headless_columns is not None:
        return task.headless_columns

    def has(column: str | int | None) -> bool:
        return column is None or (column in table if isinstance(table, tuple) else has_column(table, column))

    for candidate in (task.columns, task.hub_columns):
        if all(has(column) for column in (candidate.text_a, candidate.text_b, candidate.label)):
            return candidate
    # A file without labels: its texts alone must be there.
    for candidate in (task.columns, task.hub_columns):
        if all(has(column) for column in (candidate.text_a, candidate.text_b)):
            return candidate
    return task.columns


def _in_words(examples: Examples, task: GlueTask, require_label: bool) -> Examples:
    """Writes labels as the words of the task and checks targets, or drops the placeholders of secret labels."""
    if examples.labels is None:
        return examples
    if not require_label and all(word == _UNLABELLED for word in examples.labels):
        return replace(examples, labels=None)
    if task.labels is None:
        examples.targets(task.target_range)
        return examples
    words = task.label_words()
    for row, word in enumerate(examples.labels):
        if word not in words:
            known = ", ".join(f"'{name}'" for name in words)
            raise DataError(
                f"{examples.where(row)}: label '{shorten(word)}' is not one of {known}",
                hint=f"these are the labels of {task.name}",
            )
    return replace(examples, labels=[words[word] for word in examples.labels])


def _hub_splits(address: str, task: Task | None) -> dict[str, Split]:
    source = hub.parse_address(address)
    if source.config is None and isinstance(task, GlueTask):
        source = replace(source, config=task.name)
    source, files, offline = hub.list_parquet_files(source)
    found = group_by_split(files, str(source))
    if not found:
        raise DataError(f"{source}: none of its {len(files)} Parquet files is called train, validation or test")
    return {
        name: Split(name, (), task, hub=hub.HubFiles(source, tuple(names), offline)) for name, names in found.items()
    }
