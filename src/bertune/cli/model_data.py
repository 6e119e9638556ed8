"""Reading data for a model that is already there: its contract says which columns."""

import sys
from pathlib import Path

from bertune.checkpoints.contract import Contract
from bertune.errors import ConfigError, DataError
from bertune.text.examples import Columns, Examples
from bertune.text.glue import find_splits, glue_task, read_split
from bertune.text.sources import OnBadRow, Quoting, read_lines


def read_for(
    contract: Contract,
    data: str | None,
    *,
    split: str | None,
    columns: Columns | None,
    quoting: Quoting,
    on_bad_row: OnBadRow,
    require_label: bool,
) -> Examples:
    """Reads examples for a model.

    Args:
        contract: of the model; gives task and columns where they are not named.
        data: a table, a folder, an address of the hub, or None and `-` for lines on standard input.
        split: of a folder.
        columns: where the texts are, if not where they were in training.
        quoting: see `read_examples`.
        on_bad_row: see `read_examples`.
        require_label: whether each row needs a label.

    Raises:
        ConfigError: a file or column that does not exist.
        DataError: rows that cannot be used.
    """
    if data is None or data == "-":
        return read_lines(sys.stdin.buffer, pair=contract.is_pair)
    task = glue_task(contract.task) if contract.task and columns is None else None
    found = find_splits(data, task)
    if columns is None and task is None:
        columns = Columns(contract.text_a, contract.text_b, contract.label)
    chosen = found[_choose(data, list(found), split, require_label=require_label)]
    return read_split(
        chosen, columns=columns, quoting=quoting, on_bad_row=on_bad_row, require_label=True if require_label else None
    )


def columns_from(contract: Contract, text_a: str | None, text_b: str | None, label: str | None) -> Columns | None:
    """Returns the columns that flags name, the others as in training; None where no flag names one."""
    if text_a is None and text_b is None and label is None:
        return None
    return Columns(
        contract.text_a if text_a is None else text_a,
        contract.text_b if text_b is None else text_b,
        contract.label if label is None else label,
    )


def _choose(data: str, names: list[str], wanted: str | None, *, require_label: bool) -> str:
    if wanted is not None and Path(data).is_dir():
        if wanted not in names:
            raise ConfigError(f"{data}: no split {wanted!r}; there are {', '.join(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    # What a model was not trained on comes first; training data only when named.
    order = ("test", "validation") if not require_label else ("validation", "test")
    for name in order:
        if name in names:
            return name
    raise DataError(f"{data}: which of {', '.join(names)} is meant is not known", hint="use --split")
