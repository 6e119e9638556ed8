"""Which columns and which split of data a model takes, by its signature; imports no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bertune.checkpoints.signature import ModelSignature
from bertune.cli.options import DataOptions
from bertune.data.examples import Columns, Task
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits, glue_task
from bertune.data.table import NoColumnError
from bertune.errors import ConfigError, DataError


def source_for(signature: ModelSignature, options: DataOptions, data: str) -> RowSource:
    """Finds the rows that a model is to predict, to be read as often as needed.

    Raises:
        ConfigError: nothing is there, or no such split.
        DataError: as `find_splits`.
    """
    columns = columns_from(signature, options, None, allow_no_label=False)
    task: Task | None = glue_task(signature.task) if signature.task and columns is None else None
    if columns is None and task is None:
        columns = signature.columns()
    found = find_splits(data, task)
    split = found[choose_split(data, list(found), options.split, require_label=False)]
    reading = options.read_options().completed_by(signature.reading)
    if task is None:
        assert columns is not None
        task = Task.for_columns(columns, kind=signature.kind)
    return RowSource(split, task, columns, reading, require_label=False)


@contextmanager
def missing_columns_named(signature: ModelSignature, options: DataOptions, *, require_label: bool) -> Iterator[None]:
    """Says of a column of the texts that is not there how it is named.

    Raises:
        ConfigError: for the reader's own.
    """
    try:
        yield
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


def columns_from(
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


def choose_split(data: str, names: list[str], wanted: str | None, *, require_label: bool) -> str:
    """Chooses a split of data: the one that is wanted, else what a model was not trained on.

    Raises:
        ConfigError: there is no such split.
        DataError: which of several is meant is not known.
    """
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
