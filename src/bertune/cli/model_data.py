"""Reading data for a model that is already there: its signature says which columns."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bertune.checkpoints.signature import ModelSignature
from bertune.cli.model_source import choose_split, columns_from, missing_columns_named
from bertune.cli.options import DataOptions, refuse_flags
from bertune.data.examples import Examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.sources import read_lines
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.errors import ConfigError
from bertune.evaluation.labelled_rows import LabelledRows, TextRows
from bertune.evaluation.predictor import TokenizedModel
from bertune.shards.manifest import find_reencoded_splits

if TYPE_CHECKING:
    from bertune.evaluation.encoded_folder import ReencodedExamples


def read_for(
    model: TokenizedModel,
    options: DataOptions,
    *,
    require_label: bool,
    label: str | None = None,
    allow_no_label: bool = False,
    kept: KeptColumns | None = None,
) -> tuple[LabelledRows, str | None]:
    """Reads rows for a model; without data, lines on standard input.

    Args:
        model: its signature gives task and columns where they are not named.
        options: what to read.
        require_label: whether each row needs a label.
        label: its column, if not the one of training.
        allow_no_label: whether a row without any of several labels is used.
        kept: takes further columns of each row along.

    Returns:
        The rows, and the split they are where there was a choice.

    Raises:
        ConfigError: a file or column that does not exist, a folder that was encoded for another model, or a flag that
            would have no effect.
        DataError: rows that cannot be used.
    """
    if options.data is None:
        if sys.stdin is None:
            raise ConfigError("standard input is closed", hint="name the texts with --data")
        flags = options.table_flags() | {"split": options.split is not None}
        refuse_flags("without --data, standard input is read", flags)
        return TextRows(read_lines(sys.stdin.buffer, pair=model.signature.is_pair is True)), None
    folders = find_reencoded_splits(options.data)
    if folders:
        refuse_flags(
            f"{options.data} was encoded before",
            options.table_flags()
            | {"label": label is not None, "allow_no_label": allow_no_label, "keep": kept is not None},
        )
        return _read_reencoded(model, options.data, options.split, folders, require_label=require_label)
    if allow_no_label and not model.signature.kind.has_label_sets:
        raise ConfigError("every row has one label in this model's task, so --allow-no-label has no effect")
    examples, split = _read_texts(
        model.signature,
        options,
        options.data,
        label,
        require_label=require_label,
        allow_no_label=allow_no_label,
        kept=kept,
    )
    return TextRows(examples), split


def also_scored(model: TokenizedModel, options: DataOptions, split: str | None) -> str | None:
    """Names the second validation set (MNLI has two) that belongs to the one just read, where there is one."""
    if options.data is None or options.split is not None or split != "validation" or not model.signature.task:
        return None
    second = "validation_mismatched"
    if find_reencoded_splits(options.data):
        return None
    return second if second in find_splits(options.data, glue_task(model.signature.task)) else None


def read_texts_for(model: TokenizedModel, options: DataOptions) -> Examples:
    """Reads texts to predict from the data that the options name; raises as `read_for`."""
    assert options.data is not None
    return _read_texts(model.signature, options, options.data, None, require_label=False, allow_no_label=False)[0]


def _read_reencoded(
    model: TokenizedModel, data: str, wanted: str | None, folders: dict[str, Path], *, require_label: bool
) -> "tuple[ReencodedExamples, str | None]":
    from bertune.evaluation.encoded_folder import ReencodedExamples

    if "" in folders:
        if wanted is not None:
            raise ConfigError(f"{data} is one split, so --split {wanted} has no meaning", hint="leave --split out")
        return ReencodedExamples.read(folders[""], model), None
    name = choose_split(data, list(folders), wanted, require_label=require_label)
    return ReencodedExamples.read(folders[name], model), name


def _read_texts(
    signature: ModelSignature,
    options: DataOptions,
    data: str,
    label: str | None,
    *,
    require_label: bool,
    allow_no_label: bool,
    kept: KeptColumns | None = None,
) -> tuple[Examples, str | None]:
    columns = columns_from(signature, options, label, allow_no_label=allow_no_label)
    task = glue_task(signature.task) if signature.task and columns is None else None
    if columns is None and task is None:
        columns = signature.columns(allow_none=allow_no_label)
    found = find_splits(data, task)
    name = choose_split(data, list(found), options.split, require_label=require_label)
    with missing_columns_named(signature, options, require_label=require_label):
        examples = read_split(
            found[name],
            columns=columns,
            reading=options.read_options().completed_by(signature.reading),
            # Predicting needs no labels, wherever the rows come from.
            require_label=require_label,
            kept=kept,
        )
    return examples, name if len(found) > 1 else None
