"""Soft labels: for each row the probability of every label, from columns of a table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bertune.data.labels import LabelSet
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import did_you_mean, shorten

MOST_OFF: Final = 1e-3
"""By how much the probabilities of a row may miss 1; what is rounded to three digits may."""

SoftColumns = tuple[tuple[str, str], ...]
"""Columns of probabilities, each with the label that it is of."""


def soft_columns_in(entries: Sequence[str]) -> SoftColumns:
    """Reads `--soft-labels COLUMN=LABEL …`.

    Raises:
        ConfigError: an entry is not of this form, a column or a label is named twice, or there are fewer than two.
    """
    found: list[tuple[str, str]] = []
    for entry in entries:
        column, equals, label = (part.strip() for part in entry.partition("="))
        if not (column and equals and label):
            raise ConfigError(f"soft label {entry!r} is not COLUMN=LABEL", hint="for instance p_good=good p_bad=bad")
        for what, word, known in (
            ("column", column, [each for each, _ in found]),
            ("label", label, [each for _, each in found]),
        ):
            if word in known:
                raise ConfigError(f"--soft-labels names the {what} {word!r} twice")
        found.append((column, label))
    if len(found) == 1:
        raise ConfigError(
            f"--soft-labels names one label alone, {found[0][1]!r}: every label has a column of its own",
            hint="of two labels both have one; their probabilities sum to 1",
        )
    return tuple(found)


class UnusableProbabilitiesError(Exception):
    """Cells of a row that are no distribution, and why."""


def probabilities_in(cells: Sequence[object], columns: SoftColumns) -> tuple[float, ...]:
    """Reads the cells of a row.

    Args:
        cells: as the file has them.
        columns: which these are.

    Raises:
        UnusableProbabilitiesError: one is no number, not finite or negative, or they do not sum to 1.
    """
    if not columns:
        return ()
    values = []
    for cell, (column, _) in zip(cells, columns, strict=True):
        value = _number(cell)
        if value is None:
            what = "missing" if cell is None or not str(cell).strip() else f"'{shorten(str(cell))}'"
            raise UnusableProbabilitiesError(f"'{column}' is {what}, expected a probability")
        values.append(value)
    reason = why_none(values, [column for column, _ in columns])
    if reason is not None:
        raise UnusableProbabilitiesError(reason)
    return tuple(values)


def _number(cell: object) -> float | None:
    try:
        # float() also takes "1_000", which no table means as a number.
        return float(cell) if isinstance(cell, str) and "_" not in cell else None
    except ValueError:
        return None


def why_none(values: Sequence[float], names: Sequence[str]) -> str | None:
    """Says why numbers are no distribution; None where they are one.

    Args:
        values: of a row.
        names: what they are called.
    """
    for value, name in zip(values, names, strict=True):
        if not math.isfinite(value):
            return f"the probability '{name}' is {value}, which is not finite"
        if value < 0:
            return f"the probability '{name}' is {value:g}, which is negative"
    total = math.fsum(values)
    if abs(total - 1) > MOST_OFF:
        return f"the probabilities of its labels sum to {total:.6g}, not to 1"
    return None


def checked_probabilities(values: NDArray[np.float64], where: Callable[[int], str]) -> NDArray[np.float64]:
    """Returns rows of probabilities that sum to 1 exactly, as far as floats do.

    Args:
        values: (rows, labels).
        where: names a row, for messages.

    Raises:
        DataError: a row is no distribution; names it.
    """
    totals = values.sum(axis=1)
    good = np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (np.abs(totals - 1) <= MOST_OFF)
    if not good.all():
        row = int(np.argmin(good))
        names = [str(number) for number in range(values.shape[1])]
        # The exact sum may just be in range where the rounded one was not.
        reason = why_none(values[row].tolist(), names) or f"its probabilities sum to {totals[row]:.6g}, not to 1"
        raise DataError(f"{where(row)}: {reason}")
    scaled: NDArray[np.float64] = values / totals[:, None]
    return scaled


@dataclass(frozen=True)
class SoftLabels:
    """The probabilities of the labels of some rows.

    Args:
        names: of the labels, in the order of their columns.
        values: for each row the probability of each label.
    """

    names: tuple[str, ...]
    values: list[tuple[float, ...]]

    def __len__(self) -> int:
        return len(self.values)

    def select(self, rows: Sequence[int]) -> "SoftLabels":
        """Takes some of the rows in the given order."""
        return SoftLabels(self.names, [self.values[row] for row in rows])

    def most_probable(self) -> list[str]:
        """Returns the most probable label of each row; of equally probable ones the one whose column is named first."""
        return [self.names[max(range(len(row)), key=row.__getitem__)] for row in self.values]

    def in_order(self, labels: LabelSet) -> NDArray[np.float32]:
        """Returns (rows, labels) probabilities that sum to 1, in the order of a task's labels.

        Raises:
            ConfigError: the labels are not those of the columns.
        """
        self.check_labels(labels.names)
        values = np.array(self.values, dtype=np.float64).reshape(len(self), len(self.names))
        order = [self.names.index(name) for name in labels.names]
        checked = checked_probabilities(values, lambda row: f"row {row + 1}")
        return checked[:, order].astype(np.float32)

    def check_labels(self, labels: Sequence[str], where: Callable[[str], str] = repr) -> None:
        """Refuses labels that no column is of.

        Args:
            labels: that rows have.
            where: says of a label where it stands.

        Raises:
            ConfigError: names the first.
        """
        for label in labels:
            if label not in self.names:
                raise ConfigError(
                    f"the label {where(label)} has no column of probabilities in --soft-labels",
                    hint=did_you_mean(label, self.names) or f"name its column as well: COLUMN={label}",
                )
