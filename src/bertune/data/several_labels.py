"""Several labels a row, in the ways in which tables hold them: lists, lists as text, words, columns of 0 and 1."""

import ast
import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bertune.errors import ConfigError
from bertune.wording.nearest import shorten

Cell = str | tuple[str, ...] | None
"""Content of a cell: a word or text, a list of words, or nothing."""

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


@dataclass(frozen=True)
class SeveralLabels:
    """Format of a row's labels, where it may have several.

    Args:
        columns: one column of 0 and 1 for each label, which is called as its column. A row of zeros has no label and is
            used. Empty where one column (`Columns.label`) holds all labels.
        separator: what stands between labels in that column; spaces around a label do not belong to it. None where the
            column holds lists, or lists as text: ``["a", "b"]`` as JSON and Python write them.
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
    """Reason why the labels of a row cannot be used."""


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
    listed = _list_in(cell, name) if isinstance(cell, str) else None
    if listed is not None and several.separator is not None and (listed or cell == "[]"):
        raise UnusableLabelsError(
            f"'{name}' is a list as text ({shorten(str(cell))}), expected labels with '{several.separator}' between "
            "them; lists are read without --label-separator"
        )
    if listed is not None and several.separator is None:
        cell = listed
    if isinstance(cell, str) and several.separator is None and cell.strip():
        raise UnusableLabelsError(
            f"'{name}' is the text '{shorten(cell)}', expected a list of labels; if it is labels with a sign between "
            'them, name that: --label-separator ";"'
        )
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


_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|True|False)"""
_LIST = re.compile(rf"\s*\[\s*(?:{_ITEM}\s*,\s*)*(?:{_ITEM}\s*)?\]\s*", re.DOTALL)
_ITEMS = re.compile(_ITEM, re.DOTALL)
# Arrays of NumPy, whose items no comma parts: Python would take 'a' 'b' for one text.
_ARRAY = re.compile(rf"\s*\[\s*{_ITEM}(?:\s+{_ITEM})+\s*\]\s*", re.DOTALL)


def _list_in(cell: str, name: str) -> tuple[str, ...] | None:
    """Reads a list of labels that stands in a cell as text, as JSON or Python writes it; None where there is none.

    Raises:
        UnusableLabelsError: an array as NumPy writes it.
    """
    if not cell.lstrip().startswith("["):
        return None
    if _ARRAY.fullmatch(cell):
        raise UnusableLabelsError(f"'{name}' is an array as text ({shorten(cell)}); write it as a list: array.tolist()")
    if not _LIST.fullmatch(cell):
        return None
    return tuple(_label_in(item) for item in _ITEMS.findall(cell))


def _label_in(item: str) -> str:
    """Reads one label of a list: text in quotes, a number or a truth value."""
    if item[0] not in "'\"":
        return item.lower() if item[0] in "TF" else item
    if item[0] == '"':
        with contextlib.suppress(ValueError):  # an escape of Python that JSON does not know
            return str(json.loads(item))
    try:
        return str(ast.literal_eval(item))
    except (ValueError, SyntaxError) as error:
        raise UnusableLabelsError(f"{shorten(item)} is no text of JSON or Python") from error
