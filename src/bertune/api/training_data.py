"""What a program gives to be trained on, as tables in memory by the names of their splits."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bertune.data.frames import is_frame
from bertune.data.given_values import described, listed
from bertune.data.split_files import SPLIT_OF_STEM
from bertune.errors import ConfigError, DataError
from bertune.evaluation.given_types import ArrowStream

TableData = ArrowStream | Mapping[str, Iterable[Any]] | tuple[Iterable[Any], Iterable[Any]]
"""One table: a frame, a dict of columns, or texts and their labels."""
TrainingData = str | os.PathLike[str] | TableData | Mapping[str, TableData]
"""A table, a dict of the splits, or the path of either."""

_IN_MEMORY = " in memory"
_TEXT, _TEXT_B, _LABEL = "text", "text_b", "label"


@dataclass(frozen=True)
class GivenData:
    """Training data, and how they are called.

    Args:
        name: a path, or what stands for it in the settings of the run.
        frames: tables in memory by the names of their splits; none for a path.
        columns: settings that name the columns, where the caller has no names for them.
    """

    name: str
    frames: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


def given_data(data: object) -> GivenData:
    """Takes training data in any form.

    Args:
        data: see `bertune.train`.

    Raises:
        ConfigError: it has no such form.
        DataError: splits without training data, or columns that cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        return GivenData(os.fspath(data))
    if not _is_of_splits(data):
        frame, columns = _table(data, "data")
        return GivenData(_shown(frame), {"train": frame}, columns)
    assert isinstance(data, Mapping)
    frames: dict[str, Any] = {}
    columns = {}
    for key, table in data.items():
        name = SPLIT_OF_STEM.get(str(key).lower())
        if name is None:
            continue
        if name in frames:
            raise ConfigError(
                f"more than one entry of data could be {name}: {key!r} is the second", hint="leave it out"
            )
        frames[name], named = _table(table, f"data[{key!r}]")
        columns = named or columns
    if "train" not in frames:
        raise DataError(f"data has no training data, only {', '.join(map(repr, data))}", hint="call it 'train'")
    return GivenData(_shown(frames["train"]), frames, columns)


def given_split(data: object, name: str) -> tuple[str, Any]:
    """Takes validation or test data in memory, in any form but a dict of splits.

    Returns:
        What stands for it in the settings of the run, and the table.
    """
    frame, _ = _table(data, name)
    return _shown(frame), frame


def _is_of_splits(data: object) -> bool:
    if not isinstance(data, Mapping) or not data:
        return False
    inner = any(is_frame(value) or isinstance(value, Mapping) for value in data.values())
    return inner or all(str(key).lower() in SPLIT_OF_STEM for key in data)


def _table(data: object, name: str) -> tuple[Any, dict[str, str]]:
    """Returns a table, and names of its columns that the caller does not know."""
    if is_frame(data) or type(data).__name__ == "LazyFrame":  # the reader of tables says what to do with that
        return data, {}
    if isinstance(data, Mapping):
        return _arrow({str(key): listed(values, f"{name}[{key!r}]") for key, values in data.items()}, name), {}
    if not isinstance(data, tuple) or len(data) != 2:
        raise ConfigError(
            f"{name} is {described(data)}, which cannot be trained on",
            hint="give a path, a data frame, a datasets.Dataset, a dict of columns or of splits, or (texts, labels)",
        )
    texts, labels = listed(data[0], f"{name}[0]"), listed(data[1], f"{name}[1]")
    if not texts or not isinstance(texts[0], list | tuple):
        return _arrow({_TEXT: texts, _LABEL: labels}, name), {"text_a": _TEXT, "label": _LABEL}
    for place, pair in enumerate(texts):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DataError(f"{name}[0][{place}] is {described(pair)}, expected a pair of texts")
    pairs = {_TEXT: [pair[0] for pair in texts], _TEXT_B: [pair[1] for pair in texts]}
    return _arrow({**pairs, _LABEL: labels}, name), {"text_a": _TEXT, "text_b": _TEXT_B, "label": _LABEL}


def _arrow(columns: dict[str, list[Any]], name: str) -> Any:
    import pyarrow

    made = {}
    for column, values in columns.items():
        try:
            made[column] = pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            problem = (str(error).splitlines() or [""])[0]
            raise DataError(
                f"{name}: the column {column!r} cannot be read through Arrow: {problem}",
                hint="all its values must be of one type",
            ) from error
    sizes = {column: len(values) for column, values in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{column!r} has {size:,}" for column, size in sizes.items())
        raise DataError(f"{name}: the columns differ in length: {told}")
    return pyarrow.table(made)


def is_in_memory(setting: object) -> bool:
    """Whether a setting stands for data in memory, and not for a path."""
    return isinstance(setting, str) and setting.endswith(_IN_MEMORY)


def _shown(frame: object) -> str:
    return f"{type(frame).__name__}{_IN_MEMORY}"
