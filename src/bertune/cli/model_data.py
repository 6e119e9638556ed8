"""Reading data for a model that is already there: its signature says which columns."""

import sys
from dataclasses import replace
from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.cli.options import DataOptions, refuse_flags
from bertune.data.examples import Columns, Examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.sources import read_lines
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.data.table import NoColumnError
from bertune.errors import ConfigError, DataError
from bertune.evaluation.encoded_folder import ReencodedExamples
from bertune.evaluation.labelled_rows import LabelledRows, TextRows
from bertune.shards.manifest import find_reencoded_splits


def read_for(
    model: LoadedModel,
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


def also_scored(model: LoadedModel, options: DataOptions, split: str | None) -> str | None:
    """Names the second validation set (MNLI has two) that belongs to the one just read, where there is one."""
    if options.data is None or options.split is not None or split != "validation" or not model.signature.task:
        return None
    second = "validation_mismatched"
    if find_reencoded_splits(options.data):
        return None
    return second if second in find_splits(options.data, glue_task(model.signature.task)) else None


def read_texts_for(model: LoadedModel, options: DataOptions) -> Examples:
    """Reads texts to predict from the data that the options name; raises as `read_for`."""
    assert options.data is not None
    return _read_texts(model.signature, options, options.data, None, require_label=False, allow_no_label=False)[0]


def _read_reencoded(
    model: LoadedModel, data: str, wanted: str | None, folders: dict[str, Path], *, require_label: bool
) -> tuple[ReencodedExamples, str | None]:
    if "" in folders:
        if wanted is not None:
            raise ConfigError(f"{data} is one split, so --split {wanted} has no meaning", hint="leave --split out")
        return ReencodedExamples.read(folders[""], model), None
    name = _choose(data, list(folders), wanted, require_label=require_label)
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
    columns = _columns_from(signature, options, label, allow_no_label=allow_no_label)
    task = glue_task(signature.task) if signature.task and columns is None else None
    if columns is None and task is None:
        columns = signature.columns(allow_none=allow_no_label)
    found = find_splits(data, task)
    name = _choose(data, list(found), options.split, require_label=require_label)
    try:
        examples = read_split(
            found[name],
            columns=columns,
            reading=options.read_options().completed_by(signature.reading),
            # Predicting needs no labels, wherever the rows come from.
            require_label=require_label,
            kept=kept,
        )
    except NoColumnError as error:
        if options.text_a is not None:
            raise
        # The name is that of training, which nobody has typed here.
        flags = "--text-a" + (" and --text-b" if signature.is_pair else "") + (" and --label" if require_label else "")
        naming = f"name the columns of this table with {flags}"
        if error.hint is None:
            raise ConfigError(error.message, hint=naming) from error
        # A guess at the name wants its flag; what mends the file stands for itself.
        is_guess = error.hint.startswith("did you mean")
        raise ConfigError(error.message, hint=f"{error.hint} {naming}" if is_guess else error.hint) from error
    return examples, name if len(found) > 1 else None


def _columns_from(
    signature: ModelSignature, options: DataOptions, label: str | None, *, allow_no_label: bool
) -> Columns | None:
    """Returns the columns that flags name, the others as in training; None where no flag names one."""
    if options.text_a is None and options.text_b is None and label is None:
        return None
    usual = signature.columns(allow_none=allow_no_label)
    text_a = usual.text_a if options.text_a is None else options.text_a
    text_b = usual.text_b if options.text_b is None else options.text_b
    if label is None:
        return replace(usual, text_a=text_a, text_b=text_b)
    separator = signature.label_separator
    return Columns.of_kind(signature.kind, text_a, text_b, label, separator=separator, allow_none=allow_no_label)


def _choose(data: str, names: list[str], wanted: str | None, *, require_label: bool) -> str:
    if wanted is not None and Path(data).is_file():
        raise ConfigError(f"{data} is one file, so --split {wanted} has no meaning", hint="leave --split out")
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(f"{data}: no split {wanted!r}; there are {', '.join(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    # What a model was not trained on comes first; training data only when named.
    order = ("validation", "test") if require_label else ("test", "validation")
    for name in order:
        if name in names:
            return name
    raise DataError(f"{data}: which of {', '.join(names)} is meant is not known", hint="use --split")
