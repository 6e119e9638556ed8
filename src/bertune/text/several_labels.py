"""Several labels a row, in the three ways in which tables hold them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bertune.errors import ConfigError
from bertune.text.nearest import shorten

Cell = str | tuple[str, ...] | None
"""What stands in a cell: a word or text, a list of words, or nothing."""

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


@dataclass(frozen=True)
class SeveralLabels:
    """How the labels of a row are written, where it may have several.

    Args:
        columns: one column of 0 and 1 for each label, which is called as its column. A row of zeros has no label and is
            used. Empty where one column (`Columns.label`) holds all labels.
        separator: what stands between labels in that column; spaces around a label do not belong to it. None where the
            column holds lists.
        allow_none: whether a list or cell without any label is used as it is; otherwise such a row is refused.

    Raises:
        ConfigError: a separator of no characters.
    """

    columns: tuple[str | int, ...] = ()
    separator: str | None = None
    allow_none: bool = False

    def __post_init__(self) -> None:
        if self.separator == "":
            raise ConfigError(
                "the separator of labels is empty", hint='name what stands between them: --label-separator ";"'
            )


class UnusableLabelsError(Exception):
    """Why the labels of a row cannot be used."""


def labels_by_flags(cells: Sequence[Cell], names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the columns that hold 1.

    Raises:
        UnusableLabelsError: a cell holds something else than 0 or 1.
    """
    given = []
    for cell, name in zip(cells, names, strict=True):
        flag = _FLAGS.get(cell.strip().lower()) if isinstance(cell, str) else None
        if flag is None:
            found = f"'{shorten(str(cell))}'" if cell else "missing" if cell is None else "blank"
            raise UnusableLabelsError(f"'{name}' is {found}, expected 0 or 1")
        if flag:
            given.append(name)
    return tuple(given)


def labels_in_cell(cell: Cell, name: str, several: SeveralLabels) -> tuple[str, ...]:
    """Returns the labels that one cell holds, in its order; none where it is blank.

    Raises:
        UnusableLabelsError: a list where a separator is expected or the other way round, a blank label, or one twice.
    """
    if isinstance(cell, str) and several.separator is None and cell.strip():
        raise UnusableLabelsError(f"'{name}' is the text '{shorten(cell)}', expected a list of labels")
    if isinstance(cell, tuple):
        if several.separator is not None:
            raise UnusableLabelsError(f"'{name}' is a list, expected labels with '{several.separator}' between them")
        labels = cell
    elif cell is None or not cell.strip():
        labels = ()
    else:
        labels = tuple(part.strip() for part in cell.split(several.separator))
    if not all(label.strip() for label in labels):
        raise UnusableLabelsError(f"'{name}' holds a blank label")
    twice = [label for position, label in enumerate(labels) if label in labels[:position]]
    if twice:
        raise UnusableLabelsError(f"'{name}' holds the label '{shorten(twice[0])}' twice")
    return labels
